"""The files of the process that cuts recordings: the one that is read, and those that are written."""

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.tracks import AvPacket, time_base_of
from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.upload.split_ipc import Part

CREATED = ("com.apple.quicktime.creationdate", "creation_time", "date", "DATE_RECORDED")
"""Names of metadata, the most exact first: Apple's has a time zone."""
CREATED_MIN = datetime(2000, 1, 1, tzinfo=UTC)
"""What is dated earlier has a clock that was never set: 1904 and 1970 are the zeros of MP4 and of Unix."""
REORDERED_MAX = 16
"""Frames that H.264 allows to be reordered."""


class EarlyDts:
    """Gives the first frames of a file the DTS that Matroska does not keep, and FFmpeg knows only after some frames."""

    def __init__(self) -> None:
        self._held: defaultdict[int, list[AvPacket]] = defaultdict(list)
        self._known: set[int] = set()

    def filled(self, packet: AvPacket) -> list[AvPacket]:
        """Return the packets that are complete now; a frame waits for the first one with a DTS."""
        stream = packet.stream
        held = self._held[stream.index]
        if stream.index in self._known or not isinstance(stream, VideoStream):
            return [packet]
        if packet.size and packet.dts is None and len(held) < REORDERED_MAX:
            held.append(packet)
            return []
        self._known.add(stream.index)
        step = int(1 / (stream.average_rate or Fraction(25)) / time_base_of(stream))
        for number, early in enumerate(reversed(held), start=1):
            early.dts = None if packet.dts is None else packet.dts - number * step
        return [*held, packet]


class PartWriter:
    """Writes one part."""

    def __init__(self, folder: Path, index: int, start: float, streams: list[Stream], container: str) -> None:
        self._path = folder / f"part-{index + 1}.{container}"
        self._start = self._end = start
        self._muxer = av.open(str(self._path), "w", format=container)
        self._outputs = {stream.index: self._muxer.add_stream_from_template(stream) for stream in streams}

    def mux(self, packet: AvPacket) -> None:
        """Write a packet, its times from the part's begin."""
        base = time_base_of(packet.stream)
        offset = round(self._start / base)
        self._end = max(self._end, seconds(packet) + float((packet.duration or 0) * base))
        packet.pts, packet.dts = (packet.pts or 0) - offset, (packet.dts or 0) - offset
        packet.stream = self._outputs[packet.stream.index]
        self._muxer.mux(packet)

    def close(self, zero: float) -> Part:
        """End the file, and return the part."""
        self._muxer.close()
        return Part(str(self._path), self._start - zero, self._end - zero)


def open_media(path: str) -> InputContainer:
    """Open a file, and nothing that it names; raise Refused."""
    options = {"protocol_whitelist": "file", "fflags": "+genpts+discardcorrupt"}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except PermissionError as error:
        raise Refused(Reason.NO_PERMISSION, f"it cannot be read: {error.strerror}") from error
    except FileNotFoundError as error:
        raise Refused(Reason.NOT_FOUND, "there is no such file") from error
    except (OSError, ValueError) as error:  # FFmpeg's errors are of either
        what = getattr(error, "strerror", None) or error
        raise Refused(
            Reason.INVALID_MEDIA,
            f"FFmpeg cannot read it ({what}): it is no recording, or its end, where an MP4 has its index, is missing",
        ) from error


def created(source: InputContainer) -> datetime | None:
    """Return when a file says that it was recorded."""
    for name in CREATED:
        with suppress(ValueError, KeyError):
            when = datetime.fromisoformat(source.metadata[name])
            if when.tzinfo is not None and when >= CREATED_MIN:
                return when.astimezone(UTC)
    return None


def seconds(packet: AvPacket) -> float:
    """Return when a packet is shown."""
    return float((packet.pts or 0) * time_base_of(packet.stream))


def mux(muxer: OutputContainer, output: Stream, time_base: Fraction, made: Packet) -> None:
    """Write a packet that a track was converted to."""
    packet = av.Packet(made.data)
    packet.stream, packet.time_base = output, time_base
    packet.pts, packet.dts, packet.duration = made.pts, made.dts, made.duration
    packet.is_keyframe = made.key
    muxer.mux(packet)
