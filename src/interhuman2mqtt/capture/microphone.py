"""A microphone beside a camera, in a thread of its own: opened, read, and opened again as often as it is lost.

The camera never waits for it longer than `OPENING_S`, once, and never fails with it: while it is not there silence is
sent in its place (`silence`), and `fault` says why.
"""

# Why a thread of its own: `demux` of a sound card blocks in the kernel until samples come, and that of a camera until a
# frame does; read in turns, each would hold the other back, and one that hangs in its driver would end both. The two
# meet in the ring, under its lock, by times that are each repaired on their own clock. A second process for it lost:
# its packets would cross a pipe to be muxed with the camera's, to save a thread that sleeps.

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import av
from av.audio.stream import AudioStream

from interhuman2mqtt.capture import alsa, ipc
from interhuman2mqtt.capture.device import Feed, open_alsa
from interhuman2mqtt.errors import Outage, Reason

OPENING_S = 2.0
"""The time that an opening camera waits for its microphone; a driver may hang for ever."""
STOP_S = 1.0
RETRY_S = 3.0
"""Until the next attempt; one that finds no device costs a few reads of sysfs."""
RETRY_MAX_S = 60.0
"""Where it opens and is lost at once, the pauses double up to this."""
STEADY_S = 10.0
"""So long it has to have been open for the next attempt to be soon."""


class MicrophoneReader(Protocol):
    """The reader of one epoch of a camera, which puts the audio into its ring."""

    @property
    def is_over(self) -> bool:
        """Whether it reads no more."""

    def read_microphone(self, microphone: Feed) -> None:
        """Read until one of them ends; raises what FFmpeg raises."""


class Microphone:
    """A microphone, read by the camera's reader of one epoch after another."""

    def __init__(self, command: ipc.Open, changed: threading.Condition) -> None:
        self.fault: Outage | None = None
        """Why there is no audio now."""
        self.stream: AudioStream | None = None
        """Its audio, while it is open."""
        self._command = command
        self._name = (command.microphone or "").removeprefix("alsa:")
        self._changed = changed
        self._reader: MicrophoneReader | None = None
        self._attempted = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)

    def start(self) -> None:
        """Open it, and wait a little for the outcome."""
        self._thread.start()
        self._attempted.wait(OPENING_S)

    def attach(self, reader: MicrophoneReader) -> None:
        """Let this reader read it from here on."""
        with self._changed:
            self._reader = reader
            self._changed.notify_all()

    def stop(self) -> None:
        """Close it; one that hangs in its driver is left to the end of the process."""
        self._is_stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        pause_s = RETRY_S
        while not self._is_stopping.is_set():
            opened_at: float | None = None
            try:
                with self._opened() as feed:
                    self._attempted.set()
                    opened_at = time.monotonic()
                    self._read(feed)
                outage = Outage(Reason.SOURCE_ENDED, f"microphone {self._command.microphone} ended")
            except Outage as error:
                outage = error
            except (av.error.FFmpegError, OSError) as error:
                outage = alsa.explain_end(self._name, error.strerror or "")
            if not self._is_stopping.is_set():
                self._set_state(None, outage)
            self._attempted.set()
            is_flapping = opened_at is not None and time.monotonic() - opened_at < STEADY_S
            pause_s = min(pause_s * 2, RETRY_MAX_S) if is_flapping else RETRY_S
            self._is_stopping.wait(pause_s)

    @contextmanager
    def _opened(self) -> Iterator[Feed]:
        feed = open_alsa(self._command, self._name)
        stream = feed.container.streams[feed.audio or 0]
        assert isinstance(stream, AudioStream)  # noqa: S101 - the feed says so
        self._set_state(stream, None)
        try:
            yield feed
        finally:
            feed.container.close()

    def _set_state(self, stream: AudioStream | None, fault: Outage | None) -> None:
        with self._changed:
            self.stream, self.fault = stream, fault
            self._changed.notify_all()

    def _read(self, feed: Feed) -> None:
        """Read until it ends, or we do; a reader that ends is followed by another."""
        while (reader := self._wait_reader()) is not None:
            reader.read_microphone(feed)
            if not reader.is_over:
                return

    def _wait_reader(self) -> MicrophoneReader | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopping.is_set() or (self._reader is not None and not self._reader.is_over)
            )
            return None if self._is_stopping.is_set() else self._reader
