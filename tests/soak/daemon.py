"""The daemon through all of its lives: started, ended and restarted by the fault runner, and never by itself."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import trio

from integration.helpers import KEY, Box
from soak.published_log import EVIDENCE

STOP_S = 60.0
"""More than the drains of all sessions and of the outbox may take."""
START_S = 30.0
DEATHS = 3
"""So many ends of its own are one too many."""
LINE_MAX = 1500
BUGS = ("Traceback (most recent call last)", '"event": "bug"')


class Life:
    """From a start to the end of the process."""

    def __init__(self) -> None:
        self.began = time.time()
        self.ended: float | None = None


class Daemon:
    """`interhuman2mqtt run`, with its log in a file.

    Args:
        box: The process.
        log: The file.
        ahead: By how many seconds the wall clock of the process was ahead when it showed a time.
    """

    def __init__(self, box: Box, log: Path, ahead: Callable[[float], float | None] = lambda _: 0.0) -> None:
        self.box = box
        self.lives: list[Life] = []
        self.kills: list[float] = []
        self.violations: list[str] = []
        self.lines_per_minute: Counter[int] = Counter()
        self.camera_of: dict[str, str] = {}
        """By the cloud's id of the session."""
        self.opened: dict[str, list[float]] = {}
        """When the source of each camera was opened, by its log, in time.time()."""
        self.hopeless = trio.Event()
        self._log = log
        self._ahead = ahead
        self._has_process = False
        self._started = trio.Event()
        self._wanted = False
        self._deaths = 0
        self._traceback_from = 0
        """Which violation is still being read, counted from 1; 0: none."""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self.box.pid if self._wanted else None

    async def start(self) -> None:
        """Start it, and wait until it says that it has started."""
        self.read_log()
        await self.box.start()
        self._has_process = True
        self._wanted = True
        self.lives.append(Life())
        self._started = trio.Event()
        with trio.move_on_after(START_S):
            await self._started.wait()
        if not self._started.is_set():
            self._violation(f"it had not started after {START_S:.0f} s")

    async def stop(self, number: signal.Signals) -> bool:
        """End it by a signal; SIGTERM must end it with status 0 in time. False where somebody else is ending it."""
        if not self._wanted:
            return False
        self._wanted = False
        if number is signal.SIGKILL:
            self.kills.append(time.time())
        self.box.send(number)
        began = time.time()
        with trio.move_on_after(STOP_S):
            status = await self.box.wait(STOP_S + 1)
            if number is signal.SIGTERM and status != 0:
                self._violation(f"it ended with status {status} after SIGTERM")
        if self.box.process.process.returncode is None:
            self._violation(f"it had not ended {time.time() - began:.0f} s after {number.name}")
            self.kills.append(time.time())
            await self.box.kill()
        self.lives[-1].ended = time.time()
        self.read_log()
        return True

    async def reload(self) -> None:
        """Ask it to read its configuration anew, once it has started: before, SIGHUP ends a process."""
        with trio.move_on_after(START_S):
            await self._started.wait()
        if self._wanted:
            self.box.send(signal.SIGHUP)

    async def supervise(self) -> None:
        """Read its log, and start it again where it ended by itself, as systemd would."""
        while True:
            await trio.sleep(0.5)
            self.read_log()
            if self._wanted and self.box.process.process.returncode is not None:
                await self._died(self.box.process.process.returncode)

    async def _died(self, status: int) -> None:
        self.lives[-1].ended = time.time()
        self.kills.append(time.time())
        self._violation(f"it ended by itself with status {status}")
        self._deaths += 1
        if self._deaths >= DEATHS:
            self.hopeless.set()
            self._wanted = False
        else:
            await self.start()

    def read_log(self) -> None:
        """Take the lines that it printed since the last time."""
        if not self._has_process:
            return
        printed = self.box.process.lines
        lines, printed[:] = printed[:], []
        if lines:
            with self._log.open("a") as log:
                log.writelines(f"{line}\n" for line in lines)
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: str) -> None:
        self.lines_per_minute[int(time.time() / 60)] += 1
        if any(sign in line for sign in BUGS):
            self._violation(f"its log has a bug: {line[:LINE_MAX]}")
            self._traceback_from = len(self.violations)
        self._extend_traceback(line)
        if KEY in line:
            self._violation("its log holds the API key")
        record: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        if record.get("event") == "session ready":
            self.camera_of[record["correlation_id"]] = record["camera"]
        elif record.get("event") == "source opened":
            shown = datetime.fromisoformat(record["timestamp"]).timestamp()
            self.opened.setdefault(record["camera"], []).append(shown - (self._ahead(shown) or 0.0))
        elif record.get("event") == "started":
            self._started.set()

    def _extend_traceback(self, line: str) -> None:
        """A worker's traceback comes line by line, and its last one says most."""
        record: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        text = str(record.get("line", ""))
        if not self._traceback_from or record.get("event") != "capture process says":
            return
        self.violations[self._traceback_from - 1] = f"{self.violations[self._traceback_from - 1][-LINE_MAX:]} | {text}"
        if text[:1] not in {" ", "T"}:
            self._traceback_from = 0

    def _violation(self, sentence: str) -> None:
        if len(self.violations) < EVIDENCE:
            self.violations.append(sentence)
