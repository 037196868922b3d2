"""The faults of a running session, made to happen at their moments."""

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterator

import trio

from interhuman2mqtt.simulator.archive import SessionRecord
from interhuman2mqtt.simulator.connection import Line
from interhuman2mqtt.simulator.errors import lookup
from interhuman2mqtt.simulator.faults import Clock, Fault, Planned, When

_HUGE = 2 << 20
"""Bytes: twice what many WebSocket clients take by default."""

_HUGE_MIB = 16
ECHOES: dict[str, Callable[[str], str]] = {
    "plain": json.dumps,
    "escaped": lambda key: '"' + "".join(f"\\u{ord(letter):04x}" for letter in key) + '"',
    "base64": lambda key: json.dumps(b64encode(f"Bearer {key}".encode()).decode()),
}
"""How a careless server may write the key that it was asked with, as JSON strings."""

GARBAGE: dict[str, tuple[str | bytes, ...]] = {
    "json": ('{"type": "signal.detected", "data": {', "", "not JSON at all", "\ufeff\u0000"),
    "binary": (b"\x00\x01\x02\x03",),
    "huge": ('{"type": "signal.detected", "data": {"rationale": "' + "x" * _HUGE + '"}}',),
    "types": (
        "null",
        "[]",
        "7",
        '{"data": {}}',
        '{"type": 7, "data": {}}',
        '{"type": "signal.detected"}',
        '{"type": "signal.detected", "data": []}',
        '{"type": "signal.detected", "data": {"signal_type": 7, "start": "soon", "probability": {}}}',
        '{"type": "conversation_quality.updated", "data": {"overall": 50, "timeline": {}}}',
        '{"type": "error", "data": {"code": null}}',
        '{"error_id": "ih1001", "message": "an error without a type"}',
    ),
}
"""What `malformed` sends, by sort."""


class Gauge:
    """A number that only rises, and that can be waited for."""

    def __init__(self) -> None:
        self.value = 0.0
        self._changed = trio.Event()

    def set(self, value: float) -> None:
        """Raise it, and wake who waits for that."""
        self.value = value
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, value: float) -> None:
        """Wait until it is at least so much."""
        while self.value < value:
            await self._changed.wait()


class Gauges:
    """The counters that faults wait for, and what they hold up."""

    def __init__(self) -> None:
        self.chunks = Gauge()
        self.media = Gauge()
        self.reading = trio.Event()
        self.reading.set()
        self.rejects: str | None = None
        """The error that each chunk is answered with from now on."""

    async def wait_until(self, when: When) -> None:
        """Wait for the moment of a fault; seconds of the session count from now."""
        if when.clock is Clock.SESSION:
            await trio.sleep(when.value)
        else:
            gauge = self.media if when.clock is Clock.MEDIA else self.chunks
            await gauge.wait_for(when.value)

    async def stop_reading(self, seconds: float | None) -> None:
        """Stop reading for so long, or for ever."""
        self.reading = trio.Event()
        await trio.sleep(math.inf if seconds is None else seconds)
        self.read_on()

    def read_on(self) -> None:
        """End a stall, at the latest with its connection."""
        self.reading.set()


async def play(planned: Planned, line: Line, gauges: Gauges, record: SessionRecord) -> None:
    """Wait for a fault's time; if it is still to happen then, make it happen."""
    await gauges.wait_until(planned.fault.when)
    if planned.claim():
        record.write("fault", kind=planned.fault.kind, argument=planned.fault.argument)
        await _happen(planned.fault, line, gauges)


async def _happen(fault: Fault, line: Line, gauges: Gauges) -> None:
    match fault.kind:
        case "disconnect":
            await line.reset()
        case "close":
            await line.close(int(fault.argument))
        case "stall":
            await gauges.stop_reading(fault.seconds)
        case "reject":
            gauges.rejects = fault.argument
        case "malformed" | "huge" | "echo-key":
            for frame in _nonsense(fault, line.credential):
                await line.send_raw(frame)
        case _:  # error
            await line.send_error(lookup(fault.argument))
            if fault.close is not None:
                await line.close(fault.close)


def _echo(key: str, sort: str) -> str:
    return '{"type": "error", "data": {"code": "ih1001", "message": ' + ECHOES[sort](key) + "}}"


def _nonsense(fault: Fault, key: str) -> Iterator[str | bytes]:
    match fault.kind:
        case "huge":
            text = "x" * (int(fault.argument or _HUGE_MIB) << 20)
            yield '{"type": "feedback.generated", "data": {"feedback": "' + text + '"}}'
        case "echo-key":
            yield from (_echo(key, sort) for sort in ([fault.argument] if fault.argument else ECHOES))
        case _:
            for sort in [fault.argument] if fault.argument else GARBAGE:
                yield from GARBAGE[sort]
