"""The daemon's side of a capture process: started, watched, asked for chunks, and killed when it hangs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
import trio

from interhuman2mqtt import __version__, config
from interhuman2mqtt.cameras.fork_server import ForkServer
from interhuman2mqtt.cameras.recording import WorkerRecording
from interhuman2mqtt.cameras.snapshot import SnapshotImage, SnapshotRequests
from interhuman2mqtt.cameras.stall_detector import AudioStall, StallDetector, Timeouts
from interhuman2mqtt.cameras.worker_log import WorkerLog
from interhuman2mqtt.cameras.worker_process import WorkerProcess, close_pipes, end_process, open_process, status_text
from interhuman2mqtt.capture import framing, ipc
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime.beats import sleep_until_beat
from interhuman2mqtt.runtime.watchdog import Heartbeat

log = structlog.get_logger(__name__)

WATCH_S = 0.5
LAST_WORDS_S = 1.0
REAP_S = 3.0
"""What even SIGKILL does not end in this time is stuck in a driver: it is left to the kernel."""
READ_SIZE = 1 << 20
"""What the pipe holds (`capture.PIPE_BYTES`): most chunks are read at once."""
COMMANDS = 64


class WorkerListener(Protocol):
    """Listens to a capture process."""

    def opened(self, description: str) -> None:
        """Note what the source is, each time that it turns out to be another."""

    def heartbeat(self, before: ipc.WorkerHeartbeat | None, now: ipc.WorkerHeartbeat) -> None:
        """Note how the capture goes, and how it went before."""

    def other_version(self, version: str) -> None:
        """Note that the process is of another version of the program than this one, empty: of an unknown one."""

    def audio_missing(self, stall: AudioStall | None) -> None:
        """Note, again and again, why silence is sent in place of audio; None: audio is sent."""

    def spooled(self, report: ipc.Spooled | ipc.SpoolLost) -> None:
        """Note what became of a segment of the spool."""


class CaptureProcess:
    """A running capture process."""

    def __init__(self, process: WorkerProcess, open_timeout_s: float, listener: WorkerListener | None = None) -> None:
        self.opened: ipc.Opened | None = None
        self.outage: Outage | None = None
        """Why the source ended; what the ring still holds can be pulled nevertheless."""
        self.must_encode = False
        """The source cannot be copied, and could not be opened again."""
        self.ended = trio.Event()
        self.gone = trio.Event()
        """The process ended, or must not be asked any more."""
        self.silent = trio.Event()
        """The process prints nothing more."""
        self.stalls = StallDetector(open_timeout_s)
        self.recordings: dict[int, WorkerRecording] = {}
        self._listener = listener
        self._snapshots = SnapshotRequests(self.send_nowait)
        self._process = process
        self._commands, self._to_send = trio.open_memory_channel[ipc.Command](COMMANDS)
        self._numbers = 0
        self._spools = False
        self._answered = trio.Event()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_reaped(self) -> bool:
        """Whether nothing is left of the process; False while it is stuck in a driver, where no signal reaches it."""
        return self._process.poll() is not None

    async def wait_open(self) -> str:
        """Return what the source is, as soon as it is open; raise the Outage that it could not be opened for."""
        await self._answered.wait()
        if self.opened is None:
            raise self.outage or Outage(Reason.CAPTURE_CRASHED, "the capture process ended")
        return self.opened.description

    def record(
        self, framing: str, chunk_s: float, from_s: float | None, replay_s: float = 0.0, not_before_s: float = 0.0
    ) -> WorkerRecording:
        """Begin a recording: at the newest key frame, or at the first one at or after `from_s`, or a replay before."""
        self._numbers += 1
        is_standalone = framing == "standalone"
        recording = WorkerRecording(self, self._numbers, config.STANDALONE_MIN if is_standalone else None)
        self.recordings[self._numbers] = recording
        self.send_nowait(
            ipc.Record(
                recording=self._numbers,
                framing="standalone" if is_standalone else "continuous",
                chunk_s=chunk_s,
                from_s=from_s,
                replay_s=replay_s,
                floor_s=not_before_s,
            )
        )
        return recording

    async def snapshot(self) -> SnapshotImage:
        """Return what the camera sees now; raise SnapshotError."""
        return await self._snapshots.request()

    def delivered(self, start_s: float, end_s: float) -> None:
        """Note that this range of the source's timeline arrived, and need not be spooled."""
        if self._spools and not self.gone.is_set():
            self.send_nowait(ipc.Delivered(start_s=start_s, end_s=end_s))

    def spool(self, folder: str | None) -> None:
        """Write what leaves the ring undelivered into this folder, from now on; None: nowhere."""
        if not self.gone.is_set():
            self._spools = True
            self.send_nowait(ipc.Spool(folder=folder))

    def set_gone(self) -> None:
        """Wake whoever waits for a chunk or a snapshot: nothing more will come."""
        self.gone.set()
        for recording in tuple(self.recordings.values()):
            recording.wake()
        self._snapshots.close()

    def dismiss(self) -> None:
        """Close the process's stdin now: it ends its source in good order if that takes no longer than half a second.

        Nothing more of what it sends is read. It is killed `LEAVE_S` after the context around it is left.
        """
        self.set_gone()
        if isinstance(self._process.stdin, trio.lowlevel.FdStream):
            self._process.stdin.close()

    def send_nowait(self, command: ipc.Command) -> None:
        """Queue a command; a worker that does not read so many has long been found to hang."""
        try:
            self._commands.send_nowait(command)
        except trio.WouldBlock:
            raise Outage(Reason.STALLED, "the capture process does not take commands") from None

    async def write_commands(self) -> None:
        """Pass the commands on; ends when the pipe breaks."""
        assert self._process.stdin is not None  # noqa: S101 - asked for when it was started
        try:
            async for command in self._to_send:
                packed = framing.pack(command)
                del command  # the first one holds the password
                await self._process.stdin.send_all(packed)
                del packed
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the reader sees why

    async def read_frames(self) -> None:
        """Handle what the worker sends, until it ends; raise the Outage that its end is."""
        assert self._process.stdout is not None  # noqa: S101 - asked for when it was started
        buffer, has_greeted = bytearray(), False
        try:
            while data := await self._process.stdout.receive_some(READ_SIZE):
                buffer += data
                for header, payload in framing.frames(buffer):
                    if has_greeted:
                        self.handle(framing.unpack_frame(header), payload)
                    else:
                        self._check_version(framing.unpack_version(header))
                        has_greeted = True
        except framing.IpcError as error:
            raise Outage(Reason.CAPTURE_CRASHED, f"the capture process sent rubbish: {error}") from error
        status = await self._process.wait()
        with trio.move_on_after(LAST_WORDS_S):
            await self.silent.wait()  # it may well have printed why it ends
        if self.gone.is_set():
            return  # as it was asked to
        raise self.outage or Outage(Reason.CAPTURE_CRASHED, f"the capture process ended {status_text(status)}")

    def _check_version(self, version: str) -> None:
        """Raise an Outage where the worker is of another version: nobody knows what its frames mean, nor ours to it."""
        if version == __version__:
            return
        if self._listener is not None:
            self._listener.other_version(version)
        raise Outage(
            Reason.CAPTURE_CRASHED,
            f"the program was replaced while it ran: this is {__version__}, the capture process is of "
            f"{version or 'an unknown version'}; a restart of the service ends that",
        )

    async def read_log(self, worker_log: WorkerLog) -> None:
        """Log what the worker prints besides its frames, line by line."""
        assert self._process.stderr is not None  # noqa: S101 - asked for when it was started
        await worker_log.read(self._process.stderr)
        self.silent.set()

    async def watch(self, timeouts: Timeouts, heartbeat: Heartbeat) -> None:
        """Raise an Outage once the worker hangs, or a track of its source stands still."""
        while True:
            heartbeat(WATCH_S)
            await sleep_until_beat(WATCH_S)
            if self.outage is None:
                self.stalls.judge(timeouts)
                if self._listener is not None:
                    self._listener.audio_missing(self.stalls.audio_missing(timeouts))

    def handle(self, frame: ipc.Frame, payload: bytes) -> None:
        """Handle a frame that came through the pipe."""
        match frame:
            case ipc.Opened():
                self.opened = frame
                if not frame.is_same:  # or a microphone that comes and goes would hide that the video stalls
                    self.stalls.opened()
                self._answered.set()
                if self._listener is not None:
                    self._listener.opened(frame.description)
                log.info("source opened", source=frame.description)
            case ipc.Failed():
                self.outage = (Refused if frame.refused else Outage)(frame.reason, frame.detail)
                self.must_encode = frame.encode
                self.ended.set()
                self._answered.set()
            case ipc.WorkerHeartbeat():
                self._observe(frame)
            case ipc.Chunk() if recording := self.recordings.get(frame.recording):
                recording.add(frame, payload)
            case ipc.Spooled() | ipc.SpoolLost() if self._listener:
                self._listener.spooled(frame)
            case ipc.Snapshot():
                self._snapshots.resolve(frame, payload)
            case _:
                pass  # of a recording that was dropped while it was on its way

    def _observe(self, heartbeat: ipc.WorkerHeartbeat) -> None:
        if self._listener is not None:
            self._listener.heartbeat(self.stalls.heartbeat, heartbeat)
        self._log_new_repairs(heartbeat.repairs)
        self.stalls.observe(heartbeat)

    def _log_new_repairs(self, repairs: dict[str, int]) -> None:
        """Log each rule of repair once; how often it was applied is counted."""
        before = self.stalls.heartbeat.repairs if self.stalls.heartbeat else {}
        if news := sorted(repairs.keys() - before.keys()):
            log.info("what the source sends is mended", rules=news)


