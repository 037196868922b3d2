"""The worker: commands in on stdin, frames out on stdout, one source in between.

Three threads, and one more while a picture is made. The capture fills the ring and waits for nobody. The main thread
answers pulls, and may well wait for the daemon to read. The third only reads commands, and ends the process half a
second after stdin closes at the latest, even while another thread hangs in a driver: the parent-death signal of the
kernel would not do, since it belongs to the thread that forked.
"""

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
from typing import BinaryIO

import av

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.capture_thread import Capture
from interhuman2mqtt.capture.recorder import Recorder
from interhuman2mqtt.capture.snapshot import SnapshotTaker
from interhuman2mqtt.errors import Refused
from interhuman2mqtt.runtime import process
from interhuman2mqtt.runtime.redaction import hide, redact

PULSE_S = 0.5
LEAVE_S = 0.5
"""How long a camera on the network is given to hear that we leave; a pause waits for no more than that."""
GC_THRESHOLD = 100_000
"""Objects: the packets in the ring are in no cycle, so looking through them again and again is for nothing."""
FFMPEG_MAX = 1 << 30
"""Bytes: twice of what 3840x2160 at 30 fps takes to be encoded; a broken server could make it all that there is."""
PIPE = 1 << 20
"""Bytes: most chunks fit into it, so that neither side is woken for each 64 KiB of one."""
STACKS = 64 << 20
"""Bytes for each core: decoder, encoder and filters have a thread for each, with 8 MiB reserved, and hardly used."""


class Worker:
    """One source and the recordings of it."""

    def __init__(self, command: ipc.Open, commands: deque[ipc.Command], frames: BinaryIO) -> None:
        self._capture = Capture(command)
        self._commands = commands
        self._frames = frames
        self._recordings: dict[int, Recorder] = {}
        self._photographer = SnapshotTaker(self._capture)
        self._pictures: deque[tuple[ipc.Snapshot, bytes]] = deque()
        self._said: ipc.Opened | None = None
        self._failed = False
        self._pulse_at = time.monotonic()

    def run(self) -> None:
        """For ever: the process ends when stdin closes."""
        threading.Thread(target=self._capture.run, name="capture", daemon=True).start()
        while True:
            self._wait()
            for head, payload in self._due():
                self._frames.write(ipc.pack(head, payload))
            self._frames.flush()

    def leave(self) -> None:
        """Nobody wants anything any more: take leave of the camera."""
        self._capture.leave(LEAVE_S)

    def wake(self, command: ipc.Command) -> None:
        """A command arrived."""
        with self._capture.changed:
            self._commands.append(command)
            self._capture.changed.notify_all()

    def _wait(self) -> None:
        with self._capture.changed:
            if not (self._commands or self._pictures):
                self._capture.changed.wait(max(self._pulse_at - time.monotonic(), 0))

    def _due(self) -> list[tuple[ipc.Frame, bytes]]:
        """What is to be said now; muxed under the lock, because the ring must not drop what is being read."""
        with self._capture.changed:
            while self._commands:
                self._obey(self._commands.popleft())
            due: list[tuple[ipc.Frame, bytes]] = [(frame, b"") for frame in self._news()]
            while self._pictures:
                due.append(self._pictures.popleft())
            for recording in list(self._recordings.values()):
                cut = recording.cut(self._capture.takes, source_ended=self._capture.outage is not None)
                due += [cut] if cut else []
                if recording.ended:
                    del self._recordings[recording.number]
            return due

    def _obey(self, command: ipc.Command) -> None:
        match command:
            case ipc.Record():
                self._recordings[command.recording] = Recorder(command, self._capture.ring, self._capture.anchor)
            case ipc.Limit() if recording := self._recordings.get(command.recording):
                recording.limit(command)
            case ipc.Pull() if recording := self._recordings.get(command.recording):
                recording.pulled = True
            case ipc.Finish() if recording := self._recordings.get(command.recording):
                recording.finishing = True
            case ipc.Drop():
                self._recordings.pop(command.recording, None)
            case ipc.TakeSnapshot():
                threading.Thread(target=self._photograph, args=(command,), name="picture", daemon=True).start()
            case _:
                pass  # for a recording that has ended in the meantime

    def _photograph(self, command: ipc.TakeSnapshot) -> None:
        """In a thread of its own: decoding must hold up neither the capture nor the chunks."""
        pictured = self._photographer.take(command)
        with self._capture.changed:
            self._pictures.append(pictured)
            self._capture.changed.notify_all()

    def _news(self) -> list[ipc.Frame]:
        news: list[ipc.Frame] = []
        capture = self._capture
        capture.look_at_microphone()
        if capture.opened is not self._said and capture.opened:
            self._said = capture.opened
            news.append(capture.opened)
        if capture.outage and not self._failed:
            self._failed = True
            refused = isinstance(capture.outage, Refused)
            news.append(ipc.Failed(reason=capture.outage.reason, detail=capture.outage.detail, refused=refused))
        if time.monotonic() >= self._pulse_at:
            self._pulse_at = time.monotonic() + PULSE_S
            news.append(
                ipc.WorkerHeartbeat(
                    video_packets=capture.counts.video,
                    audio_packets=capture.counts.sound,
                    audio_expected=capture.sound_expected,
                    ring_s=capture.ring.seconds,
                    ring_bytes=capture.ring.size,
                    repairs=dict(capture.counts.repairs),
                    sound_fault=capture.sound_fault,
                )
            )
        return news


