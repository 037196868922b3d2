"""A camera's first half: one capture process after another."""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import structlog
import trio
from msgspec import structs

from interhuman2mqtt import config
from interhuman2mqtt.cameras.browser_listener import BrowserListener, nobody
from interhuman2mqtt.cameras.context import CameraContext, capture_of
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.gaps import AudioGap
from interhuman2mqtt.cameras.stall_detector import AudioStall, Timeouts
from interhuman2mqtt.cameras.start_limiter import HOLD_S, Turn, wait_answer
from interhuman2mqtt.cameras.status import AudioCondition, StatusTracker
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.cameras.worker_log import WorkerLog
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.config import secrets, urls
from interhuman2mqtt.errors import Lingering, Outage, Reason, leaves
from interhuman2mqtt.runtime.notifier import Notifier
from interhuman2mqtt.supervisor import Health

log = structlog.get_logger(__name__)

LAST_MEDIA_S = 5.0
"""How long what is left of a source that has ended may still be pulled."""
BROWSER_PATIENCE_S = 15.0
"""So much longer than `buffer` a browser may send nothing, until its worker counts as hanging; the page ends it sooner.
"""

SEGMENT_S = 30.0
"""Of a segment of the spool. A crash costs one at most; each is a job of its own, with its own ends of signals."""


