"""A session that is cancelled at any of its steps leaves nothing behind."""

from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from cloud.listening import CA, Proxy, listen, tls_cloud
from cloud.played import KEY, SERVER, Cloud, Film, Tape, chunk, interpreter, memory_dial
from interhuman2mqtt.cloud.http import HostPort
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import SessionOptions
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from support.processes import PATIENCE_S

WISHES = SessionOptions(include=("conversation_quality_overall",))


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when the tasks of this run have made so many steps."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's name for it
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


async def act(cloud: Cloud) -> None:
    """A session in which a signal is active from the first chunk to the drain."""
    await cloud.ready()
    await cloud.receive()
    await cloud.send_message("session.updated", {"include": ["conversation_quality_overall"]})
    await cloud.receive()
    await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 0.5})
    await cloud.hear_until_close()
    await cloud.send_message("session.closing", {"max_drain_seconds": 5})
    await cloud.send_message("signal.ended", {"signal_type": "stress", "end": 3.0})
    await cloud.send_message("session.ended", {"reason": "client_shutdown"})


async def cancelled_run(server: Server, way: Dial, steps: int) -> tuple[bool, Tape]:
    """Whether the session was cancelled, and what it reported."""
    tape, film = Tape(), Film([chunk(0), chunk(1, last=True)])
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            await run_session(server, KEY, WISHES, film, mapper=interpreter(), observer=tape, dial=way)
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught, tape


def balance(tape: Tape) -> int:
    """How many signals are still active by what was reported."""
    return tape.types.count("signal.detected") - tape.types.count("signal.ended")


async def test_cancelled_at_every_step(autojump_clock: MockClock) -> None:
    """At whichever step: the connection is closed within the stated time, no task stays, no signal stays active."""
    was_cancelled, steps = True, 0
    while was_cancelled:
        steps += 1
        kept = Kept()
        async with trio.open_nursery() as nursery:
            way = kept.way(memory_dial(nursery, act))
            began = autojump_clock.current_time()
            was_cancelled, tape = await cancelled_run(SERVER, way, steps)
            assert autojump_clock.current_time() - began < 5
            with trio.fail_after(PATIENCE_S):
                while nursery.child_tasks:  # noqa: ASYNC110 - the played cloud, until it has seen the end
                    await trio.sleep(0.1)
        for stream in kept.streams:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()
        assert balance(tape) == 0
    assert steps > 100


async def test_cancelled_on_the_way_through_proxy_and_tls(tmp_path: Path) -> None:
    """At every seventh step of a connection with real sockets: none of them stays open."""
    ca_file = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca_file))
    async with trio.open_nursery() as nursery:
        proxy = await listen(nursery, Proxy())
        port = await listen(nursery, partial(tls_cloud, act=act))
        server = Server(f"wss://localhost:{port}/v2", ca_file=str(ca_file), proxy=f"http://127.0.0.1:{proxy}")
        was_cancelled, steps = True, 0
        while was_cancelled:
            steps += 7
            kept = Kept()
            with trio.fail_after(PATIENCE_S):
                was_cancelled, tape = await cancelled_run(server, kept.way(dial), steps)
            for stream in kept.streams:
                assert isinstance(stream, trio.SocketStream)
                assert stream.socket.fileno() == -1
            assert balance(tape) == 0
        assert steps > 100
        nursery.cancel_scope.cancel()


class Kept:
    """Keeps what was dialled, to look at it afterwards."""

    def __init__(self) -> None:
        self.streams: list[trio.abc.Stream] = []

    def way(self, way: Dial) -> Dial:
        async def kept(address: HostPort) -> trio.abc.Stream:
            self.streams.append(await way(address))
            return self.streams[-1]

        return kept
