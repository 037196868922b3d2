"""A camera's two halves and the fleet of them, in the corners that whole runs do not reach."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cameras.helpers import RecordingPublisher, a_camera, a_context, simulated_cloud, workers
from interhuman2mqtt import config
from interhuman2mqtt.cameras import capture_task, fleet
from interhuman2mqtt.cameras import session_slots as slots_module
from interhuman2mqtt.cameras.camera import Camera, CameraRun
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.cameras.fleet import Change, Fleet
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.cameras.session_task import SessionTask
from interhuman2mqtt.events import CameraStatus
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.settings import Key, Limits
from interhuman2mqtt.supervisor import BackoffPolicy
from support.clips import Clip
from support.processes import PATIENCE_S
from support.rtsp import rtsp_server

NOWHERE = "ws://localhost:1/v2/stream/analyze"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "ih_live_key")


@contextmanager
def no_worker_left() -> Iterator[None]:
    """Whatever happens inside, no capture process outlives it."""
    before = workers()
    yield
    assert workers() <= before


async def test_no_key_is_configured() -> None:
    """A camera without a key asks for one, and needs no cloud to know that."""
    published = RecordingPublisher()
    with no_worker_left():
        async with trio.open_nursery() as nursery:
            camera = Camera(a_camera(api_key=None), a_context(NOWHERE, published))
            nursery.start_soon(camera.run)
            status = await published.wait_state("refused", "secret_missing")
            assert status.detail == "no api_key is configured: set interhuman.api_key"
            camera.stop()
    assert published.statuses[-1].state == "stopped"


async def test_the_cameras_password_is_missing(tmp_path: Path) -> None:
    """Without the password that it is told to use, a camera is not even tried."""
    published = RecordingPublisher()
    password = config.SecretRef(file=str(tmp_path / "none"))
    async with trio.open_nursery() as nursery:
        before = workers()
        locked = a_camera(source="rtsp://127.0.0.1:1/cam", username="viewer", password=password)
        camera = Camera(locked, a_context(NOWHERE, published))
        nursery.start_soon(camera.run)
        status = await published.wait_state("refused", "secret_missing")
        assert "cameras.front.password" in (status.detail or "")
        assert workers() <= before
        camera.stop()


def latest(published: RecordingPublisher, camera: str) -> CameraStatus | None:
    """What a camera said last."""
    return next((status for status in reversed(published.statuses) if status.camera == camera), None)


def is_streaming(published: RecordingPublisher, *cameras: str) -> bool:
    """Whether these stream now."""
    return all((status := latest(published, camera)) is not None and status.state == "streaming" for camera in cameras)


def sessions(published: RecordingPublisher) -> int:
    """How many sessions have begun."""
    return sum(event.type == "session.ready" for event in published.events)


async def test_sessions_that_linger_after_a_cut() -> None:
    """Cameras whose sessions the cloud still counts after a cut try again in seconds, and are back soon after."""
    published = RecordingPublisher()
    cut = tuple(parse_fault(f"disconnect@chunk3,session={number}") for number in (1, 2))
    names = ("front", "back")
    async with simulated_cloud(concurrency=2, linger=2.0, faults=cut) as url, trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        context = a_context(url, published, backoff=BackoffPolicy())
        await cameras.apply({name: a_camera(name) for name in names}, context)
        waiting = await published.wait_state("waiting", "concurrency_limit")
        assert "an earlier session of ours may still be counted" in (waiting.detail or "")
        await published.wait(lambda: sessions(published) == 4 and is_streaming(published, *names))
        await cameras.apply({}, context)


@pytest.mark.parametrize(("status", "reason"), [(404, "bad_request"), (401, "unauthorized"), (403, "scope_missing")])
async def test_a_gateway_that_refuses_in_passing(status: int, reason: str) -> None:
    """What was accepted before and is refused for a second is tried again within seconds, and says so."""
    published = RecordingPublisher()
    faults = tuple(map(parse_fault, ("disconnect@chunk3,session=1", f"gateway={status}/1,session=2")))
    async with simulated_cloud(faults=faults) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published, backoff=BackoffPolicy()))
        nursery.start_soon(camera.run)
        doubted = await published.wait_state("connecting", reason)
        assert "it was accepted before" in (doubted.detail or "")
        await published.wait(lambda: sessions(published) == 2 and is_streaming(published, "front"))
        camera.stop()


async def test_a_key_that_is_put_right(tmp_path: Path) -> None:
    """A camera that was refused for its key is back within a second or two of a new one in its file."""
    published = RecordingPublisher()
    file = tmp_path / "key"
    file.write_text("ih_live_old")
    async with simulated_cloud(keys=(Key("ih_live_new"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(
            a_camera(api_key=config.SecretRef(file=str(file))), a_context(url, published, backoff=BackoffPolicy())
        )
        nursery.start_soon(camera.run)
        await published.wait_state("refused", "unauthorized")
        file.write_text("ih_live_new")
        await published.wait_state("streaming")
        camera.stop()


async def test_a_password_that_is_put_right(tmp_path: Path) -> None:
    """A camera whose password file is missing is opened as soon as it is there."""
    published = RecordingPublisher()
    file = tmp_path / "password"
    async with simulated_cloud() as url, trio.open_nursery() as nursery:
        password = config.SecretRef(file=str(file))
        camera = Camera(
            a_camera(username="viewer", password=password), a_context(url, published, backoff=BackoffPolicy())
        )
        nursery.start_soon(camera.run)
        await published.wait_state("refused", "secret_missing")
        file.write_text("secret1")
        await published.wait_state("streaming")
        camera.stop()


@pytest.mark.parametrize(
    "part", [(CaptureTask, "run"), (SessionTask, "run"), (CameraRun, "run")], ids=lambda part: part[0].__name__
)
async def test_a_bug_of_one_camera_is_not_the_others(monkeypatch: pytest.MonkeyPatch, part: tuple[Any, str]) -> None:
    """A camera with one bug too many is refused, whichever part of it has the bug; the other streams on."""
    published = RecordingPublisher()
    whole = getattr(*part)

    async def run(self: Any, *arguments: Any) -> Any:
        if self._camera.id == "broken":
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError("a bug")
        return await whole(self, *arguments)

    monkeypatch.setattr(*part, run)
    async with simulated_cloud() as url, trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        context = a_context(url, published, bugs=2, slots=SessionSlots(1))
        await cameras.apply({name: a_camera(name, priority=name == "broken") for name in ("broken", "front")}, context)
        status = await published.wait_state("refused", "bug")
        assert status.camera == "broken"
        assert "3 bugs within an hour" in (status.detail or "")
        await published.wait(
            lambda: any((told.camera, told.state) == ("front", "streaming") for told in published.statuses)
        )
        await cameras.apply({}, context)


@pytest.mark.parametrize(
    ("fault", "reason", "adds_up"), [("disconnect", "connection_lost", False), ("close=1011", "cloud_error", True)]
)
async def test_a_network_that_breaks_is_no_cloud_that_fails(fault: str, reason: str, *, adds_up: bool) -> None:
    """A session that brought new media before the network broke is followed soon; a cloud that fails is asked less."""
    published = RecordingPublisher()
    async with (
        simulated_cloud(faults=(parse_fault(f"{fault}@chunk3,every"),)) as url,
        trio.open_nursery() as nursery,
    ):
        camera = Camera(a_camera(replay=0.0), a_context(url, published))
        nursery.start_soon(camera.run)
        third = await published.wait_state("connecting", reason, count=3)
        assert (third.attempts > 1) is adds_up
        assert camera.counters.reconnects >= 3
        nursery.cancel_scope.cancel()


async def test_a_cloud_that_ends_every_session_at_once() -> None:
    """A session that is ended as soon as it was ready is an outage: the next one waits, each time longer."""
    published = RecordingPublisher()
    async with (
        simulated_cloud(faults=(parse_fault("close=1000@0s,every"),)) as url,
        trio.open_nursery() as nursery,
    ):
        camera = Camera(a_camera(), a_context(url, published, backoff=BackoffPolicy(first=60.0, longest=60.0)))
        nursery.start_soon(camera.run)
        status = await published.wait_state("connecting", "session_limit")
        assert status.attempts == 1
        assert camera.counters.sessions == 1
        camera.stop()


async def test_a_capture_that_is_killed() -> None:
    """A capture process that dies is one outage, with how it died; then the camera streams again in a new session."""
    published = RecordingPublisher()
    with no_worker_left():
        async with simulated_cloud() as url, trio.open_nursery() as nursery:
            before = workers()
            camera = Camera(a_camera(), a_context(url, published))
            nursery.start_soon(camera.run)
            await published.wait_state("streaming")
            [worker] = workers() - before
            os.kill(worker, signal.SIGKILL)
            status = await published.wait_state("offline", "capture_crashed")
            assert status.detail == "the capture process ended by SIGKILL"
            await published.wait_state("streaming", count=2)
            assert camera.counters.captures == 2
            assert camera.counters.sessions == 2
            camera.stop()
    assert len({event.session for event in published.events}) == 2


async def test_the_worker_goes_while_it_waits_for_a_place() -> None:
    """A camera whose source was opened anew while it waited streams from the new one."""
    published = RecordingPublisher()
    slots = SessionSlots(1)
    await slots.acquire("other", 0)
    async with simulated_cloud() as url, trio.open_nursery() as nursery:
        before = workers()
        camera = Camera(a_camera(), a_context(url, published, slots=slots))
        nursery.start_soon(camera.run)
        await published.wait_state("waiting", "max_sessions")
        [worker] = workers() - before
        os.kill(worker, signal.SIGKILL)
        await published.wait_state("waiting", "max_sessions", count=2)
        slots.release("other")
        await published.wait_state("streaming")
        assert slots.holds("front")
        camera.stop()
    assert not slots.holds("front")


async def test_a_source_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a source that has ended waits for a session only so long."""
    monkeypatch.setattr(capture_task, "LAST_MEDIA_S", 0.2)
    published = RecordingPublisher()
    slots = SessionSlots(1)
    await slots.acquire("other", 0)  # so that nobody pulls
    async with rtsp_server({"/cam": Clip()}) as server, trio.open_nursery() as nursery:
        camera = Camera(a_camera(source=server.url("/cam")), a_context(NOWHERE, published, slots=slots))
        nursery.start_soon(camera.run)
        await published.wait_state("waiting", "max_sessions")
        await server.stop()
        await published.wait_state("offline", "source_ended")
        camera.stop()


