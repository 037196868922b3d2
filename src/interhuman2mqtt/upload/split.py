"""Cuts a recording into parts that the cloud takes, by a process of its own (`split_worker`)."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import msgspec
import trio

from interhuman2mqtt.capture import bundled_libraries
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.upload.client import DURATION_MAX, DURATION_MIN, SIZE_MAX
from interhuman2mqtt.upload.split_ipc import (
    Line,
    Note,
    Progress,
    SourceInfo,
    Split,
    SplitFailed,
    SplitPart,
    decode_line,
)

SILENCE_MAX_S = 120.0
"""Seconds without a line after which the process hangs: a long GOP is encoded in less."""
MARGIN_S = 5.0
"""Seconds that a part stays below the cloud's limit, whose clock may count a last frame or the audio longer."""
LINE_MAX = 64 << 10


class SplitRecording(NamedTuple):
    """A recording, and its parts."""

    described: SourceInfo
    parts: tuple[SplitPart, ...]
    notes: tuple[str, ...]


async def split(
    source: Path, folder: Path, model: str | None, on_progress: Callable[[Progress], None]
) -> SplitRecording:
    """Write the parts of a recording into a folder; raise Refused or Outage, whose sentence does not name the file."""
    command = Split(
        source=str(await trio.Path(source).absolute()),
        folder=str(folder),
        model=model,
        size_max=SIZE_MAX,
        duration_max=DURATION_MAX - MARGIN_S,
        duration_min=DURATION_MIN,
    )
    described: SourceInfo | None = None
    parts: list[SplitPart] = []
    notes: list[str] = []
    async with aclosing(_lines(command)) as lines:
        async for line in lines:
            match line:
                case Progress():
                    on_progress(line)
                case Note():
                    notes.append(line.text)
                case SplitPart():
                    parts.append(line)
                case SourceInfo():
                    described = line
                case SplitFailed():
                    raise Refused(line.reason, line.detail)
    if described is None or not parts:
        raise Outage(Reason.INVALID_MEDIA, "FFmpeg crashed over it: is it a recording, and not damaged?")
    return SplitRecording(described, tuple(parts), tuple(notes))


async def _lines(command: Split) -> AsyncGenerator[Line, None]:
    words = [sys.executable, "-m", "interhuman2mqtt.upload.split_worker", msgspec.json.encode(command).decode()]
    environment = dict(os.environ) | bundled_libraries.environment(os.environ)
    process = await trio.lowlevel.open_process(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None  # noqa: S101 - asked for
    rest = b""
    try:
        while True:
            with trio.move_on_after(SILENCE_MAX_S) as patience:
                data = bytes(await process.stdout.receive_some(LINE_MAX))
            if patience.cancelled_caught:
                raise Outage(Reason.STALLED, f"FFmpeg did not go on with it for {SILENCE_MAX_S:g} s")
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield decode_line(line)
            if not data:
                return
    finally:
        process.kill()
        with trio.CancelScope(shield=True):  # a killed process is reaped at once
            await process.wait()
        await trio.aclose_forcefully(process.stdout)
