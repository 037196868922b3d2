"""The worker process of one camera: commands in on stdin, frames out on stdout, one source in between.

Three threads, one more for a spool, and one while a snapshot is made. The capture fills the ring and waits for nobody.
The main thread answers pulls, and may well wait for the daemon to read. The third only receives commands, and ends the
process half a second after stdin closes at the latest, even while another thread hangs in a driver.
"""

# Why a process for each camera, and not a thread: `av.open` and `demux` block in libav and in drivers, whatever their
# `timeout` says, and no thread can be ended from outside; a process can be killed. A crash in a decoder is one camera's
# outage, not the box's, and memory that a broken stream takes is bounded by the process' limit. One process
# for several copied cameras would save some memory, and share their crashes; what it costs is in `fork_server`.
#
# Why stdin, and not the kernel's parent-death signal: that belongs to the *thread* that forked, and trio forks in a
# pooled one, which may end long before the daemon. Why `os._exit`: `sys.exit` would wait for threads in libav.

import contextlib
import faulthandler
import fcntl
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

import av

from interhuman2mqtt import __version__
from interhuman2mqtt.capture import framing, ipc, spooler
from interhuman2mqtt.capture.capture_thread import Capture
from interhuman2mqtt.capture.recorder import Recorder
from interhuman2mqtt.capture.snapshot import SnapshotTaker
from interhuman2mqtt.capture.spooler import Spooler
from interhuman2mqtt.errors import Refused
from interhuman2mqtt.runtime import process
from interhuman2mqtt.runtime.redaction import redact, register_secret

HEARTBEAT_S = 1.0
"""At the same moments in all processes, so that the daemon wakes once for all of them; it looks at them twice as often
(`worker.WATCH_S`), which costs less than heartbeats."""
CLOSE_S = 0.5
"""The time that a camera on the network has to receive our TEARDOWN; a pause waits for no more than that."""
GC_THRESHOLD = 100_000
"""Objects between two collections. The packets in the ring are in no cycle, and looking through thousands of them for
one, in bursts of 700 new objects, was a part of what took a worker from 2.0 to 1.4 % of a core when it went."""
FFMPEG_BYTES = 1 << 30
"""Twice of what 3840x2160 at 30 fps takes to be encoded; a broken server could make it all that there is."""
PIPE_BYTES = 1 << 20
"""Most chunks fit into it, so that neither side is woken for each 64 KiB of one; with an uplink that is written 64 KiB
at a time it took the daemon from 0.75 to 0.62 % of a core for each camera."""
STACK_BYTES = 64 << 20
"""For each core: decoder, encoder and filters have a thread for each, with 8 MiB reserved, and hardly used."""


