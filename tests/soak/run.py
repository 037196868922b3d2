"""One run: start the parts, inject the faults, sample and read everything, and wait without faults at the end."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import trio

from soak.archive import NO_MEDIA, CloudSession, Media, read_media
from soak.fault_plan import COMEBACK_S, PlannedFault, quiet_at_end
from soak.fault_runner import FaultRunner
from soak.judge import Judge
from soak.process_monitor import ProcessMonitor
from soak.testbed import CAMERAS, SCENES, Testbed

SAMPLE_S = 5.0
READ_S = 2.0
UNKNOWN_CAMERA_S = 60.0
"""After which media is forgotten that no camera is known of."""
QUIET_S = 20.0
"""So long after the last fault figures are undisturbed again."""
TOO_MANY = 30
"""Violations that make a run hopeless."""


class Retained(NamedTuple):
    """What the broker retained before the stop, and after the end."""

    streaming: dict[str, bytes]
    stopped: dict[str, bytes]


class SoakRun:
    """One run."""

    def __init__(
        self,
        testbed: Testbed,
        plan: tuple[PlannedFault, ...],
        seconds: float,
        print_line: Callable[[str], None] = print,
    ) -> None:
        self.fault_runner = FaultRunner(testbed)
        self.judge = Judge(testbed, self.fault_runner)
        self.began = time.time()
        self.processes = ProcessMonitor(testbed.mark)
        self.retained = Retained({}, {})
        self.abort_reason = ""
        self._print = print_line
        self._testbed = testbed
        self._plan = plan
        self._seconds = seconds
        self._last_fault_at = 0.0

    async def execute(self) -> None:
        """From the start of the daemon to its end."""
        testbed = self._testbed
        async with trio.open_nursery() as nursery:
            nursery.start_soon(testbed.daemon.supervise)
            nursery.start_soon(self._read)
            await testbed.daemon.start()
            nursery.start_soon(self._sample)
            nursery.start_soon(self._print_progress)
            nursery.start_soon(self._abort_when_hopeless, faults := trio.CancelScope())
            with faults:
                await self._run_faults()
                await self._wait_until_quiet()
            streaming = await testbed.retained()
            await self._stop()
            self.retained = Retained(streaming, await testbed.retained())
            nursery.cancel_scope.cancel()
        await self._read_once(last=True)

    async def _run_faults(self) -> None:
        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            self.fault_runner.began = time.time()
            for planned in self._plan:
                await trio.sleep_until(start + planned.second)
                nursery.start_soon(self.fault_runner.run, planned)

    async def _wait_until_quiet(self) -> None:
        """At least as long as was planned, and until all cameras are back or can be expected to be."""
        until = trio.current_time() + quiet_at_end(self._seconds)
        with trio.move_on_after(max(COMEBACK_S, quiet_at_end(self._seconds))):
            while not self._all_stream():  # noqa: ASYNC110 - a published status wakes nobody
                await trio.sleep(0.5)
        await trio.sleep_until(until)

    def _all_stream(self) -> bool:
        statuses = self._testbed.published_log.statuses
        return all(name in statuses and statuses[name].state == "streaming" for name in CAMERAS.all)

    async def _stop(self) -> None:
        """SIGTERM, and time for the last words to arrive."""
        await self._testbed.daemon.stop(signal.SIGTERM)
        await trio.sleep(1.0)
        self.processes.check_stopped()

    async def _abort_when_hopeless(self, faults: trio.CancelScope) -> None:
        """End a run early of which nothing can be hoped."""
        while not self._is_hopeless():  # noqa: ASYNC110 - what is counted wakes nobody
            await trio.sleep(1.0)
        self.abort_reason = (
            "the daemon ended too often" if self._testbed.daemon.hopeless.is_set() else "too much is wrong"
        )
        faults.cancel()

    def _is_hopeless(self) -> bool:
        wrong = self._testbed.published_log.counts["violations"] + len(self.judge.lost) + len(self.judge.disordered)
        return self._testbed.daemon.hopeless.is_set() or wrong > TOO_MANY

    async def _print_progress(self) -> None:
        """A line a minute for who waits."""
        for minute in count(1):
            await trio.sleep(60.0)
            log, statuses = self._testbed.published_log, self._testbed.published_log.statuses.values()
            states = ", ".join(f"{n} {state}" for state, n in sorted(Counter(s.state for s in statuses).items()))
            self._print(
                f"{minute:4} min: {len(self.fault_runner.done)} faults, {log.counts['events']:,} events; {states}"
            )

    async def _sample(self) -> None:
        while True:
            await trio.sleep(SAMPLE_S)
            self._testbed.trim()
            daemon = self._testbed.daemon.pid
            self.processes.check_leftovers(daemon)
            if self.fault_runner.under_way:
                self._last_fault_at = time.time()
            elif daemon is not None and time.time() - self._last_fault_at > QUIET_S:
                self.processes.add_samples(daemon)

    async def _read(self) -> None:
        while True:
            await trio.sleep(READ_S)
            await self._read_once()
            self._testbed.subscriber.check(time.time())
            self.judge.settle(time.time())

    async def _read_once(self, *, last: bool = False) -> None:
        """Take what the cloud wrote, and look at the media of the sessions that are over."""
        archive = self._testbed.archive
        archive.read()
        for session in [one for one in archive.sessions.values() if one.closed_at and one.media is None]:
            session.camera = self._camera_of(session)
            if session.camera is not None:
                session.media = await self._read_media(session, session.camera)
            elif last or time.time() - (session.closed_at or 0) > UNKNOWN_CAMERA_S:
                session.media = NO_MEDIA
            else:
                continue
            is_odd = session.media.doubtful and not self.judge.is_affected(session)
            if not (session.media.troubles or is_odd):
                archive.forget(session)

    def _camera_of(self, session: CloudSession) -> str | None:
        log, daemon = self._testbed.published_log, self._testbed.daemon
        return log.camera_of(session.name) or daemon.camera_of.get(session.correlation_id or "")

    async def _read_media(self, session: CloudSession, camera: str) -> Media:
        files = self._testbed.archive.files(session)
        return await trio.to_thread.run_sync(read_media, files, SCENES[camera], session.closed_at or 0.0)
