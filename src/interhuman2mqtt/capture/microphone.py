"""A microphone beside a camera, in a thread of its own: opened, read, and opened again as often as it is lost.

The camera never waits for it longer than `OPENING_S`, once, and never fails with it: while it is not there silence is
sent in its place (`silence.py`), and `fault` says why.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import av
from av.audio.stream import AudioStream

from interhuman2mqtt.capture import alsa, ipc
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.ffmpeg_log import listening
from interhuman2mqtt.errors import Outage, Reason

OPENING_S = 2.0
"""So long a camera that opens waits for what its microphone is; a driver may hang for ever."""
LEAVING_S = 1.0
PAUSE_S = 3.0
"""Until it is looked for again; a look that finds no device costs a few reads of sysfs."""
PAUSE_MAX_S = 60.0
"""Where it opens and is lost at once, the pauses double up to this."""
STEADY_S = 10.0
"""So long it has to have been there to be looked for soon again."""
DEVICE_TIMEOUT_S = 10


class MicrophoneListener(Protocol):
    """What the sound is put into: one take of a camera."""

    over: bool
    """Whether it takes no more."""

    def hear(self, feed: Feed) -> None:
        """Take in what comes until one of them ends; raises what FFmpeg raises."""


class Microphone:
    """Read into one take after another."""

    def __init__(self, command: ipc.Open, changed: threading.Condition) -> None:
        self.fault: Outage | None = None
        """Why there is no sound now."""
        self.stream: AudioStream | None = None
        """What it sends, while it is open."""
        self._command = command
        self._name = (command.microphone or "").removeprefix("alsa:")
        self._changed = changed
        self._listener: MicrophoneListener | None = None
        self._tried = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)

    def begin(self) -> None:
        """Open it, and wait a little for what comes of that."""
        self._thread.start()
        self._tried.wait(OPENING_S)

    def listen(self, listener: MicrophoneListener) -> None:
        """Put the sound into this take from here on."""
        with self._changed:
            self._listener = listener
            self._changed.notify_all()

    def end(self) -> None:
        """Close it; one that hangs in its driver is left to the end of the process."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(LEAVING_S)

    def _run(self) -> None:
        pause_s = PAUSE_S
        while not self._over.is_set():
            opened_at: float | None = None
            try:
                with self._opened() as feed:
                    self._tried.set()
                    opened_at = time.monotonic()
                    self._read(feed)
                outage = Outage(Reason.SOURCE_ENDED, f"microphone {self._command.microphone} ended")
            except Outage as error:
                outage = error
            except (av.error.FFmpegError, OSError) as error:
                broke_off = f"microphone alsa:{self._name} broke off: {error.strerror}"
                outage = alsa.fault(self._name) or Outage(Reason.SOURCE_ENDED, broke_off)
            if not self._over.is_set():
                self._became(None, outage)
            self._tried.set()
            is_flapping = opened_at is not None and time.monotonic() - opened_at < STEADY_S
            pause_s = min(pause_s * 2, PAUSE_MAX_S) if is_flapping else PAUSE_S
            self._over.wait(pause_s)

    @contextmanager
    def _opened(self) -> Iterator[Feed]:
        feed = open_microphone(self._command, self._name)
        stream = feed.container.streams[feed.sound or 0]
        assert isinstance(stream, AudioStream)  # noqa: S101 - the feed says so
        self._became(stream, None)
        try:
            yield feed
        finally:
            feed.container.close()

    def _became(self, stream: AudioStream | None, fault: Outage | None) -> None:
        with self._changed:
            self.stream, self.fault = stream, fault
            self._changed.notify_all()

    def _read(self, feed: Feed) -> None:
        """Until it ends, or we do; a take that ends is followed by another."""
        while (listener := self._wait_listener()) is not None:
            listener.hear(feed)
            if not listener.over:
                return

    def _wait_listener(self) -> MicrophoneListener | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._over.is_set() or (self._listener is not None and not self._listener.over)
            )
            return None if self._over.is_set() else self._listener


def open_microphone(command: ipc.Open, name: str) -> Feed:
    """Open an ALSA device by its name; raises Outage, or Refused where a person must act."""
    if outage := alsa.fault(name):  # before alsa-lib prints a dozen lines about it
        raise outage
    said = ""
    for variant, options in alsa.variants(name):
        with listening(prints=command.verbose) as lines:
            try:
                container = av.open(variant, format="alsa", options=options, timeout=(None, DEVICE_TIMEOUT_S))
            except (av.error.FFmpegError, OSError, ValueError):
                pass  # why it was stands in `lines`
            else:
                return Feed(container, None, container.streams.audio[0].index, clock="samples")
        said = said or next((line.text.strip() for line in lines if line.part == "alsa"), "")
    raise alsa.fault(name) or alsa.refusal(name, said)
