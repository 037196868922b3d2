"""From the camera to the topic, with real parts only: RTSP server, daemon, cloud and broker, each a process."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from integration import contract, oracle
from integration.connect_proxy import connect_proxy
from integration.helpers import BOX, Box, Json, Peers, box, run_peers
from support.clips import Clip
from support.mosquitto import Tls
from support.rtsp import RtspServer, rtsp_server

AGREEMENT = timedelta(milliseconds=100)
"""Within which the time of an event agrees with the capture."""
TYPES = ("signal.detected", "engagement.updated", "conversation_quality.updated")
SMOOTH = Clip(fps=30, gop=30, seconds=32)
"""FFmpeg gives a picture away when the next one begins, so the more there are the better the times can be."""
STATES = {"state/engagement", "state/signals", "state/conversation_quality", "state/last_event"}


class Case(NamedTuple):
    """A camera, how it is configured, and what becomes of its tracks."""

    says: str
    """What the status calls the source."""
    clip: Clip = SMOOTH
    version: str = "v2"
    keys: Json = {}  # noqa: RUF012 - never changed
    chunk: str = "1s"


COPIED = "h264 320x180 (copied)"
CASES = {
    "h264-aac": Case(f"{COPIED}, aac 48000 Hz (copied)"),
    "h264-aac-v1": Case(f"{COPIED}, aac 48000 Hz (copied)", version="v1"),
    "h264-alaw": Case(f"{COPIED}, pcm_alaw 8000 Hz (encoded as aac)", SMOOTH._replace(audio="pcm_alaw")),
    "h264-silent": Case(f"{COPIED}, silence", SMOOTH._replace(audio=None)),
    "h264-silent-v1": Case(
        f"{COPIED}, no audio track", SMOOTH._replace(audio=None), version="v1", keys={"audio": "none"}
    ),
    "b-frames": Case(f"{COPIED}, aac 48000 Hz (copied)", SMOOTH._replace(b_frames=2)),
    "h265-aac": Case("hevc 320x180 (encoded as h264 320x180), aac 48000 Hz (copied)", SMOOTH._replace(video="libx265")),
    "standalone": Case(f"{COPIED}, aac 48000 Hz (copied)", keys={"framing": "standalone"}, chunk="3s"),
}
SAMPLE = {"h264-aac", "h264-alaw", "h264-silent-v1", "h265-aac", "standalone"}


async def run_until_all_is_said(daemon: Box, peers: Peers, rounds: int = 2) -> None:
    """Wait until the camera streams and each type of event came `rounds` times, then stop the daemon."""
    await peers.wait_status("front", "streaming")
    for type_ in TYPES:
        await peers.wait_event("front", type_)
    await peers.wait_event("front", TYPES[-1], count=rounds)
    assert set(await peers.retained()) >= {f"front/{state}" for state in STATES}
    assert await daemon.stop() == 0


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=() if name in SAMPLE else pytest.mark.full) for name, case in CASES.items()],
)
async def test_from_camera_to_topic(case: Case, tmp_path: Path) -> None:
    """Events of a camera reach a subscriber as the cloud sent them, dated by the capture to 100 ms."""
    async with rtsp_server({"/cam": case.clip}) as camera, run_peers(tmp_path) as peers:
        config = peers.config(
            {"front": {"source": camera.url("/cam"), **case.keys}},
            interhuman={"url": peers.cloud.url(case.version), "chunk": case.chunk},
        )
        async with box(tmp_path, config) as daemon:
            await run_until_all_is_said(daemon, peers)
        await assert_ended_well(peers)
        assert_told_all(peers, case.version)
        assert peers.statuses("front")[-1]["source"] == case.says
        assert_dated(peers, camera)
        assert_media(peers, case)


async def test_a_file(tmp_path: Path) -> None:
    """A file plays as a camera does, in real time, from its first frame."""
    clip = Clip()
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {"source": f"file:{clip.path()}"}})
        async with box(tmp_path, config) as daemon:
            await run_until_all_is_said(daemon, peers)
            opened = datetime.fromisoformat((await daemon.wait_log("source opened"))["timestamp"])
        await assert_ended_well(peers)
        assert_told_all(peers, "v2")
        frames = oracle.frames_of(peers.cloud)
        assert [frame.number for frame in frames] == list(range(len(frames)))
        assert oracle.is_part_of(clip, peers.cloud.files())
        assert_paced(peers, opened)


async def test_a_test_picture(tmp_path: Path) -> None:
    """`test:` needs no camera at all, and is encoded."""
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {"source": "test:", "size": "320x180", "fps": 10}})
        async with box(tmp_path, config) as daemon:
            await run_until_all_is_said(daemon, peers)
            opened = datetime.fromisoformat((await daemon.wait_log("source opened"))["timestamp"])
        await assert_ended_well(peers)
        assert_told_all(peers, "v2")
        assert "(encoded as h264 320x180)" in peers.statuses("front")[-1]["source"]
        assert_paced(peers, opened)


async def test_tls_and_a_proxy(tmp_path: Path) -> None:
    """Wss and mqtts are verified against a CA of one's own, and https_proxy of the environment leads to the cloud."""
    ca = trustme.CA()
    async with run_peers(tmp_path, tls=tls_files(tmp_path, ca)) as peers, connect_proxy() as proxy:
        config = peers.config(
            {"front": {"source": f"file:{Clip().path()}"}},
            interhuman={"url": peers.cloud.url(scheme="wss"), "ca_file": str(tmp_path / "ca.pem")},
            mqtt={"ca_file": str(tmp_path / "ca.pem")},
        )
        async with box(tmp_path, config, {"https_proxy": proxy.url}) as daemon:
            await run_until_all_is_said(daemon, peers, rounds=1)
        await assert_ended_well(peers)
        assert_told_all(peers, "v2")
        assert proxy.asked == [f"localhost:{peers.cloud.port}"]


