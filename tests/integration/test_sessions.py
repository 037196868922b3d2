"""When a camera holds a session, when it waits for one, and what happens as one ends and the next begins."""

from pathlib import Path

import pytest

from integration import oracle
from integration.helpers import KEY, Json, Peers, box, run_peers
from support.clips import Clip, frame_numbers
from support.rtsp import MOUNTS, rtsp_server

MOUNT = {"/cam": MOUNTS["/h264-aac"]}
FILE: Json = {"source": f"file:{Clip().path()}"}


def numbers(peers: Peers) -> list[list[int]]:
    """The numbers of the frames that each session got."""
    sessions = [line["session"] for line in peers.cloud.happened("opened")]
    return [[frame.number for frame in oracle.frames_of(peers.cloud, session)] for session in sessions]


async def test_higher_priority_takes_over(tmp_path: Path) -> None:
    """Of two cameras and one place the more important one gets it at the next rotation; it leaves it when it fails."""
    async with rtsp_server(MOUNT) as camera, run_peers(tmp_path, "--max-duration", "5") as peers:
        cameras = {"hall": FILE, "desk": {"source": camera.url("/cam"), "priority": 5}}
        config = peers.config(cameras, interhuman={"max_sessions": 1})
        async with box(tmp_path, config) as daemon:
            await peers.wait_status("hall", "streaming")
            waiting = await peers.wait_status("desk", "waiting", "max_sessions")
            assert waiting["detail"] == "other cameras hold all 1 sessions"
            assert waiting["session"] is None
            await peers.wait_status("desk", "streaming")
            await peers.wait_status("hall", "waiting", "max_sessions")
            await camera.stop()
            await peers.wait_latest("hall", lambda status: status["state"] == "streaming")
            assert await daemon.stop() == 0
        events = [line for line in peers.cloud.record if line["what"] in {"opened", "closed"}]
        assert [line["what"] for line in events] == ["opened", "closed"] * (len(events) // 2)


async def test_the_accounts_own_limit(tmp_path: Path) -> None:
    """A session that the cloud refuses because too many are open means waiting, and disturbs nobody who has one."""
    async with run_peers(tmp_path, "--concurrency", "1") as peers:
        async with box(tmp_path, peers.config({"hall": FILE, "desk": FILE})) as daemon:
            await peers.subscriber.wait_for(lambda _: "concurrency_limit" in reasons(peers, "hall", "desk"))
            refused = "hall" if "concurrency_limit" in reasons(peers, "hall") else "desk"
            status = await peers.wait_status(refused, "waiting", "concurrency_limit")
            assert "all concurrent sessions of the account are in use" in status["detail"]
            other = {"hall": "desk", "desk": "hall"}[refused]
            await peers.wait_event(other, "conversation_quality.updated", count=2)
            assert await daemon.stop() == 0
        assert len(peers.cloud.happened("opened")) == 1
        assert [state for state, _ in peers.states(other)] == ["connecting", "streaming", "stopped"]


def reasons(peers: Peers, *cameras: str) -> set[str | None]:
    return {status["reason"] for camera in cameras for status in peers.statuses(camera)}


@pytest.mark.parametrize(
    ("option", "state", "reason", "says"),
    [
        (["--key", "ih_live_another"], "refused", "unauthorized", "check api_key"),
        (["--key", f"{KEY}=interhumanai.upload"], "refused", "scope_missing", "interhumanai.stream"),
        (["--no-backend", "inter-2"], "waiting", "model_unavailable", "no backend"),
        (["--fault", "refuse=500,every"], "connecting", "cloud_error", "HTTP 500"),
    ],
    ids=["unauthorized", "scope", "no-backend", "500"],
)
async def test_a_session_that_is_refused(tmp_path: Path, option: list[str], state: str, reason: str, says: str) -> None:
    """Each refusal of the cloud is a state and a reason of the camera, told with what to do, and without the key."""
    async with run_peers(tmp_path, *option) as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            status = await peers.wait_status("front", state, reason)
            assert says in status["detail"]
            assert status["attempts"] == 1
            assert await daemon.stop() == 0
            output = daemon.output
        assert KEY not in "\n".join(output)
        assert all(KEY.encode() not in message.payload for message in peers.subscriber.messages)


async def test_no_key_at_all(tmp_path: Path) -> None:
    """A key that is not there is one camera's trouble, not the service's end: the other one, with its own, streams."""
    missing = {"file": str(tmp_path / "nothing")}
    own = tmp_path / "own.key"
    own.write_text(f"{KEY}\n")
    async with run_peers(tmp_path) as peers:
        cameras = {"front": FILE, "desk": {**FILE, "api_key": {"file": str(own)}}}
        async with box(tmp_path, peers.config(cameras, interhuman={"api_key": missing})) as daemon:
            status = await peers.wait_status("front", "refused", "secret_missing")
            assert "nothing: No such file or directory" in status["detail"]
            await peers.wait_status("desk", "streaming")
            assert await daemon.stop() == 0


async def test_the_cloud_dies_and_comes_back(tmp_path: Path) -> None:
    """A camera whose cloud was away streams again as soon as it is back, from `replay` before what had not arrived."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": {**FILE, "replay": "1s"}})) as daemon:
            await peers.wait_event("front", "conversation_quality.updated")
            await peers.cloud.kill()
            lost = await peers.wait_latest("front", lambda status: status["state"] == "connecting")
            assert lost["reason"] in {"connection_lost", "cloud_unreachable"}
            assert {event["type"] for event in peers.events("front") if event.get("synthetic")} <= {"signal.ended"}
            await peers.cloud.start()
            await peers.wait_latest("front", lambda status: status["state"] == "streaming")
            await peers.wait_event("front", "session.ready", count=2)
            assert await daemon.stop() == 0
        before, after = numbers_of_files(peers)
        assert before == list(range(len(before)))
        # a GOP has fifteen frames; what had arrived and was not proven to have is at most a chunk of one
        assert after[0] in {len(before) - 30, len(before) - 15}
        assert after == list(range(after[0], after[0] + len(after)))


def numbers_of_files(peers: Peers) -> list[list[int | None]]:
    """The same where the cloud was restarted, and so counts its sessions from one again."""
    ids = [line["request_id"] for line in peers.cloud.happened("opened")]
    files = [file for id_ in ids for file in peers.cloud.folder.glob(f"*-{id_}.mp4")]
    return [[number for _, number in frame_numbers(file)] for file in files]


@pytest.mark.parametrize("how", ["thawed", "restarted"])
async def test_no_session_without_media(tmp_path: Path, how: str) -> None:
    """A camera that gives nothing holds no session, and gets one again when it gives something."""
    async with rtsp_server(MOUNT) as camera, run_peers(tmp_path, "--idle-timeout", "4") as peers:
        async with box(tmp_path, peers.config({"front": {"source": camera.url("/cam")}})) as daemon:
            await peers.wait_status("front", "streaming")
            camera.freeze()
            status = await peers.wait_status("front", "waiting", "no_media")
            assert status["session"] is None
            assert len(peers.cloud.happened("opened")) == 1
            await peers.cloud.wait_happened("closed", code=1000)  # written a moment after the client was told
            if how == "thawed":
                camera.thaw()
            else:
                await camera.stop()
                await peers.wait_latest("front", lambda status: status["state"] == "offline")
                await camera.start()
            await peers.wait_latest("front", lambda status: status["state"] == "streaming")
            assert len(peers.cloud.happened("opened")) == 2
            assert await daemon.stop() == 0
        assert peers.cloud.happened("event", type="error") == []


def types_of(peers: Peers, session: str) -> set[str]:
    return {event["type"] for event in peers.events("front") if event["session"] == session}


async def test_rotation(tmp_path: Path) -> None:
    """Before a session's maximum the next one takes over: each frame is sent once, and two are never open at a time."""
    async with rtsp_server(MOUNT) as camera, run_peers(tmp_path, "--max-duration", "5") as peers:
        async with box(tmp_path, peers.config({"front": {"source": camera.url("/cam")}})) as daemon:
            third = await peers.wait_event("front", "session.ready", count=3)
            await peers.subscriber.wait_for(lambda _: "signal.detected" in types_of(peers, third["session"]))
            assert await daemon.stop() == 0
        frames = [number for session in numbers(peers) for number in session]
        assert frames == list(range(len(frames)))
        happened = [line["what"] for line in peers.cloud.record if line["what"] in {"opened", "closed"}]
        assert happened == ["opened", "closed"] * (len(happened) // 2)
        assert peers.cloud.happened("event", type="error") == []
        assert len(peers.cloud.happened("closed", code=1000)) == 3
        assert [state for state, _ in peers.states("front")] == ["connecting", "streaming", "stopped"]
        told = {status["session"] for status in peers.statuses("front")} - {None}
        assert told == {line["request_id"] for line in peers.cloud.happened("opened")}
