"""Opening cameras costs processes only for those that answer, a few at a time, the most promising first."""

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from cameras.helpers import RecordingPublisher, a_camera, a_context, simulated_cloud, workers
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.start_limiter import HOLD_S, StartLimiter, Turn, wait_answer
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.dns import Resolver
from support.clips import Clip
from support.processes import PATIENCE_S
from support.rtsp import rtsp_server

Serve = Callable[[trio.SocketStream], Any]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server on this machine; yields the RTSP address that leads to it."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"rtsp://127.0.0.1:{listener.socket.getsockname()[1]}/stream"
        nursery.cancel_scope.cancel()


async def silent(stream: trio.SocketStream) -> None:
    """Accept, and say nothing."""
    await trio.sleep_forever()


async def deaf(stream: trio.SocketStream) -> None:
    """Accept, and hang up."""
    await stream.aclose()


async def answering(stream: trio.SocketStream) -> None:
    """Say something, once asked in the language of RTSP."""
    assert (await stream.receive_some(100)).startswith(b"OPTIONS rtsp://127.0.0.1:")
    await stream.send_all(b"RTSP/1.0 401 Unauthorized\r\n\r\n")
    await trio.sleep_forever()


async def test_a_camera_that_answers() -> None:
    """Any answer will do; sources that are no network cameras are not asked."""
    async with listening(answering) as url:
        await wait_answer(url, Resolver())
        await wait_answer(url.replace("127.0.0.1", "localhost"), Resolver())
    for source in ("test:", "v4l2:/dev/video0", "file:/x.mp4"):
        await wait_answer(source, Resolver())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("rtsp://127.0.0.1:1/x", "127.0.0.1:1 refused the connection: is RTSP on?"),
        ("rtsp://[::1]:1/x", "::1:1 refused the connection: is RTSP on?"),
        ("rtsp://cam.invalid/x", "the name cam.invalid cannot be found (Name or service not known)"),
        ("rtsp://" + "x" * 70 + ".invalid/x", "cannot be found (that can be no name of a host)"),
    ],
)
async def test_a_camera_that_cannot_be_asked(source: str, sentence: str) -> None:
    """One sentence says what was asked and what is wrong, and the reason is the same for all."""
    with pytest.raises(Outage) as caught:
        await wait_answer(source, Resolver())
    assert caught.value.reason is Reason.UNREACHABLE
    assert sentence in caught.value.detail


async def test_a_camera_that_does_not_answer() -> None:
    """One that accepts and says nothing, or hangs up, is told from one that refuses."""
    async with listening(silent) as url, listening(deaf) as other:
        with pytest.raises(Outage, match="does not answer"):
            await wait_answer(url, Resolver(), within=0.2)
        with pytest.raises(Outage, match="ended the connection without an answer"):
            await wait_answer(other, Resolver())


async def test_whose_turn_it_is(autojump_clock: trio.abc.Clock) -> None:
    """So many at once; of those that wait the ones whose last attempt failed come last, else who came first."""
    starts, begun = StartLimiter(at_once=2), list[str]()

    async def begin(name: str, *, failed: bool) -> None:
        turn = await starts.wait_turn(failed=failed)
        begun.append(name)
        await trio.sleep(1)
        turn.end()
        turn.end()

    async with trio.open_nursery() as nursery:
        for name in ("failed-1", "failed-2", "failed-3", "new-1", "failed-4", "new-2"):
            nursery.start_soon(partial(begin, name, failed=name.startswith("failed")))
            await trio.sleep(0.01)
        assert begun == ["failed-1", "failed-2"]
    assert begun == ["failed-1", "failed-2", "new-1", "new-2", "failed-3", "failed-4"]


async def test_who_waits_may_leave(autojump_clock: trio.abc.Clock) -> None:
    """A camera that is paused while it waits costs nobody a turn, also where it was just being given one."""
    starts = StartLimiter(at_once=1)
    first = await starts.wait_turn(failed=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(starts.wait_turn, failed=False))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(starts.wait_turn, failed=False))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        first.end()
    with trio.fail_after(1):
        await starts.wait_turn(failed=True)


async def test_a_healthy_camera_among_many_that_hang(autojump_clock: trio.abc.Clock) -> None:
    """Of 200 cameras that answer and then hang, again and again, none lets a healthy one wait for more than 3 s."""
    starts = StartLimiter(at_once=2)

    async def hang() -> None:
        failed = False
        while True:
            turn = await starts.wait_turn(failed=failed)
            await trio.sleep(HOLD_S)  # as the camera's task does
            turn.end()
            failed = True
            await trio.sleep(8)

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(hang)
        await trio.sleep(300)
        began = trio.current_time()
        await starts.wait_turn(failed=False)
        assert trio.current_time() - began <= 3
        nursery.cancel_scope.cancel()


class CountingLimiter(StartLimiter):
    """Counts who asks for a turn."""

    asked = 0

    async def wait_turn(self, *, failed: bool) -> Turn:
        self.asked += 1
        return await super().wait_turn(failed=failed)


async def test_many_that_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 cameras that do not answer none costs a process, and none stands before a healthy one."""
    monkeypatch.setenv("API_KEY", "ih_live_key")
    before, most, starts = workers(), 0, CountingLimiter()
    async with simulated_cloud() as url, listening(silent) as away, rtsp_server({"/live": Clip()}) as server:
        published = RecordingPublisher()
        around = a_context(url, published, starts=starts, resolver=Resolver())
        cameras = [Camera(a_camera(f"away-{n}", source=away), around) for n in range(200)]
        healthy = Camera(a_camera("healthy", source=server.url("/live")), around)
        async with trio.open_nursery() as nursery:
            for camera in (*cameras, healthy):
                nursery.start_soon(camera.run)
            with trio.fail_after(PATIENCE_S):
                while healthy.status.current.state != "streaming":
                    most = max(most, len(workers() - before))
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert most == 1
    assert starts.asked == 1
    assert all(camera.counters.captures == 0 for camera in cameras)


async def test_silent_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups that do not end take threads of their own: the disk is waited for as ever, and so is the cloud."""
    answer = threading.Event()

    def look_up(host: bytes, *_: object) -> list[Any]:
        if host.endswith(b".cam"):
            answer.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    cameras, others = Resolver(), Resolver()
    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(_swallow, f"rtsp://{number}.cam/x", cameras)
        await wait_all_tasks_blocked()
        with trio.fail_after(3):
            assert await Blocking(3).run(lambda: 7) == 7
            assert await trio.to_thread.run_sync(lambda: 7) == 7
            assert await others.getaddrinfo(b"api.interhuman.ai", 443)
        answer.set()
        nursery.cancel_scope.cancel()


async def _swallow(source: str, resolver: Resolver) -> None:
    with pytest.raises(Outage):
        await wait_answer(source, resolver)
