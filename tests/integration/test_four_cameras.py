"""One camera's trouble is its own: the others lose nothing, and each says what is wrong with it."""

from pathlib import Path

from integration import oracle
from integration.helpers import box, run_peers
from support.mosquitto import free_port
from support.rtsp import MOUNTS, Login, rtsp_server

MOUNT = {"/cam": MOUNTS["/h264-aac"]}


async def test_four_cameras(tmp_path: Path) -> None:
    """A dead, a failing and a locked camera say so each with its reason; the healthy one loses no frame."""
    wrong = tmp_path / "wrong.pw"
    wrong.write_text("not the password\n")
    async with (
        rtsp_server(MOUNT) as healthy,
        rtsp_server(MOUNT) as failing,
        rtsp_server(MOUNT, login=Login("viewer", "the password")) as locked,
        run_peers(tmp_path) as peers,
    ):
        config = peers.config(
            {
                "healthy": {"source": healthy.url("/cam")},
                "failing": {"source": failing.url("/cam")},
                "dead": {"source": f"rtsp://127.0.0.1:{free_port()}/cam"},
                "locked": {"source": locked.url("/cam"), "username": "viewer", "password": {"file": str(wrong)}},
            }
        )
        async with box(tmp_path, config) as daemon:
            dead = await peers.wait_status("dead", "offline", "unreachable")
            assert "refused the connection" in dead["detail"]
            refused = await peers.wait_status("locked", "refused", "camera_password")
            assert "refused the user name or password" in refused["detail"]
            streaming = await peers.wait_status("healthy", "streaming")
            await peers.wait_status("failing", "streaming")
            await failing.stop()
            gone = await peers.wait_latest("failing", lambda status: status["state"] == "offline")
            assert gone["reason"] in {"source_ended", "unreachable"}
            await failing.start()
            back = await peers.wait_latest("failing", lambda status: status["state"] == "streaming")
            assert (back["reason"], back["attempts"]) == (None, 0)
            await peers.cloud.wait_happened("chunk", request_id=back["session"])
            assert await daemon.stop() == 0
        [opened] = peers.cloud.happened("opened", request_id=streaming["session"])
        numbers = [frame.number for frame in oracle.frames_of(peers.cloud, opened["session"])]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 60
        assert [state for state, _ in peers.states("healthy")] == ["connecting", "streaming", "stopped"]
        assert peers.events("healthy", "coverage.dropped") == []
        for camera in ("healthy", "failing", "dead", "locked"):
            assert peers.statuses(camera)[-1]["state"] == "stopped"
