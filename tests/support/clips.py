"""Clips whose every frame carries its own number, so that a test can say exactly which frames arrived.

The number stands in black and white blocks, three rows of twelve over the upper part of the picture: the high half,
the low half, and the exclusive or of both with a pattern. They are large, so they survive compression and scaling.
The audio is a low tone with a higher, louder one in the first tenth of each second.

Clips are made when first asked for and kept under `.cache/clips`, named by a hash of their parameters and this file.
"""

import fcntl
import hashlib
import io
import math
import random
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

CACHE = Path(__file__).parents[2] / ".cache" / "clips"
COLUMNS, ROWS, BLOCK_ROWS = 12, 3, 12
"""Twelve blocks side by side in each of three rows; a row is a twelfth of the picture high."""
PATTERN = 0xA5C
BLACK, WHITE = 16, 235
UNSURE = range(96, 161)
"""Luma that is neither black nor white."""
VERYFAST = {"preset": "veryfast"}
OPTIONS = {
    "libx264": VERYFAST | {"sc_threshold": "0", "forced-idr": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0:scenecut=0:pools=2"},
    "mjpeg": {"huffman": "default"},
}


class Clip(NamedTuple):
    """What a clip is like. Multiples of eight seconds loop without a seam at 48 kHz (375 AAC packets)."""

    size: tuple[int, int] = (320, 180)
    """width, height in pixels, both even (MJPEG: multiples of eight)"""
    fps: int = 15
    gop: int = 15
    """frames from one key frame to the next"""
    seconds: int = 64
    bitrate: int | None = None
    """bits a second; None: the encoder's constant quality of a nearly still picture. Where given, noise fills it."""
    video: str | None = "libx264"
    """libx264, libx265, mjpeg or None"""
    audio: str | None = "aac"
    """aac, pcm_alaw, pcm_mulaw or None"""
    audio_rate: int | None = None
    """samples a second; None: 8000 for G.711, else 48000"""
    b_frames: int = 0

    @property
    def frames(self) -> int:
        """How many frames the clip has: numbers run from 0 to one less."""
        return self.seconds * self.fps if self.video else 0

    @property
    def rate(self) -> int:
        """Samples of audio a second."""
        return self.audio_rate or (8000 if self.audio in {"pcm_alaw", "pcm_mulaw"} else 48000)

    def path(self) -> Path:
        """The clip as a file, MP4 where MP4 can hold it and MOV otherwise; made now if it was never made before."""
        mp4 = self.video != "mjpeg" and self.audio in {None, "aac"}
        return made(self.file_name(".mp4" if mp4 else ".mov"), lambda file: write(self, file))

    def file_name(self, suffix: str) -> str:
        """A name that is another one as soon as anything about the clip or this module is."""
        key = repr(self).encode() + Path(__file__).read_bytes()
        return f"{self.video or 'sound'}-{self.audio or 'silent'}-{hashlib.sha256(key).hexdigest()[:16]}{suffix}"


FULL_HD = Clip(size=(1920, 1080), fps=30, gop=30, seconds=8, bitrate=3_000_000)
"""What a common IP camera sends: 1080p30 at 3 Mbit/s with AAC."""


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The file of that name in the cache; where it is missing it is made once, however many processes ask."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with locked(CACHE / f"{name}.lock"):
            if not path.exists():
                make_atomically(path, make)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, against other processes too."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_atomically(path: Path, make: Callable[[Path], None]) -> None:
    """Whoever sees the file sees all of it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        half_done = Path(folder) / path.name
        make(half_done)
        half_done.replace(path)


def write(clip: Clip, path: Path) -> None:
    """Encode the clip into a file, audio and video interleaved second by second."""
    with av.open(str(path), "w") as file:
        video = add_video(clip, file) if clip.video else None
        audio = add_audio(clip, file) if clip.audio else None
        pictures, sounds = draw(clip), sing(clip)
        for _ in range(clip.seconds):
            if video:
                file.mux([packet for _ in range(clip.fps) for packet in video.encode(next(pictures))])
            if audio:
                file.mux(audio.encode(next(sounds)))
        file.mux([*(video.encode(None) if video else ()), *(audio.encode(None) if audio else ())])


def add_video(clip: Clip, file: OutputContainer) -> VideoStream:
    """The picture's stream, its encoder set up."""
    assert clip.video
    stream: VideoStream = file.add_stream(clip.video, rate=clip.fps, options=OPTIONS[clip.video])  # type: ignore[assignment]
    stream.width, stream.height = clip.size
    stream.pix_fmt = "yuvj420p" if clip.video == "mjpeg" else "yuv420p"
    stream.codec_context.thread_type = "FRAME"  # the other kind cuts each picture into slices, as few cameras do
    stream.codec_context.gop_size = clip.gop
    stream.codec_context.max_b_frames = clip.b_frames
    stream.codec_context.time_base = Fraction(1, clip.fps)
    if clip.bitrate:
        stream.bit_rate = clip.bitrate
    return stream


def add_audio(clip: Clip, file: OutputContainer) -> AudioStream:
    """The audio's stream, one channel."""
    assert clip.audio
    stream: AudioStream = file.add_stream(clip.audio, rate=clip.rate, layout="mono")  # type: ignore[assignment]
    return stream


def draw(clip: Clip) -> Iterator[VideoFrame]:
    """The pictures, numbered from 0, without end."""
    width, height = clip.size
    noise = random.Random(1).randbytes(1 << 22) if clip.bitrate else bytes(range(256)) * (width // 128 + 2)
    number = 0
    while True:
        frame = VideoFrame(width, height, "yuv420p")
        luma, *chroma = frame.planes
        luma.update(picture(number, luma, noise))
        for plane in chroma:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = number, Fraction(1, clip.fps)
        yield frame
        number += 1


def picture(number: int, plane: VideoPlane, noise: bytes) -> bytes:
    """The luma of one frame: the blocks above, below them a ramp that wanders, or noise."""
    row = plane.height // BLOCK_ROWS
    blocks = b"".join(line(bits, plane) * row for bits in coded(number))
    rest = plane.line_size * plane.height - len(blocks)
    if len(noise) < rest:
        start = number % 256
        return blocks + noise[start : start + plane.line_size] * (rest // plane.line_size)
    # A band of fresh noise is what a bitrate can be spent on; the rest stays grey.
    band = min(rest, plane.line_size * plane.height // 8)
    start = number * 7919 % (len(noise) - band)
    return blocks + noise[start : start + band] + bytes([128]) * (rest - band)


def coded(number: int) -> tuple[int, int, int]:
    """A number of 24 bits as the three rows of twelve."""
    high, low = number >> COLUMNS & 0xFFF, number & 0xFFF
    return high, low, high ^ low ^ PATTERN


def line(bits: int, plane: VideoPlane) -> bytes:
    """One line of a row of blocks, the highest bit on the left, padded to the plane's stride."""
    edges = [column * plane.width // COLUMNS for column in range(COLUMNS + 1)]
    shades = (WHITE if bits >> (COLUMNS - 1 - column) & 1 else BLACK for column in range(COLUMNS))
    blocks = b"".join(bytes([shade]) * (edges[n + 1] - edges[n]) for n, shade in enumerate(shades))
    return blocks.ljust(plane.line_size, bytes([BLACK]))


def frame_number(frame: VideoFrame) -> int | None:
    """The number that a picture carries, at any size; None where it carries none, or it cannot be read."""
    plane = frame.planes[0]
    luma = memoryview(plane)
    rows = [read_row(luma, plane, row) for row in range(ROWS)]
    high, low, check = rows
    if high is None or low is None or check != high ^ low ^ PATTERN:
        return None
    return high << COLUMNS | low


def read_row(luma: memoryview, plane: VideoPlane, row: int) -> int | None:
    """The twelve bits of one row of blocks."""
    y = (2 * row + 1) * plane.height // (2 * BLOCK_ROWS)
    bits = 0
    for column in range(COLUMNS):
        x = (2 * column + 1) * plane.width // (2 * COLUMNS)
        spots = [luma[(y + dy) * plane.line_size + x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        shade = sum(spots) // len(spots)
        if shade in UNSURE:
            return None
        bits = bits << 1 | (shade > UNSURE.start)
    return bits


def opened(media: str | Path | bytes) -> InputContainer:
    """A file, by its path or as its bytes."""
    return av.open(io.BytesIO(media), "r") if isinstance(media, bytes) else av.open(str(media), "r")


def frame_numbers(media: str | Path | bytes) -> Iterator[tuple[float, int | None]]:
    """Decode the whole of a file and give (presentation time in seconds, number) of each frame."""
    with opened(media) as file:
        for frame in file.decode(video=0):
            assert frame.time is not None
            yield frame.time, frame_number(frame)


def packet_times(media: str | Path | bytes, kind: str = "audio") -> list[tuple[float, float]]:
    """Begin and duration, in seconds, of each packet of a track, so that a test can look for gaps."""
    with opened(media) as file:
        track = next(stream for stream in file.streams if stream.type == kind)
        packets = [packet for packet in file.demux(track) if packet.size and packet.pts is not None]
        unit = track.time_base or Fraction(1)
        return [(float((packet.pts or 0) * unit), float((packet.duration or 0) * unit)) for packet in packets]


def sing(clip: Clip) -> Iterator[AudioFrame]:
    """The audio, one second to a frame, without end."""
    rate = clip.rate
    second = array("h", (sample(n / rate) for n in range(rate))).tobytes()
    start = 0
    while True:
        frame = AudioFrame("s16", "mono", rate)
        frame.planes[0].update(second)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame
        start += rate


def sample(t: float) -> int:
    """The audio at a time within its second, as a signed 16 bit number."""
    pitch, loudness = (1320, 12000) if t < 0.1 else (440, 4000)
    return round(loudness * math.sin(2 * math.pi * pitch * t))
