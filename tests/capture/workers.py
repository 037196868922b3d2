"""Capture processes for tests: started, pulled from, and gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from capture.material import SMALL
from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.recording import WorkerRecording
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.worker import CaptureProcess, WorkerListener, start_worker
from interhuman2mqtt.capture import framing, ipc
from interhuman2mqtt.events import MediaChunk
from support.processes import PATIENCE_S

PATIENT = Timeouts(open=15.0, stall=10.0, silence=10.0)
HASTY = Timeouts(open=15.0, stall=1.5, silence=10.0)
MOUNT = {"/cam": SMALL}
HELLO = framing.pack(ipc.Hello(version=__version__))
ENOUGH_S = PATIENCE_S
"""No test waits for longer, whatever it waits for."""


@asynccontextmanager
async def working(
    command: ipc.Open, timeouts: Timeouts = PATIENT, listener: WorkerListener | None = None
) -> AsyncIterator[CaptureProcess]:
    """A worker whose source is open."""
    with trio.fail_after(ENOUGH_S):
        async with start_worker(command, timeouts, listener=listener) as worker:
            await worker.wait_open()
            yield worker


async def pull(recording: WorkerRecording, count: int) -> list[MediaChunk]:
    return [await recording.next_chunk() for _ in range(count)]


def film(chunks: list[MediaChunk]) -> bytes:
    return b"".join(chunk.payload for chunk in chunks)


def is_gone(process: int) -> bool:
    """Whether a process has ended and was reaped."""
    return not Path(f"/proc/{process}").exists()


def stand_in(folder: Path, says: bytes, then: str = "sleep 60", hello: bytes = HELLO) -> Path:
    """A program that stands in for the worker: it says something, and waits."""
    (folder / "says").write_bytes(hello + says)
    program = folder / "worker"
    program.write_text(f"#!/bin/sh\ncat {folder}/says\nexec {then}\n")
    program.chmod(0o755)
    return program
