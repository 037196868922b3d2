"""The files of the process that cuts recordings: the one that is read, and those that are written."""

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.tracks import AvPacket, time_base_of
from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.upload.split_ipc import SplitPart
from interhuman2mqtt.upload.split_tracks import RecordingTracks

CREATED = ("com.apple.quicktime.creationdate", "creation_time", "date", "DATE_RECORDED")
"""Names of metadata, the most exact first: Apple's has a time zone."""
CREATED_MIN = datetime(2000, 1, 1, tzinfo=UTC)
"""What is dated earlier has a clock that was never set: 1904 and 1970 are the zeros of MP4 and of Unix."""
BACKWARDS_S = 0.5
"""Less is jitter."""
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


class Timeline:
    """Lets a recording go on where its times jump back, as in several that were joined byte by byte."""

    def __init__(self, main: Stream) -> None:
        self._main = main
        self._at = float("-inf")
        self._offsets = (0.0, 0.0)
        """The one now, and the one before, for audio that comes after the joint of the video and belongs before it."""

    def repair(self, packet: AvPacket) -> None:
        """Move a packet to where it belongs."""
        if packet.dts is None:
            return
        base = time_base_of(packet.stream)
        at = float(packet.dts * base)
        if packet.stream is self._main:
            if at + self._offsets[0] < self._at - BACKWARDS_S:
                self._offsets = (self._at - at + float((packet.duration or 1) * base), self._offsets[0])
            self._at = at + self._offsets[0]
            offset = self._offsets[0]
        else:
            offset = min(self._offsets, key=lambda offset: abs(at + offset - self._at))
        ticks = round(offset / base)
        packet.dts += ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks


class PartWriter:
    """Writes one part."""

    def __init__(self, path: Path, start: float, streams: list[Stream], container: str) -> None:
        self._path = path
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

    def close(self, zero: float) -> SplitPart:
        """End the file, and return the part."""
        self._muxer.close()
        return SplitPart(str(self._path), self._start - zero, self._end - zero)


class TrackWriter:
    """Writes the file that a recording is encoded to."""

    def __init__(self, path: Path, container: str, tracks: RecordingTracks) -> None:
        self.left_out = 0
        """Packets that could not be decoded, or whose times go backwards."""
        self.written = [0] * len(tracks)
        """Packets by track."""
        self._tracks = tracks
        self._muxer = av.open(str(path), "w", format=container)
        self._outputs = [self._muxer.add_stream_from_template(track.template) for track in tracks]
        self._newest: dict[int, int] = {}
        self._muxer.start_encoding()

    def convert(self, packet: AvPacket) -> None:
        """Write what a packet of the recording becomes."""
        try:
            converted = list(self._tracks.convert(packet))
        except av.error.FFmpegError:
            self.left_out += 1
            return
        for index, made in converted:
            self._mux(index, made)

    def _mux(self, index: int, made: Packet) -> None:
        if made.dts <= self._newest.get(index, made.dts - 1):
            self.left_out += 1
            return
        self._newest[index] = made.dts
        self.written[index] += 1
        packet = av.Packet(made.data)
        packet.stream, packet.time_base = self._outputs[index], self._tracks[index].time_base
        packet.pts, packet.dts, packet.duration = made.pts, made.dts, made.duration
        packet.is_keyframe = made.key
        self._muxer.mux(packet)

    def close(self) -> None:
        """End the file."""
        self._muxer.close()


def open_media(path: str) -> InputContainer:
    """Open a file, and nothing that it names; raise Refused."""
    options = {"protocol_whitelist": "file", "fflags": "+genpts+discardcorrupt"}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except PermissionError as error:
        raise Refused(Reason.NO_PERMISSION, f"it cannot be read: {error.strerror}") from error
    except FileNotFoundError as error:
        raise Refused(Reason.NOT_FOUND, "there is no such file") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
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
