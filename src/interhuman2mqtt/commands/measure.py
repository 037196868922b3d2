"""Open a source as the daemon would, in a capture process, and measure what comes; nothing leaves this machine.

Frames are counted by the structure of the chunks alone (ISO/IEC 14496-12: 4.2, 8.8.4 to 8.8.8).
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from interhuman2mqtt.cameras.recording import WorkerRecording
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.chunk_length import Bounds, chunk_lengths
from interhuman2mqtt.capture.rotation import TURNED
from interhuman2mqtt.config import Interhuman
from interhuman2mqtt.errors import Outage, leaves

VIDEO_TRACK = 1
"""The recorder adds the video first."""


def frames(chunk: bytes) -> int:
    """Return the number of samples of the video track in fragmented MP4."""
    return sum(
        int.from_bytes(trun[4:8], "big")
        for traf in _within(memoryview(chunk), b"moof", b"traf")
        if any(int.from_bytes(tfhd[4:8], "big") == VIDEO_TRACK for tfhd in _within(traf, b"tfhd"))
        for trun in _within(traf, b"trun")
    )


def _within(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    """Yield the contents of all boxes at a path."""
    kind, *rest = path
    for found, content in _boxes(data):
        if found == kind:
            if rest:
                yield from _within(content, *rest)
            else:
                yield content


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            return
        yield bytes(data[at + 4 : at + 8]), data[at + 8 : at + size]
        at += size


GOP_EACH_S = 0.05
"""Asked for chunks so short, a recording gives one GOP in each."""
CHUNK = Bounds(Interhuman().chunk)
NO_KEYS = (
    "it has no key frames that a viewer can begin with (intra refresh): switch that off in the camera, or set a key "
    "frame interval (GOP, I-frame interval) of one or two seconds, and it is copied"
)
WHY = {
    "rare_key_frames": (
        "its key frames are too far apart for the cloud's windows: set the camera's key frame interval (GOP, "
        "I-frame interval) to one or two seconds, and it is copied"
    ),
    "intra_refresh": NO_KEYS,
    "no_key_frames": NO_KEYS,
    "changing_format": "the source changes its size or format again and again, and what is sent must not",
}
"""Why H.264 is encoded, by what was noticed while it ran."""
TICKS = os.sysconf("SC_CLK_TCK")


class Measured(Struct, frozen=True, kw_only=True):
    """The measurements of a source."""

    description: str
    """`h264 1920x1080 (copied), aac 48000 Hz (copied)`"""
    opened_in: float
    """Seconds."""
    video: str | None
    """None: only the audio is used."""
    video_copied: bool
    why: str
    """Why it is copied, or encoded, and what would spare that."""
    audio: str | None
    """None: the source has no audio, or none is used."""
    audio_copied: bool
    fps: float
    """Frames a second, as they would be sent."""
    gop: float
    """Seconds from key frame to key frame, in the middle."""
    gop_longest: float
    chunk: float
    """Seconds of media in each message to the cloud, in the middle."""
    chunk_longest: float
    bitrate: float
    """Bits a second, as they would be sent."""
    cpu: float
    """Percent of one core."""
    repairs: dict[str, int]
    """How often each rule about what the source sends wrongly was applied."""
    measured: float
    """Seconds of media."""
    audio_missing: ipc.AudioFault | None = None
    """What is wrong with the microphone; silence was measured in its place."""


async def measure(
    command: ipc.Open,
    seconds: float,
    progress: Callable[[float], None] = lambda _seconds: None,
    bounds: Bounds = CHUNK,
) -> Measured:
    """Open, and look for so long, but at one group of pictures at least; raises Outage.

    `bounds` are those of the chunks that would be sent.
    """
    try:
        async with start_worker(command) as worker:
            began = time.monotonic()
            await worker.wait_open()
            measuring = _Measuring(command, worker, time.monotonic() - began)
            await measuring.run(seconds, progress)
            return measuring.result(bounds)
    except BaseExceptionGroup as group:
        outages, others = group.split(Outage)
        if outages is None or others is not None:
            raise
        raise leaves(outages)[0] from group


class _Measuring:
    """The chunks of one recording, and the time in which they came."""

    def __init__(self, command: ipc.Open, worker: CaptureProcess, opened_in: float) -> None:
        self._command = command
        self._worker = worker
        self._opened_in = opened_in
        self._begin()

    def _begin(self) -> WorkerRecording:
        self._gops: list[float] = []
        self._bytes = self._frames = 0
        self._cpu_from = self._cpu_to = _cpu_seconds(self._worker.pid)
        self._from = self._to = time.monotonic()
        return self._worker.record("continuous", GOP_EACH_S, None)

    async def run(self, seconds: float, progress: Callable[[float], None]) -> None:
        """Pull until the time is over."""
        recording = self._begin()
        while not self._gops or self._to - self._from < seconds:
            progress(self._to - self._from)
            chunk = await recording.next_chunk()
            if chunk.last:  # the source turned out to be another, and was opened again
                recording = self._begin()
                continue
            self._gops.append(chunk.media_end - chunk.media_start)
            self._bytes += len(chunk.payload)
            self._frames += frames(chunk.payload)
            self._cpu_to, self._to = _cpu_seconds(self._worker.pid), time.monotonic()

    def result(self, bounds: Bounds) -> Measured:
        """Return the measurements."""
        opened, pulse = self._worker.opened, self._worker.stalls.heartbeat
        assert opened is not None  # noqa: S101 - chunks came
        media, spent = sum(self._gops), max(self._to - self._from, 0.001)
        # as of a source that goes on in the same way: one look is too short for the longest chunks
        chunks = chunk_lengths(self._gops * (1 + int(2 * max(bounds.wanted_s, bounds.least_s) / media)), bounds)
        repairs = dict(pulse.repairs) if pulse else {}
        return Measured(
            description=opened.description,
            opened_in=round(self._opened_in, 2),
            video=opened.video,
            video_copied=opened.video_copied,
            why=why(self._command, opened, repairs),
            audio=opened.audio if self._command.audio != "none" else None,
            audio_copied=opened.audio_copied,
            fps=round(self._frames / media, 2),
            gop=round(sorted(self._gops)[len(self._gops) // 2], 2),
            gop_longest=round(max(self._gops), 2),
            chunk=round(sorted(chunks)[len(chunks) // 2], 2),
            chunk_longest=round(max(chunks), 2),
            bitrate=round(self._bytes * 8 / media),
            cpu=round((self._cpu_to - self._cpu_from) / spent * 100, 1),
            repairs=repairs,
            measured=round(media, 2),
            audio_missing=pulse.audio_fault if pulse else None,
        )


def why(command: ipc.Open, opened: ipc.Opened, repairs: dict[str, int]) -> str:
    """Return why the video is copied, or encoded, and what would spare that."""
    if opened.video is None:
        return "its audio alone is used"
    if opened.video_copied:
        return "H.264 is sent as it is"
    if opened.video != "h264":
        spare = "; a camera that can send H.264 spares the encoding" if "://" in command.source else ""
        return f"the cloud takes H.264 only{spare}"
    if TURNED in opened.description:
        return "the source leaves it to the viewer to turn it upright, which the cloud does not do"
    return next((sentence for rule, sentence in WHY.items() if rule in repairs), 'video = "h264" asks for it')


def _cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, of all cores together (proc(5), /proc/pid/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
