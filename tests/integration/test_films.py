"""Cameras whose video is not what it seems: the cloud can decode what it is sent from its first frame on, upright."""

from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import trio

from capture import unusual_clips
from integration.helpers import Json, Peers, box, run_peers
from support.clips import frame_numbers, opened
from support.scripted_camera import scripted_camera
from support.scripted_tracks import film

CHUNKS = 4


async def test_what_the_cloud_gets_is_what_it_seems(tmp_path: Path) -> None:
    """Intra refresh is encoded, parameter sets that take turns are copied in one session, who lies is set upright."""
    cameras: dict[str, Json] = {"lying": {"source": f"file:{unusual_clips.on_its_side()}"}}
    async with AsyncExitStack() as stack:
        for name, path in (("refreshed", unusual_clips.refreshed()), ("turns", unusual_clips.taking_turns())):
            camera = await stack.enter_async_context(scripted_camera(film(path, unusual_clips.SECONDS)))
            cameras[name] = {"source": camera.url()}
        peers = await stack.enter_async_context(run_peers(tmp_path, "--decode", "all"))
        async with box(tmp_path, peers.config(cameras)) as daemon:
            await peers.wait_latest("refreshed", lambda status: "intra refresh" in (status["source"] or ""))
            for name in cameras:
                await peers.wait_latest(name, lambda status: status["state"] == "streaming")
                with trio.fail_after(CHUNKS + 20):
                    while len(chunks(peers, name)) < CHUNKS:  # noqa: ASYNC110 - a file wakes nobody
                        await trio.sleep(0.1)
            assert await daemon.stop() == 0
        assert peers.cloud.happened("event", type="error") == []
        assert [state for state, _ in peers.states("turns")] == ["connecting", "streaming", "stopped"]
        for name in cameras:
            [file] = peers.cloud.files(session(peers, name))
            numbers = [number for _, number in frame_numbers(file)]
            assert None not in numbers, name
            frames = unusual_clips.FRAMES
            assert all((after or 0) == ((before or 0) + 1) % frames for before, after in pairwise(numbers)), name
            with opened(file) as media:
                assert (media.streams.video[0].width, media.streams.video[0].height) == unusual_clips.SIZE


def chunks(peers: Peers, name: str) -> list[Json]:
    """What the cloud decoded of a camera's newest session."""
    return peers.cloud.happened("decoded", session=session(peers, name))


def session(peers: Peers, name: str) -> int:
    """The number of a camera's newest session; 0 before the cloud knows of it."""
    ours = [status["session"] for status in peers.statuses(name) if status["session"]][-1]
    return max((line["session"] for line in peers.cloud.happened("opened", request_id=ours)), default=0)