def tls_files(folder: Path, ca: trustme.CA) -> Tls:
    """A certificate for this machine, and its CA."""
    files = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    leaf = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(files.ca_file)
    leaf.private_key_pem.write_to_path(files.key_file)
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(files.cert_file, append=True)
    return files


async def assert_ended_well(peers: Peers) -> None:
    """What the broker retains is that the box and its camera were stopped, and nothing about anybody's state."""
    assert peers.states("front") == [("connecting", "starting"), ("streaming", None), ("stopped", "stopped")]
    contract.assert_keeps(peers.subscriber.messages, BOX)
    left = await peers.retained()
    assert set(left) == {"bridge/state", "bridge/info", "bridge/health", "front/status"}
    assert b'"state":"stopped"' in left["bridge/state"]
    assert b'"state":"stopped"' in left["front/status"]


def assert_told_all(peers: Peers, version: str) -> None:
    """Every event of the cloud was published once, in its order, untouched, and nothing else was."""
    [opened] = peers.cloud.happened("opened")
    assert opened["version"] == version
    said = [(line["type"], line["data"]) for line in peers.cloud.happened("event")]
    published = peers.events("front")
    assert [(event["type"], event["data"]) for event in published] == said
    assert said[-1][0] == "session.ended"
    assert {event["session"] for event in published} == {opened["request_id"]}
    assert {event["correlation_id"] for event in published} == {opened["correlation_id"]}
    assert [event["id"].rpartition("/")[2] for event in published] == [str(n + 1) for n in range(len(published))]
    assert still_active(published) == set()


def still_active(events: list[Json]) -> set[str]:
    """The signals that were detected, and whose end nobody told."""
    active: set[str] = set()
    for event in events:
        if event["type"] == "signal.detected":
            active.add(event["data"]["signal_type"])
        elif event["type"] == "signal.ended":
            active.remove(event["data"]["signal_type"])
    return active


def dates(events: list[Json]) -> Iterator[tuple[float, datetime]]:
    """Each time of the media clock in these events, and the UTC instant that was published for it."""
    for event in events:
        data = {**event["data"]}
        if event["type"] == "conversation_quality.updated":
            data["start"], data["end"] = (data["timeline"][0][name] for name in ("start", "end"))
        for name in ("start", "end"):
            if name in data:
                yield data[name], datetime.fromisoformat(event[f"{name}_at"])


def assert_dated(peers: Peers, camera: RtspServer) -> None:
    """The events' times agree with the camera's own log of when it captured what they are about."""
    frames = oracle.frames_of(peers.cloud)
    found = list(dates(peers.events("front")))
    assert len(found) >= 5
    off = {media: at - oracle.captured_at(camera, "/cam", frames, media) for media, at in found}
    assert all(abs(difference) <= AGREEMENT for difference in off.values()), off


def assert_paced(peers: Peers, opened: datetime) -> None:
    """Times begin when the source was opened, and each chunk is sent once it is captured, not before."""
    dated = dict(dates(peers.events("front")))
    began = dated[0.0]
    assert abs(began - opened) < timedelta(seconds=1)
    for chunk, decoded in zip(peers.cloud.happened("chunk"), peers.cloud.happened("decoded"), strict=True):
        captured = began + timedelta(seconds=decoded["end"])
        assert captured - AGREEMENT < datetime.fromisoformat(chunk["at"]) < captured + timedelta(seconds=3)


def assert_media(peers: Peers, case: Case) -> None:
    """The cloud got each frame once, in order; what could be copied was, byte for byte; audio and video agree."""
    files = peers.cloud.files()
    frames = oracle.frames_of(peers.cloud)
    first = frames[0].number
    assert first % case.clip.gop == 0
    assert [frame.number for frame in frames] == list(range(first, first + len(frames)))
    assert oracle.is_part_of(case.clip, files) == (case.clip.video == "libx264")
    if case.keys.get("audio") == "none":
        assert not oracle.has_audio(files[0])
    elif case.clip.audio is None:
        assert max(peak for _, peak in oracle.loudness(files[0])) == 0
    else:
        assert oracle.beeps(files[0])
        assert max(map(oracle.off_the_second, oracle.beeps(files[0]))) < 0.1
