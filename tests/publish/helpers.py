"""What the tests of the publish stage are made of: events, publishers, and peers that misbehave."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio

from interhuman2mqtt import config
from interhuman2mqtt.config import SecretRef
from interhuman2mqtt.events import Clock, Event
from interhuman2mqtt.policy.budget_store import BudgetTable
from interhuman2mqtt.publish.message import DropLog, DropReason, Message, MessageKind
from interhuman2mqtt.publish.mqtt.sender import OutboxSender
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import BrokerState
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.service import BrokerStats
from support.mosquitto import Broker
from support.processes import PATIENCE_S

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


NO_BUDGETS: BudgetTable = {
    "day": "2026-11-22",
    "box": {"used": 0.0, "per_day": None, "warned": False},
    "cameras": {},
    "warnings": 0,
    "trouble": None,
}


def an_event(type_: str = "feedback.generated", data: dict[str, Any] | None = None, **changes: Any) -> Event:
    """An event of camera front, as the cloud stage makes them."""
    values = {
        "id": "lobby-1/front/7c1e/1",
        "box": "lobby-1",
        "camera": "front",
        "type": type_,
        "session": "7c1e",
        "correlation_id": "550e",
        "timestamp": "2026-11-22T12:00:00.000000Z",
        "received_at": NOON,
        "clock": Clock.SYNCED,
        "data": data or {},
    }
    return Event(**{**values, **changes})


def an_event_message(camera: str, n: int, payload: bytes = b"") -> Message:
    """The n-th event of a camera, numbered in its payload too."""
    return Message(
        topic=f"interhuman/lobby-1/{camera}/event/x",
        payload=payload or f'{{"camera":"{camera}","n":{n},"late":false,"data":{{}}}}'.encode(),
        kind=MessageKind.EVENT,
        retain=False,
        camera=camera,
        expiry=3600,
        properties=(("schema", "1"), ("type", "x"), ("id", f"lobby-1/{camera}/s/{n}")),
    )


def a_state_message(name: str, value: str) -> Message:
    """A retained state."""
    return Message(topic=f"interhuman/lobby-1/{name}", payload=value.encode(), kind=MessageKind.STATE, retain=True)


def an_answer_message(text: str) -> Message:
    """An answer to a request."""
    topic = "interhuman/lobby-1/bridge/response/pause"
    return Message(topic=topic, payload=text.encode(), kind=MessageKind.ANSWER, retain=False)


def login(folder: Path, password: str, user: str = "edge") -> dict[str, Any]:
    """Keys of `[mqtt]` for this user, whose password is in a file."""
    file = folder / f"{user}.pw"
    file.write_text(password)
    return {"username": user, "password": SecretRef(file=str(file))}


class Bench:
    """A sender with all that it reported: its states and what it dropped."""

    def __init__(
        self,
        url: str,
        *,
        mqtt: dict[str, Any] | None = None,
        outbox: OutboxQueue | None = None,
        subscriber: Subscriber | None = None,
        timeout: float = 10.0,
        keepalive: int = 30,
    ) -> None:
        self.states: list[BrokerState] = []
        self.dropped: list[tuple[str, str, str]] = []
        self.now: float = 0.0
        self.drops = DropLog()
        self.outbox = outbox or OutboxQueue(config.Outbox(), self, lambda: self.now)
        self.publisher = OutboxSender(
            config.Mqtt(url=url, client_id="interhuman-lobby-1", **(mqtt or {})),
            box="lobby-1",
            boot_id="boot-1",
            outbox=self.outbox,
            drops=self,
            acked=BrokerStats(),
            observer=self,
            subscriber=subscriber,
            timeout=timeout,
            keepalive=keepalive,
        )

    def report(self, message: Message | None, reason: DropReason, detail: str, /) -> None:
        assert message is not None
        self.drops.report(message, reason, detail)
        self.dropped.append((message.topic, reason.value, detail))

    def broker_changed(self, state: BrokerState) -> None:
        self.states.append(state)

    @property
    def phases(self) -> list[str]:
        """The phases that it went through."""
        return [state.phase.value for state in self.states]

    async def run_and_stop(self, within: float = 5.0) -> None:
        """One connection, which ends as soon as everything is published."""
        self.publisher.stop(within)
        with trio.fail_after(PATIENCE_S):
            await self.publisher.run_connection()


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    """The connection runs while the block does, and is cancelled at its end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.publisher.run_connection)
        yield
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], Any], within: float = PATIENCE_S) -> None:
    """Wait until it is true; for what nothing announces, such as the end of a thread."""
    with trio.fail_after(within):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.005)


Script = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def peer(*scripts: Script) -> AsyncIterator[str]:
    """A TCP server that plays one script per connection, in their order, then closes it; yields its URL."""
    rest = list(scripts)

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await rest.pop(0)(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"mqtt://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def answer(data: bytes, *, then: Script | None = None) -> Script:
    """A script: read CONNECT, answer with `data`, go on with `then`."""

    async def play(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(data)
        if then is not None:
            await then(stream)

    return play


OnSubscribe = Callable[[bytes, str], bytes | None]
"""Makes the answer to a SUBSCRIBE of its packet identifier and its first filter; None: the connection is closed."""


def small_broker(on_subscribe: OnSubscribe) -> Script:
    """A script: a broker that speaks MQTT 3.1.1 and takes everything."""

    async def play(stream: trio.SocketStream) -> None:
        buffer = bytearray()
        async for data in stream:
            buffer += data
            while packet := _packet(buffer):
                reply = _reply(*packet, on_subscribe)
                if reply is None:
                    return
                await stream.send_all(reply)

    return play


def _reply(first: int, body: bytes, on_subscribe: OnSubscribe) -> bytes | None:
    match first >> 4:
        case 1:
            return b"\x20\x02\x00\x00"
        case 3:
            identifier = 2 + int.from_bytes(body[:2])
            return b"\x40\x02" + body[identifier : identifier + 2]
        case 8:
            return on_subscribe(body[:2], body[4 : 4 + int.from_bytes(body[2:4])].decode())
    return b""


def _packet(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take the first whole packet out of a buffer: its first byte, and what follows its length."""
    length = shift = 0
    for at, byte in enumerate(buffer[1:5], start=2):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if len(buffer) < at + length:
                return None
            packet = buffer[0], bytes(buffer[at : at + length])
            del buffer[: at + length]
            return packet
    return None


async def listen(stream: trio.SocketStream) -> None:
    """A script: read until the other side closes, and say nothing."""
    async for _ in stream:
        pass


class Cable:
    """A way to a broker that can be cut, again and again; made by `cable`."""

    def __init__(self) -> None:
        self.url = ""
        self.plugged: set[trio.CancelScope] = set()

    def cut(self) -> None:
        """Every connection through it breaks now."""
        for scope in self.plugged:
            scope.cancel()

    async def carry(self, broker: Broker, near: trio.SocketStream) -> None:
        """One connection."""
        far = await trio.open_tcp_stream("127.0.0.1", broker.port)
        async with near, far:
            with trio.CancelScope() as scope:
                self.plugged.add(scope)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pump, near, far, scope)
                    nursery.start_soon(_pump, far, near, scope)
            self.plugged.discard(scope)


@asynccontextmanager
async def cable(broker: Broker) -> AsyncIterator[Cable]:
    """A Cable to a broker."""
    way = Cable()

    async def carry(near: trio.SocketStream) -> None:
        await way.carry(broker, near)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, carry, 0, host="127.0.0.1"))
        way.url = f"mqtt://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield way
        nursery.cancel_scope.cancel()


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in source:
            await sink.send_all(data)
    scope.cancel()
