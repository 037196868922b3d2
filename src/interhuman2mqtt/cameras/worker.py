"""The daemon's side of a capture process: started, watched, asked for chunks, and killed when it hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.recording import WorkerRecording
from interhuman2mqtt.cameras.snapshot import SnapshotImage, SnapshotRequests
from interhuman2mqtt.cameras.stall_detector import AudioStall, StallDetector, Timeouts
from interhuman2mqtt.cameras.worker_log import UNFINISHED_MAX, WorkerLog
from interhuman2mqtt.capture import bundled_libraries, ipc
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime.watchdog import Heartbeat

log = structlog.get_logger(__name__)

WATCH_S = 1.0
LEAVE_S = 0.7
"""What a process needs to leave (`capture.__main__.LEAVE_S`), and a little."""
LAST_WORDS_S = 1.0
REAP_S = 3.0
"""What even SIGKILL does not end in this time is stuck in a driver: it is left to the kernel."""
READ_SIZE = 1 << 18
COMMANDS = 64
INHERITED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PULSE_SERVER"),  # where sound servers are, and what a user says of ALSA
)
INHERITED_PREFIXES = ("PYTHON", "COV", "COVERAGE", "ALSA_", "PIPEWIRE_")
MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Of glibc: an arena per thread, and what the opening of a source once needed, would cost megabytes for nothing."""


class CaptureProcess:
    """A running capture process."""

    def __init__(self, process: trio.Process, open_timeout_s: float) -> None:
        self.opened: ipc.Opened | None = None
        self.on_opened: Callable[[str], None] = lambda _: None
        """Told what the source is, each time that it turns out to be another."""
        self.on_pulse: Callable[[ipc.WorkerHeartbeat | None, ipc.WorkerHeartbeat], None] = lambda _before, _now: None
        """Told how the capture goes, after how it went."""
        self.on_sound: Callable[[AudioStall | None], None] = lambda _: None
        """Told each second why silence is sent in place of sound, and None when sound is sent again."""
        self.outage: Outage | None = None
        """Why the source ended; what the ring still holds can be pulled nevertheless."""
        self.ended = trio.Event()
        self.gone = trio.Event()
        """The process ended, or must not be asked any more."""
        self.silent = trio.Event()
        """The process prints nothing more."""
        self.progress = StallDetector(open_timeout_s)
        self.recordings: dict[int, WorkerRecording] = {}
        self._pictures = SnapshotRequests(self.send_nowait)
        self._process = process
        self._commands, self._to_send = trio.open_memory_channel[ipc.Command](COMMANDS)
        self._numbers = 0
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
        """What the source is, as soon as it is open; raises the Outage that it could not be opened for."""
        await self._answered.wait()
        if self.opened is None:
            raise self.outage or Outage(Reason.CAPTURE_CRASHED, "the capture process ended")
        return self.opened.description

    def record(
        self, framing: str, chunk_s: float, from_s: float | None, replay_s: float = 0.0, floor_s: float = 0.0
    ) -> "WorkerRecording":
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
                floor_s=floor_s,
            )
        )
        return recording

    async def picture(self) -> SnapshotImage:
        """What the camera sees now; raises NoPicture."""
        return await self._pictures.take()

    def leave(self) -> None:
        """Nothing more will come: wake whoever waits for a chunk or a picture."""
        self.gone.set()
        for recording in tuple(self.recordings.values()):
            recording.wake()
        self._pictures.leave()

    def dismiss(self) -> None:
        """Close the process's stdin now: it ends its source in good order if that takes no longer than half a second.

        Nothing more of what it sends is read. It is killed `LEAVE_S` after the context around it is left.
        """
        self.leave()
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
                packed = ipc.pack(command)
                del command  # the first one holds the password
                await self._process.stdin.send_all(packed)
                del packed
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the reader sees why

    async def read_frames(self) -> None:
        """Take what the worker sends, until it ends; raises the Outage that its end is."""
        assert self._process.stdout is not None  # noqa: S101 - asked for when it was started
        buffer = bytearray()
        try:
            while data := await self._process.stdout.receive_some(READ_SIZE):
                buffer += data
                for header, payload in frames(buffer):
                    self.take(ipc.unpack_frame(header), payload)
        except ipc.IpcError as error:
            raise Outage(Reason.CAPTURE_CRASHED, f"the capture process sent rubbish: {error}") from error
        status = await self._process.wait()
        with trio.move_on_after(LAST_WORDS_S):
            await self.silent.wait()  # it may well have printed why it ends
        if self.gone.is_set():
            return  # as it was asked to
        raise self.outage or Outage(Reason.CAPTURE_CRASHED, f"the capture process ended {_told(status)}")

    async def listen(self, voice: WorkerLog) -> None:
        """Hear what the worker prints besides its frames, line by line."""
        assert self._process.stderr is not None  # noqa: S101 - asked for when it was started
        rest = b""
        async for data in self._process.stderr:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                voice.say(line)
            rest = rest[:UNFINISHED_MAX]
        voice.say(rest)
        self.silent.set()

    async def watch(self, timeouts: Timeouts, promise: Heartbeat) -> None:
        """Raise an Outage once the worker hangs, or a track of its source stands still."""
        while True:
            promise(WATCH_S)
            await trio.sleep(WATCH_S)
            if self.outage is None:
                self.progress.judge(timeouts)
                self.on_sound(self.progress.sound_missing(timeouts))

    def take(self, frame: ipc.Frame, payload: bytes) -> None:
        """A frame came through the pipe."""
        match frame:
            case ipc.Opened():
                self.opened = frame
                if not frame.is_same:  # or a microphone that comes and goes would hide that the video stalls
                    self.progress.opened()
                self._answered.set()
                self.on_opened(frame.description)
                log.info("source opened", source=frame.description)
            case ipc.Failed():
                self.outage = (Refused if frame.refused else Outage)(frame.reason, frame.detail)
                self.ended.set()
                self._answered.set()
            case ipc.WorkerHeartbeat():
                self.on_pulse(self.progress.pulse, frame)
                self._tell_mended(frame.repairs)
                self.progress.observe(frame)
            case ipc.Chunk() if recording := self.recordings.get(frame.recording):
                recording.arrived(frame, payload)
            case ipc.Snapshot():
                self._pictures.arrived(frame, payload)
            case ipc.Chunk():
                pass  # of a recording that was dropped while it was on its way

    def _tell_mended(self, repairs: dict[str, int]) -> None:
        """Each rule is told of once; the lies themselves are counted."""
        before = self.progress.pulse.repairs if self.progress.pulse else {}
        if news := sorted(repairs.keys() - before.keys()):
            log.info("what the source sends is mended", rules=news)


