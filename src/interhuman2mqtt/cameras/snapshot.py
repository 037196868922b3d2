"""Snapshots that a worker is asked for: each an answer that comes through the pipe, or a sentence why not."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import trio
from msgspec import Struct

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Interhuman2MqttError

WIDTH_MAX = 1280
"""Pixels."""
PATIENCE_S = 15.0
"""More than one that waits for three others ever takes (`capture.snapshot.DECODE_S`)."""


class SnapshotError(Interhuman2MqttError):
    """There is no snapshot to be had now; the text says why, to who asked."""


class SnapshotImage(Struct, frozen=True):
    """An image of a camera."""

    jpeg: bytes
    size: tuple[int, int]
    """Width and height in pixels."""
    taken_at: datetime
    """In UTC."""

    def __repr__(self) -> str:
        return f"SnapshotImage({self.size}, {self.taken_at})"  # without the image


class SnapshotRequests:
    """The snapshots that one worker is asked for."""

    def __init__(self, send: Callable[[ipc.Command], None]) -> None:
        self._send = send
        self._numbers = count(1)
        self._asked: dict[int, trio.MemorySendChannel[SnapshotImage | SnapshotError]] = {}

    async def request(self) -> SnapshotImage:
        """Return what the camera sees now; raise SnapshotError."""
        number = next(self._numbers)
        answers, answer = trio.open_memory_channel[SnapshotImage | SnapshotError](1)
        self._asked[number] = answers
        try:
            self._send(ipc.TakeSnapshot(number=number, width_max=WIDTH_MAX))
            with trio.fail_after(PATIENCE_S):
                image = await answer.receive()
        except trio.TooSlowError:
            raise SnapshotError(f"the capture process made no snapshot in {PATIENCE_S:g} s") from None
        finally:
            self._asked.pop(number, None)
        if isinstance(image, SnapshotError):
            raise image
        return image

    def resolve(self, frame: ipc.Snapshot, jpeg: bytes) -> None:
        """Hand a snapshot, or why there is none, to who asked; what nobody waits for any more is let go."""
        if (answers := self._asked.pop(frame.number, None)) is not None:
            answers.send_nowait(_image(frame, jpeg) if jpeg else SnapshotError(frame.error or "it is empty"))

    def close(self) -> None:
        """Answer whoever waits: the worker is gone."""
        while self._asked:
            _, answers = self._asked.popitem()
            answers.send_nowait(SnapshotError("the capture process ended"))


def _image(frame: ipc.Snapshot, jpeg: bytes) -> SnapshotImage:
    taken = frame.taken_s + frame.anchor_s + time.time() - time.monotonic()
    return SnapshotImage(jpeg, frame.size, datetime.fromtimestamp(taken, UTC))