class Worker:
    """One source and the recordings of it."""

    def __init__(self, command: ipc.Open, commands: deque[ipc.Command], frames: int) -> None:
        self._capture = Capture(command)
        self._commands = commands
        self._frames = frames
        self._recordings: dict[int, Recorder] = {}
        self._snapshot_taker = SnapshotTaker(self._capture)
        self._snapshots: deque[tuple[ipc.Snapshot, bytes]] = deque()
        self._spooler = new_spooler(command, self._capture)
        self._reported: ipc.Opened | None = None
        self._failed = False
        self._heartbeat_at = time.monotonic()

    def run(self) -> None:
        """Serve for ever: the process ends when stdin closes."""
        threading.Thread(target=self._capture.run, name="capture", daemon=True).start()
        if self._spooler is not None:
            threading.Thread(target=self._spooler.run, name="spool", daemon=True).start()
        while True:
            self._wait()
            parts: list[bytes | memoryview] = []
            for head, payload in self._due_frames():
                parts += [framing.pack(head, len(payload)), payload]
            write_all(self._frames, parts)

    def stop(self) -> None:
        """Close the source in good order, and write what is to be spooled, as far as that goes in time."""
        began = time.monotonic()
        self._capture.stop(CLOSE_S)
        if self._spooler is not None:
            self._spooler.close(max(0.0, began + CLOSE_S - time.monotonic()))

    def receive(self, command: ipc.Command) -> None:
        """Queue a command, and wake the main thread for it."""
        with self._capture.changed:
            self._commands.append(command)
            self._capture.changed.notify_all()

    def _wait(self) -> None:
        with self._capture.changed:
            if not (self._commands or self._snapshots or (self._spooler and self._spooler.reports)):
                self._capture.changed.wait(max(self._heartbeat_at - time.monotonic(), 0))

    def _due_frames(self) -> list[tuple[ipc.Frame, bytes | memoryview]]:
        """Return what is to be sent now; muxed under the lock, because the ring must not drop what is being read."""
        with self._capture.changed:
            while self._commands:
                self._handle(self._commands.popleft())
            due: list[tuple[ipc.Frame, bytes | memoryview]] = [(frame, b"") for frame in self._status_frames()]
            while self._snapshots:
                due.append(self._snapshots.popleft())
            while self._spooler and self._spooler.reports:
                due.append((self._spooler.reports.popleft(), b""))
            for recording in list(self._recordings.values()):
                chunk = recording.next_chunk(self._capture.tracks, source_ended=self._capture.outage is not None)
                due += [chunk] if chunk else []
                if recording.is_ended:
                    del self._recordings[recording.number]
            return due

    def _handle(self, command: ipc.Command) -> None:
        match command:
            case ipc.Record():
                self._recordings[command.recording] = Recorder(command, self._capture.ring, self._capture.anchor)
            case ipc.Limit() if recording := self._recordings.get(command.recording):
                recording.limit(command)
            case ipc.Pull() if recording := self._recordings.get(command.recording):
                recording.is_pulled = True
            case ipc.Finish() if recording := self._recordings.get(command.recording):
                recording.is_finishing = True
            case ipc.Drop():
                self._recordings.pop(command.recording, None)
            case ipc.TakeSnapshot():
                threading.Thread(target=self._take_snapshot, args=(command,), name="snapshot", daemon=True).start()
            case ipc.Spool() if self._spooler:
                self._spooler.handle(command, self._capture.ring.end_s)
            case ipc.Delivered() if self._spooler:
                self._spooler.delivered(command.start_s, command.end_s)
            case _:
                pass  # for a recording that has ended in the meantime

    def _take_snapshot(self, command: ipc.TakeSnapshot) -> None:
        """Take a snapshot in a thread of its own: decoding must hold up neither the capture nor the chunks."""
        snapshot = self._snapshot_taker.take(command)
        with self._capture.changed:
            self._snapshots.append(snapshot)
            self._capture.changed.notify_all()

    def _status_frames(self) -> list[ipc.Frame]:
        frames: list[ipc.Frame] = []
        capture = self._capture
        capture.refresh_description()
        if capture.opened is not self._reported and capture.opened:
            self._reported = capture.opened
            frames.append(capture.opened)
        if capture.outage and not self._failed:
            self._failed = True
            refused = isinstance(capture.outage, Refused)
            frames.append(
                ipc.Failed(
                    reason=capture.outage.reason,
                    detail=capture.outage.detail,
                    refused=refused,
                    encode=capture.must_encode,
                )
            )
        if time.monotonic() >= self._heartbeat_at:
            self._heartbeat_at = (time.monotonic() // HEARTBEAT_S + 1) * HEARTBEAT_S
            frames.append(
                ipc.WorkerHeartbeat(
                    video_packets=capture.counts.video,
                    audio_packets=capture.counts.audio,
                    video_expected=not self._capture.command.audio_only,
                    audio_expected=capture.audio_expected,
                    ring_s=capture.ring.seconds,
                    ring_bytes=capture.ring.size,
                    repairs=dict(capture.counts.repairs),
                    audio_fault=capture.audio_fault,
                )
            )
        return frames


def new_spooler(command: ipc.Open, capture: Capture) -> Spooler | None:
    """Return what gets the GOPs that leave the ring, if they are to be spooled."""
    if not command.may_spool:
        return None
    made = Spooler(lambda: capture.tracks, capture.anchor, capture.changed, segment_s=command.segment_s)
    capture.ring.on_evict = made.evicted
    return made


def receive_command(stream: BinaryIO) -> ipc.Command | None:
    """Return the next command; None at the end of the stream. Raises IpcError."""
    prefix = stream.read(framing.PREFIX.size)
    if len(prefix) < framing.PREFIX.size:
        return None
    header, _ = framing.unpack_prefix(prefix)
    return framing.unpack_command(stream.read(header))


def write_all(pipe: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write the parts one after the other, in one call where the pipe takes them all: the daemon wakes once.

    A signal, and be it the one after a stop (SIGCONT), ends a call in the middle of what it writes.
    """
    rest = [memoryview(part) for part in parts]
    while rest:
        written = os.writev(pipe, rest)
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]


def detach_stdout() -> int:
    """Return the pipe to the daemon, on a descriptor of its own; whatever else prints, prints to stderr."""
    frames = os.dup(1)
    with contextlib.suppress(OSError):  # the kernel lets one user have only so much
        fcntl.fcntl(frames, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.dup2(2, 1)
    return frames


def main() -> None:
    """Run the worker until stdin closes."""
    process.be_first_to_go()
    process.keep_private()
    faulthandler.enable()  # where a library in C fails, the daemon's log shall name the call
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us in its order
    frames = detach_stdout()
    write_all(frames, [framing.pack(ipc.Hello(version=__version__))])
    stdin = sys.stdin.buffer
    command = receive_command(stdin)
    if not isinstance(command, ipc.Open):
        sys.exit("the first command must be `open`")
    process.bound(memory_max(command))
    register_secret(command.password or "")
    if command.verbose:
        print_ffmpeg_log()
    worker = Worker(command, deque(), frames)
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)

    def receive_commands() -> None:
        while (command := receive_command(stdin)) is not None:
            worker.receive(command)
        worker.stop()
        os._exit(0)

    threading.excepthook = lambda failed: exit_on_bug(failed.exc_value)
    threading.Thread(target=receive_commands, name="commands", daemon=True).start()
    try:
        worker.run()
    except BrokenPipeError:
        os._exit(0)  # the daemon is gone
    except BaseException as error:  # noqa: BLE001, ASYNC103 - the process ends with it
        exit_on_bug(error)


def memory_max(command: ipc.Open) -> int:
    """Return the bytes for the ring, for a chunk of all of it while that is muxed and sent, and for FFmpeg's work."""
    threads = STACK_BYTES * (os.cpu_count() or 1)
    spool = spooler.MEMORY if command.may_spool else 0
    return 3 * command.buffer_max + spool + min(FFMPEG_BYTES, process.of_machine() // 2) + threads


def print_ffmpeg_log() -> None:
    """Let FFmpeg print on stderr by itself: PyAV's way would have its threads wait for Python's lock."""
    av.logging.set_libav_level(av.logging.INFO)
    av.logging.restore_default_callback()


def exit_on_bug(error: BaseException | None) -> None:
    """End the process at once after a bug in any thread: the others may hang where no exception reaches them."""
    sys.stderr.write(redact("".join(traceback.format_exception(error))))
    sys.stderr.flush()
    os._exit(os.EX_SOFTWARE)


if __name__ == "__main__":
    main()
