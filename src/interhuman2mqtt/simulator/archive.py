"""What the sessions received and were told, kept in a directory: playable media and `sessions.jsonl`.

`sessions.jsonl` has one JSON object per happening, flushed at once, with the keys `at` (UTC), `monotonic` (seconds, the
machine's CLOCK_MONOTONIC), `session` (its number; null before it has one), `request_id` (the client's own), `what`, and
what belongs to it:

====================  ==================================================================================
refused               `code`, `status` or `close`: a client that got no session
opened                `version`, `model`, `correlation_id`
chunk                 `index` from 1, `size` in bytes, `file` that it was added to: a binary frame arrived
decoded               `index`, `start`, `end`: seconds of media in it; both null where it held none
configured            `config`: what is in force now
event                 `type`, `data`: a message went out
unsent                the same, where the client was gone already
uploaded              `number` from 1, `job` (null on v1), `options`, `filename`, `size`, `duration`, `file`
fault                 `kind`, `argument`: a fault happened
closed                `code`, `by`: client or server; the code is 1006 where there was no close frame
====================  ==================================================================================
"""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from interhuman2mqtt.simulator.demuxer import inspect
from interhuman2mqtt.simulator.errors import Answer

_SUFFIXES = {"mp4": ".mp4", "matroska": ".webm"}


class Archive:
    """The directory of a run; without one everything here does nothing.

    Writing blocks the simulator's loop: pages of a file system's cache, microseconds each, in exchange for an order of
    lines that is the order in which things happened.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._log: IO[bytes] | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._log = (directory / "sessions.jsonl").open("ab")

    def write(self, what: str, session: int | None, request_id: str | None, **more: Any) -> None:
        """One line of `sessions.jsonl`."""
        if self._log is None:
            return
        line = {
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "monotonic": time.monotonic(),
            "session": session,
            "request_id": request_id,
            "what": what,
            **more,
        }
        self._log.write(msgspec.json.encode(line) + b"\n")
        self._log.flush()

    def append(self, name: str, payload: bytes) -> None:
        """Bytes to the end of one of its files."""
        if self._directory is not None:
            with (self._directory / name).open("ab") as file:
                file.write(payload)

    def close(self) -> None:
        """Close the archive at the end of the run."""
        if self._log is not None:
            self._log.close()


class SessionRecord:
    """One session's part of the archive."""

    def __init__(self, archive: Archive, session: int | None, request_id: str | None, fallback_id: str) -> None:
        self.session = session
        self._archive = archive
        self._request_id = request_id
        self._name = f"{session}-{re.sub(r'[^A-Za-z0-9_.-]', '_', request_id or fallback_id)[:80]}"
        self._files = 0
        self._open_format: str | None = None
        self._open_file = f"{self._name}.bin"

    def write(self, what: str, **more: Any) -> None:
        """One line about this session."""
        self._archive.write(what, self.session, self._request_id, **more)

    def chunk(self, index: int, payload: bytes, *, is_pcm: bool = False) -> None:
        """Store a binary frame: it opens a file, or continues the open one; PCM is one file of samples."""
        file = f"{self._name}.pcm" if is_pcm else self._file_of(payload)
        self.write("chunk", index=index, size=len(payload), file=file)
        self._archive.append(file, payload)

    def _file_of(self, payload: bytes) -> str:
        """Return the file that a frame belongs to: what is malformed stays apart, so that the rest can be played."""
        try:
            shape = inspect(payload, self._open_format)
        except Answer:
            return f"{self._name}.bin"
        if shape.opens:
            self._files += 1
            self._open_format = shape.format
            number = "" if self._files == 1 else f"-{self._files}"
            self._open_file = f"{self._name}{number}{_SUFFIXES[shape.format]}"
        return self._open_file