class CaptureTask:
    """Keeps a worker that a session can pull from, and listens to it (`worker.WorkerListener`)."""

    def __init__(
        self, camera: config.CameraConfig, context: CameraContext, status: StatusTracker, counters: Counters
    ) -> None:
        self.worker: CaptureProcess | None = None
        self._camera = camera
        self._context = context
        self._status = status
        self._counters = counters
        self._worker_log = WorkerLog()
        self._missing_audio: AudioCondition | None = None
        self._last: CaptureProcess | None = None
        self._has_failed = False
        self._opened, self._released = Notifier(), Notifier()
        self._browser = BrowserListener(context.browsers, camera) if urls.is_browser(camera.source) else None
        self._must_encode = False
        """A browser's video turned out to be one that cannot be copied."""
        self._spool = context.spools.of(camera.id) if camera.backfill is not None else None

    async def run(self, health: Health) -> bool:
        """Run one worker, from its start until its source fails, which is raised."""
        self._refuse_second()
        if self._browser is not None:
            await self._run_browser(self._browser, health)
        turn = await self._wait_turn()
        await self._run_worker(open_command(self._camera), self._context.timeouts, turn, health)

    async def _run_browser(self, browser: BrowserListener, health: Health) -> NoReturn:
        """Wait for a browser, for as long as it takes, and run one worker for one recorder of it."""
        last = self._last
        self._must_encode |= last is not None and last.must_encode
        self._status.set_capture_waiting(nobody(self._camera.id, None if last is None else last.outage))
        self._context.heartbeats.withdraw(capture_of(self._camera.id))
        with await browser.accept() as connection:
            turn = await self._context.starts.wait_turn(failed=False)
            command = structs.replace(open_command(self._camera), connection=connection.fileno())
            if self._must_encode and self._camera.video == "auto":
                command = structs.replace(command, video="h264")
            # a line that is broken is waited for by the browser and the page, up to `buffer`
            patient_s = self._camera.buffer + BROWSER_PATIENCE_S
            timeouts = self._context.timeouts._replace(open=patient_s, stall=patient_s)
            try:
                await self._run_worker(command, timeouts, turn, health)
            except* Outage as group:
                # whatever one browser sent, the next may send something better: it waits for seconds at most
                outage = leaves(group)[0]
                raise Lingering(outage.reason, outage.detail) from None

    async def _run_worker(self, command: ipc.Open, timeouts: Timeouts, turn: Turn, health: Health) -> NoReturn:
        self._counters.captures += 1
        try:
            async with start_worker(
                command,
                timeouts,
                heartbeat=self._context.heartbeats.of(capture_of(self._camera.id)),
                worker_log=self._worker_log,
                listener=self,
                fork_server=self._context.fork_server,
            ) as worker:
                self._last, self._counters.children = worker, 1
                with trio.move_on_after(HOLD_S):
                    await worker.wait_open()
                turn.end()
                await self._keep(worker, health)
        finally:
            turn.end()
            self._counters.children = self._left_over()
            self._counters.end_capture()

    async def _wait_turn(self) -> Turn:
        """Wait until the camera answers, and a process may begin; raise the Outage that it does not answer for."""
        failed, self._has_failed = self._has_failed, True  # until it has opened
        open_command(self._camera)  # without its password it need not be asked
        await wait_answer(opened_source(self._camera), self._context.resolver)
        self._context.heartbeats.withdraw(capture_of(self._camera.id))  # as many others may come first
        return await self._context.starts.wait_turn(failed=failed)

    async def _keep(self, worker: CaptureProcess, health: Health) -> NoReturn:
        await worker.wait_open()
        health.healthy()
        self._has_failed = False
        self.worker = worker
        if self._spool is not None:
            self._spool.attach(worker)
        self._opened.set()
        self._released.clear()
        try:
            await worker.ended.wait()
            with trio.move_on_after(LAST_MEDIA_S):
                await self._released.wait()
        finally:
            if self._spool is not None:
                self._spool.detach()
            self._forget()
            self._set_audio_missing(None)
        raise worker.outage or Outage(Reason.SOURCE_ENDED, "the source ended")

    def opened(self, description: str) -> None:
        """Show what the source is."""
        self._status.set_source(description)

    def other_version(self, version: str) -> None:
        """Let the daemon end: only a new process of it understands its capture processes."""
        self._context.program.replaced(version)

    def heartbeat(self, before: ipc.WorkerHeartbeat | None, now: ipc.WorkerHeartbeat) -> None:
        """Count how the capture goes."""
        self._counters.add_heartbeat(before, now)

    def spooled(self, report: ipc.Spooled | ipc.SpoolLost) -> None:
        """Count what becomes of what is spooled."""
        match report:
            case ipc.Spooled(seconds=seconds):
                self._counters.spooled_seconds += seconds
            case ipc.SpoolLost(seconds=seconds):
                self._counters.spool_lost_seconds += seconds
        if self._spool is not None:
            self._spool.written(report.detail if isinstance(report, ipc.SpoolLost) else None)

    def audio_missing(self, stall: AudioStall | None) -> None:
        """Publish that audio goes missing, once the source is open."""
        if self.worker is not None:
            self._set_audio_missing(stall)

    def _set_audio_missing(self, stall: AudioStall | None) -> None:
        """Publish when audio goes missing, or why else it does, and when it is there again."""
        before = self._missing_audio
        if (before and before.reason) == (stall and stall.reason):
            return
        now, camera = self._context.clock.boottime(), self._camera.id
        if before:
            self._context.coverage.audio(camera, AudioGap(before.since, now, before.reason))
        self._missing_audio = None
        if stall:
            since = now - stall.seconds
            self._missing_audio = AudioCondition(since, stall.reason, stall.detail)
            self._context.coverage.audio(camera, AudioGap(since, None, stall.reason))
        self._status.set_audio_missing(self._missing_audio)

    def _refuse_second(self) -> None:
        """Raise an Outage while the last process, which cannot be killed, holds the device: others would pile up."""
        if self._left_over():
            raise Outage(
                Reason.STALLED,
                "a capture process is stuck in the device's driver and cannot be killed: "
                "unplug the device, or restart the machine",
            )

    def _left_over(self) -> int:
        """Return how many processes of ours are still there, though we have left them."""
        return int(self._last is not None and not self._last.is_reaped)

    def listen(self) -> AbstractContextManager[object]:
        """Return the context in which a browser can be the camera, if it is one."""
        return nullcontext() if self._browser is None else self._browser

    def dismiss(self) -> None:
        """Let the capture process end at once, be its source open or not."""
        if self._browser is not None:
            self._browser.close()
        if self._last is not None:
            self._last.dismiss()

    async def wait_worker(self) -> CaptureProcess:
        """Return the worker, as soon as its source is open."""
        while self.worker is None:
            await self._opened.wait()
        return self.worker

    def session_over(self, worker: CaptureProcess) -> None:
        """Note that nobody pulls from a worker now; one whose source has ended is of no more use."""
        if worker is self.worker and worker.ended.is_set():
            self._forget()

    def _forget(self) -> None:
        self.worker = None
        self._released.set()


def opened_source(camera: config.CameraConfig) -> str:
    """Return what is opened of a camera: its microphone alone, where that has the only track that is used."""
    return camera.microphone if camera.is_audio_only and camera.microphone else camera.source


def open_command(camera: config.CameraConfig) -> ipc.Open:
    """Return the command that opens the camera's source; raise Refused where the password is missing."""
    source = opened_source(camera)
    password = None
    if camera.password is not None:
        password = secrets.read(camera.password, what=f"cameras.{camera.id}.password").reveal()
    return ipc.Open(
        camera=camera.id,
        source=source,
        username=camera.username,
        password=password,
        transport=camera.transport,
        open_timeout_s=camera.open_timeout,
        verify=camera.verify,
        ca_file=camera.ca_file,
        size=camera.size,
        fps=camera.fps,
        format=camera.format,
        video_bitrate=camera.video_bitrate,
        microphone=None if camera.is_audio_only else camera.microphone,
        video=camera.video,
        audio=camera.audio,
        audio_only=camera.is_audio_only,
        buffer_s=camera.buffer,
        buffer_max=camera.buffer_max,
        may_spool=camera.backfill is not None,
        segment_s=SEGMENT_S,
        verbose=log.is_enabled_for(logging.DEBUG),
    )