def read_command(stream: BinaryIO) -> ipc.Command | None:
    """The next command; None at the end of the stream. Raises WireError."""
    prefix = stream.read(ipc.PREFIX.size)
    if len(prefix) < ipc.PREFIX.size:
        return None
    header, _ = ipc.unpack_prefix(prefix)
    return ipc.unpack_command(stream.read(header))


def private_stdout() -> BinaryIO:
    """The pipe to the daemon, on a descriptor of its own; whatever else prints, prints to stderr."""
    frames = os.fdopen(os.dup(1), "wb", buffering=PIPE)
    with contextlib.suppress(OSError):  # the kernel lets one user have only so much
        fcntl.fcntl(frames, fcntl.F_SETPIPE_SZ, PIPE)
    os.dup2(2, 1)
    return frames


def main() -> None:
    """Until stdin closes."""
    process.be_first_to_go()
    process.keep_private()
    faulthandler.enable()  # where a library in C fails, the daemon's log shall say in which call
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us in its order
    frames = private_stdout()
    stdin = sys.stdin.buffer
    command = read_command(stdin)
    if not isinstance(command, ipc.Open):
        sys.exit("the first command must be `open`")
    process.bound(memory_max(command))
    hide(command.password or "")
    if command.verbose:
        print_what_ffmpeg_says()
    worker = Worker(command, deque(), frames)
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)

    def listen() -> None:
        while (command := read_command(stdin)) is not None:
            worker.wake(command)
        worker.leave()
        os._exit(0)

    threading.excepthook = lambda failed: crash(failed.exc_value)
    threading.Thread(target=listen, name="commands", daemon=True).start()
    try:
        worker.run()
    except BrokenPipeError:
        os._exit(0)  # the daemon is gone
    except BaseException as error:  # noqa: BLE001, ASYNC103 - the process ends with it
        crash(error)


def memory_max(command: ipc.Open) -> int:
    """Bytes for the ring, for a chunk of all that it holds while that is muxed and sent, and for FFmpeg's own work."""
    threads = STACKS * (os.cpu_count() or 1)
    return 3 * command.buffer_max + min(FFMPEG_MAX, process.of_machine() // 2) + threads


def print_what_ffmpeg_says() -> None:
    """On stderr, by FFmpeg itself: PyAV's way would have its threads wait for Python's lock."""
    av.logging.set_libav_level(av.logging.INFO)
    av.logging.restore_default_callback()


def crash(error: BaseException | None) -> None:
    """A bug in any thread ends the process at once: the others may hang where no exception reaches them."""
    sys.stderr.write(redact("".join(traceback.format_exception(error))))
    sys.stderr.flush()
    os._exit(os.EX_SOFTWARE)


if __name__ == "__main__":
    main()