@pytest.mark.parametrize(
    ("doubt", "says"),
    [
        (90.0, "an earlier session of ours may still be counted"),
        (0.0, "the account has no session free for this camera"),
    ],
)
async def test_the_account_is_full(monkeypatch: pytest.MonkeyPatch, doubt: float, says: str) -> None:
    """A camera that the cloud had no session for waits for one of the account's, and gets it when it falls free."""
    monkeypatch.setattr(slots_module, "DOUBT_S", doubt)
    published, other = RecordingPublisher(), RecordingPublisher()
    slots = SessionSlots(0)
    async with simulated_cloud(concurrency=1) as url, trio.open_nursery() as nursery:
        first = Camera(a_camera("first"), a_context(url, other, slots=slots))
        nursery.start_soon(first.run)
        await other.wait_state("streaming")
        second = Camera(a_camera("second"), a_context(url, published, slots=slots))
        nursery.start_soon(second.run)
        await published.wait(lambda: says in (published.statuses[-1].detail or ""))
        assert (published.statuses[-1].state, published.statuses[-1].reason) == ("waiting", "concurrency_limit")
        first.stop()
        await published.wait_state("streaming")
        second.stop()


async def test_a_capture_dies_while_it_gives_nothing() -> None:
    """A camera that waits for media hears of its capture's end, and streams when the next one gives some."""
    published = RecordingPublisher()
    async with (
        rtsp_server({"/cam": Clip()}) as server,
        simulated_cloud(limits=Limits(idle_timeout=2)) as url,
        trio.open_nursery() as nursery,
    ):
        before = workers()
        camera = Camera(a_camera(source=server.url("/cam")), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait_state("streaming")
        server.freeze()
        await published.wait_state("waiting", "no_media")
        [worker] = workers() - before
        os.kill(worker, signal.SIGKILL)
        await published.wait_state("offline", "capture_crashed")
        server.thaw()
        await published.wait_state("streaming", count=2)
        camera.stop()


async def test_a_wish_that_is_not_offered() -> None:
    """What the cloud does not offer is counted as an oddity, and the session goes on without it."""
    published = RecordingPublisher()
    async with simulated_cloud() as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(goal_dimensions=("clarity",)), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait_state("streaming")
        assert camera.counters.as_dict()["oddities"] == 1
        camera.stop()


async def test_a_camera_that_does_not_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that does not come to its end is cut short, and keeps the fleet from stopping no longer than that."""
    monkeypatch.setattr(fleet, "STOP_S", 0.3)
    published = RecordingPublisher()
    faults = (parse_fault("slow-drain=60"),)
    with no_worker_left():
        async with simulated_cloud(faults=faults) as url, trio.open_nursery() as nursery:
            cameras = Fleet(nursery)
            assert await cameras.apply({"front": a_camera()}, a_context(url, published)) == Change((), ("front",))
            await published.wait_state("streaming")
            with trio.fail_after(PATIENCE_S):  # half of what the drain would take
                await cameras.stop()
    assert published.statuses[-1].state == "stopped"
    assert cameras.cameras == {}


async def test_the_fleet_touches_only_what_changed() -> None:
    """The same configuration changes nothing; another one replaces, adds and removes what differs."""
    published = RecordingPublisher()
    async with trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        common = a_context(NOWHERE, published)
        wanted = {name: a_camera(name) for name in ("a", "b", "c")}
        await cameras.apply(wanted, common)
        assert await cameras.apply(dict(wanted), common) == Change((), ())
        kept = cameras.cameras["a"]
        changed = {"a": wanted["a"], "b": a_camera("b", fps=5.0), "d": a_camera("d")}
        assert await cameras.apply(changed, common) == Change(("b", "c"), ("b", "d"))
        assert cameras.cameras["a"] is kept
        assert sorted(cameras.cameras) == ["a", "b", "d"]
        assert await cameras.apply(changed, common._replace(redact=frozenset({"rationale"}))) == Change(
            ("a", "d", "b"), ("a", "b", "d")
        )
        await cameras.stop()


async def test_a_secret_that_was_rotated(tmp_path: Path) -> None:
    """A password file with another content is a change of the camera that uses it, and of no other."""
    published = RecordingPublisher()
    password = tmp_path / "front.pw"
    password.write_text("the old one\n")
    async with trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        common = a_context(NOWHERE, published)
        front = a_camera("front", password=config.SecretRef(file=str(password)))
        wanted = {"front": front, "back": a_camera("back")}
        await cameras.apply(wanted, common)
        assert await cameras.apply(wanted, common) == Change((), ())
        password.write_text("the new one\n")
        assert await cameras.apply(wanted, common) == Change(("front",), ("front",))
        password.unlink()
        assert await cameras.apply(wanted, common) == Change(("front",), ("front",))
        assert await cameras.apply(wanted, common) == Change((), ())
        await cameras.stop()
    assert ("stopped", "restarted") in [(status.state, status.reason) for status in published.statuses]


async def test_a_restart_replaces_only_what_is_meant() -> None:
    """Restarting one camera replaces it and no other; restarting all replaces each."""
    async with trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        await cameras.apply({name: a_camera(name) for name in ("a", "b")}, a_context(NOWHERE, RecordingPublisher()))
        before = dict(cameras.cameras)
        assert await cameras.restart(["a"]) == ("a",)
        assert cameras.cameras["a"] is not before["a"]
        assert cameras.cameras["b"] is before["b"]
        assert await cameras.restart() == ("a", "b")
        assert cameras.cameras["b"] is not before["b"]
        await cameras.stop()


async def test_restarts_and_reloads_at_once() -> None:
    """A camera that drains is started once, however many restarts and reloads wait for it, as the last one wants it."""
    published = RecordingPublisher()
    async with simulated_cloud(faults=(parse_fault("slow-drain=1"),)) as url, trio.open_nursery() as nursery:
        cameras = Fleet(nursery)
        common = a_context(url, published)
        await cameras.apply({name: a_camera(name) for name in ("front", "gone")}, common)
        await published.wait(
            lambda: {s.camera for s in published.statuses if s.state == "streaming"} == {"front", "gone"}
        )
        wanted = {"front": a_camera("front", fps=5.0)}
        async with trio.open_nursery() as restarts:
            for names in (None, ["front"], ["gone"], None):
                restarts.start_soon(cameras.restart, names)
            await trio.testing.wait_all_tasks_blocked()
            await cameras.apply(wanted, common)
            assert [status.state for status in published.statuses if status.camera == "gone"][-1] == "stopped"
            assert {name: camera.config for name, camera in cameras.cameras.items()} == wanted
        assert {name: camera.config for name, camera in cameras.cameras.items()} == wanted
        said = [str(status.reason) for status in published.statuses if status.camera == "front" and status.reason]
        lives = [reason for reason, _ in groupby(said)]
        assert lives == ["starting", "restarted", "starting"]
        await cameras.stop()


async def test_a_restart_that_is_cancelled() -> None:
    """A restart that is given up while a camera drains leaves nothing running once the fleet has been stopped."""
    published = RecordingPublisher()
    with no_worker_left():
        async with simulated_cloud(faults=(parse_fault("slow-drain=1"),)) as url, trio.open_nursery() as nursery:
            cameras = Fleet(nursery)
            await cameras.apply({"front": a_camera()}, a_context(url, published))
            await published.wait_state("streaming")
            with trio.move_on_after(0.2):
                await cameras.restart()
            await cameras.stop()
        assert published.statuses[-1].state == "stopped"


async def test_a_source_that_turns_out_to_be_another() -> None:
    """What is said of the source is what it was opened as last; the camera goes on."""
    rare = Clip(size=(192, 108), fps=15, gop=150, seconds=40, audio=None)
    published = RecordingPublisher()
    async with simulated_cloud() as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(source=f"file:{rare.path()}"), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait(lambda: "copied" in (camera.status.current.source or ""))
        await published.wait(lambda: "encoded as h264" in (camera.status.current.source or ""))
        assert camera.counters.captures == 1
        camera.stop()
    assert "offline" not in {status.state for status in published.statuses}


async def test_what_is_mended_is_counted() -> None:
    """A camera that does not tell the time of each packet is heard out, and its lies are counted."""
    published = RecordingPublisher()
    async with (
        rtsp_server({"/cam": Clip(b_frames=2)}) as server,
        simulated_cloud() as url,
        trio.open_nursery() as nursery,
    ):
        camera = Camera(a_camera(source=server.url("/cam")), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait_state("streaming")
        await published.wait(lambda: camera.counters.repairs > 0)  # told by the next pulse
        assert camera.counters.as_dict()["children"] == 1.0
        camera.stop()