@asynccontextmanager
async def start_worker(
    command: ipc.Open,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    promise: Heartbeat = lambda _seconds: None,
    voice: WorkerLog | None = None,
) -> AsyncIterator[CaptureProcess]:
    """A capture process for as long as the context lasts; leaving it the process is gone, whatever it was doing.

    Args:
        command: What to capture; it holds the camera's password, and is not kept.
        timeouts: When the process counts as hanging.
        voice: Hears what the process prints.
        promise: Told how long each wait for the worker may last.

    Raises:
        Outage: the worker hangs, crashed, or could not be started. How its source fails stands in
            `CaptureProcess.outage`.
    """
    process = await _open_process()
    worker = CaptureProcess(process, command.open_timeout_s)
    worker.send_nowait(command)
    del command
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.write_commands)
            nursery.start_soon(worker.read_frames)
            nursery.start_soon(worker.watch, timeouts, promise)
            nursery.start_soon(worker.listen, voice or WorkerLog())
            try:
                yield worker
            finally:
                worker.leave()
                with trio.move_on_after(REAP_S, shield=True):
                    await _end(process)
                nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(REAP_S, shield=True):
            await _close_pipes(process)


async def _open_process() -> trio.Process:
    environment = {name: value for name, value in os.environ.items() if _inherits(name)}
    environment |= bundled_libraries.environment(os.environ) | MEMORY
    command = [sys.executable, "-m", "interhuman2mqtt.capture"]
    pipe = subprocess.PIPE
    try:
        return await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    except OSError as error:
        raise Outage(Reason.CAPTURE_CRASHED, f"no capture process could be started: {error}") from error


def _inherits(name: str) -> bool:
    """Of our environment, in which an API key may stand, a worker gets no more than it needs to run."""
    return name in INHERITED or name.startswith(INHERITED_PREFIXES)


async def _end(process: trio.Process) -> None:
    """Closing stdin asks it to leave; one that hangs is killed. Either way it is reaped."""
    assert process.stdin is not None  # noqa: S101 - asked for when it was started
    await process.stdin.aclose()
    with trio.move_on_after(LEAVE_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


async def _close_pipes(process: trio.Process) -> None:
    """At once, and not when the last traceback that knows them is gone."""
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            await pipe.aclose()


def frames(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """The whole frames at the head of the buffer, which they leave."""
    while len(buffer) >= ipc.PREFIX.size:
        header, payload = ipc.unpack_prefix(bytes(buffer[: ipc.PREFIX.size]))
        middle = ipc.PREFIX.size + header
        if len(buffer) < middle + payload:
            return
        frame = bytes(buffer[ipc.PREFIX.size : middle]), bytes(memoryview(buffer)[middle : middle + payload])
        del buffer[: middle + payload]
        yield frame


def _told(status: int) -> str:
    """An exit status for people."""
    if status >= 0:
        return f"with status {status}"
    return f"by {next((known.name for known in signal.Signals if known == -status), f'signal {-status}')}"
