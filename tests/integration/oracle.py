"""What is true of a run, from the media that the cloud saved and the log of the camera that sent it."""

import math
import struct
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.audio.resampler import AudioResampler

from integration.helpers import Cloud
from support.clips import Clip, frame_numbers, opened
from support.rtsp import RtspServer

LENGTH = struct.Struct(">I")
CODED_FRAMES = {1, 5}
"""NAL unit types of coded pictures in H.264 (ITU-T H.264, table 7-1)."""
BLOCK_S = 0.01
LOUD = 6000
"""Between the two tones of a clip, as the greatest sample of a block."""


class NumberedFrame(NamedTuple):
    """A frame of what the cloud got."""

    media: float
    """Seconds on the session's media clock."""
    number: int


def frames_of(cloud: Cloud, session: int = 1) -> list[NumberedFrame]:
    """All frames that a session got, in their order; every one must carry its number."""
    starts = [line["start"] for line in cloud.happened("decoded", session=session) if line["start"] is not None]
    frames = [
        (start - starts[0] + seconds, number)
        for file, start in zip(cloud.files(session), starts, strict=False)
        for seconds, number in frame_numbers(file)
    ]
    assert [seconds for seconds, number in frames if number is None] == []
    return [NumberedFrame(seconds, number or 0) for seconds, number in frames]


class Received(NamedTuple):
    """What one session got."""

    number: int
    request_id: str
    frames: list[NumberedFrame]


def received(cloud: Cloud) -> list[Received]:
    """All sessions that got media, in their order."""
    opened = [(line["session"], line["request_id"]) for line in cloud.happened("opened")]
    return [Received(n, id_, frames_of(cloud, n)) for n, id_ in opened if cloud.files(n)]


def captured_at(camera: RtspServer, mount: str, frames: list[NumberedFrame], media: float) -> datetime:
    """When what stands at `media` seconds of a session was captured, by the log of the camera itself."""
    frame = max((frame for frame in frames if frame.media <= media + 1e-6), default=frames[0])
    seconds = camera.captured_at(mount, frame.number) + media - frame.media
    return datetime.fromtimestamp(seconds, UTC)


def coded_frames(media: Path | str) -> list[bytes]:
    """Each picture's NAL units as they stand in an MP4, without parameter sets and the like."""
    with opened(media) as file:
        return [b"".join(_coded_frames_in(bytes(packet))) for packet in file.demux(video=0) if packet.size]


def _coded_frames_in(packet: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packet):
        [length] = LENGTH.unpack_from(packet, at)
        unit = packet[at + LENGTH.size : at + LENGTH.size + length]
        if unit[0] & 0x1F in CODED_FRAMES:
            yield unit
        at += LENGTH.size + length


def is_part_of(clip: Clip, files: list[Path]) -> bool:
    """Whether a session's pictures are the clip's own, byte for byte, from some frame on, through its loops."""
    sent, got = coded_frames(clip.path()), [picture for file in files for picture in coded_frames(file)]
    first = sent.index(got[0]) if got and got[0] in sent else None
    return first is not None and got == [sent[(first + n) % len(sent)] for n in range(len(got))]


def audio_packets(media: Path | str) -> list[bytes]:
    """Each packet of audio of an MP4, as it stands there."""
    with opened(media) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def is_part_of_audio(clip: Clip, files: list[Path]) -> bool:
    """Whether the packets of all files, one after the other, are the clip's own from some packet on, through its loops.

    The packet that only primes a decoder, before the clip's zero, is not served by a camera.
    """
    served = served_audio(clip)
    got = [packet for file in files for packet in audio_packets(file)]
    for first in range(len(served)):
        if all(packet == served[(first + n) % len(served)] for n, packet in enumerate(got)):
            return bool(got)
    return False


def served_audio(clip: Clip) -> list[bytes]:
    """The packets of audio that a camera sends."""
    with opened(clip.path()) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size and (packet.pts or 0) >= 0]


def has_audio(media: Path) -> bool:
    """Whether there is an audio track."""
    with opened(media) as file:
        return bool(file.streams.audio)


def beeps(media: Path) -> list[float]:
    """When the loud tone begins, which a clip has at the beginning of each second; in seconds of media."""
    loud, begins = False, []
    for at, peak in loudness(media):
        if peak > LOUD and not loud:
            begins.append(at)
        loud = peak > LOUD
    return begins


def loudness(media: Path) -> Iterator[tuple[float, int]]:
    """Time and greatest sample of each hundredth of a second of the audio."""
    resampler = AudioResampler("s16", "mono", 48000)
    size = round(48000 * BLOCK_S)
    with av.open(str(media)) as file:
        for decoded in file.decode(audio=0):
            for frame in resampler.resample(decoded):
                samples = array("h", bytes(frame.planes[0])[: frame.samples * 2])
                start = float((frame.pts or 0) * (frame.time_base or Fraction(1, 48000)))
                for first in range(0, len(samples), size):
                    yield start + first / 48000, max(map(abs, samples[first : first + size]))


def off_the_second(seconds: float) -> float:
    """How far a time is from a whole second."""
    return abs(seconds - math.floor(seconds + 0.5))