@asynccontextmanager
async def start_worker(  # noqa: PLR0913 - each has a default
    command: ipc.Open,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    heartbeat: Heartbeat = lambda _seconds: None,
    worker_log: WorkerLog | None = None,
    listener: WorkerListener | None = None,
    *,
    fork_server: ForkServer | None = None,
) -> AsyncIterator[CaptureProcess]:
    """Run a capture process for as long as the context lasts; leaving it the process is gone, whatever it was doing.

    Args:
        command: What to capture; it holds the camera's password, and is not kept.
        timeouts: When the process counts as hanging.
        heartbeat: Set to how long each wait for the worker may last.
        worker_log: Logs what the process prints.
        listener: Listens to how the capture goes.
        fork_server: Starts the process; without one it is a new one that imports all that it needs.

    Raises:
        Outage: the worker hangs, crashed, or could not be started. How its source fails stands in
            `CaptureProcess.outage`.
    """
    start = open_process if fork_server is None else fork_server.open_process
    process = await start([] if command.connection is None else [command.connection])
    worker = CaptureProcess(process, command.open_timeout_s, listener)
    worker.send_nowait(command)
    del command
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.write_commands)
            nursery.start_soon(worker.read_frames)
            nursery.start_soon(worker.watch, timeouts, heartbeat)
            nursery.start_soon(worker.read_log, worker_log or WorkerLog())
            try:
                yield worker
            finally:
                worker.set_gone()
                with trio.move_on_after(REAP_S, shield=True):
                    await end_process(process)
                nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(REAP_S, shield=True):
            await close_pipes(process)
