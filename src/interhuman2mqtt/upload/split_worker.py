"""The process that makes parts of a recording: copied where the cloud takes it, else encoded, cut at key frames.

    python -m interhuman2mqtt.upload.split_worker COMMAND

A process of its own, because FFmpeg reads what came from anywhere: what crashes or hangs in it is this file's error.
Of a file only one track of video and one of audio is sent on. Its name, its metadata (a phone writes where it was) and
its subtitles stay here.
"""

import errno
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from interhuman2mqtt.capture.tracks import AvPacket, time_base_of
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime import process
from interhuman2mqtt.upload.cuts import CutUnit, Limits, plan_cuts
from interhuman2mqtt.upload.split_files import EarlyDts, PartWriter, Timeline, TrackWriter, created, open_media, seconds
from interhuman2mqtt.upload.split_ipc import (
    Line,
    Note,
    Progress,
    SourceInfo,
    Split,
    SplitFailed,
    decode_command,
    encode_line,
)
from interhuman2mqtt.upload.split_tracks import Selection, select

MEMORY_MAX = 2 << 30
PROGRESS_S = 0.5
AUDIO_STEP_S = 1.0
"""What a GOP is to video, a second is to audio."""
PACKET_BYTES = 24
"""Of a container for each packet: an MP4's index takes 16 to 20 where frames are reordered (ISO/IEC 14496-12, 8.6)."""
HEADER_BYTES = 64 << 10
"""Of a container for all else."""
CUT_OFF_S = 2.0
"""A file that ends so much before it says so was cut off."""


def emit(line: Line) -> None:
    """Write a line for whoever gave the command."""
    sys.stdout.buffer.write(encode_line(line) + b"\n")
    sys.stdout.buffer.flush()


class Splitter:
    """Makes the parts of one recording."""

    def __init__(self, command: Split) -> None:
        self._command = command
        self._folder = Path(command.folder)
        self._reported_at = 0.0
        self._begin = self._duration = 0.0

    def run(self) -> None:
        """Write the parts; raise Outage or Refused."""
        with open_media(self._command.source) as source:
            self._begin = (source.start_time or 0) / av.time_base
            self._duration = (source.duration or 0) / av.time_base
            selection = select(source, self._command.model, self._command.size_max)
            recorded_at = created(source)
        for note in selection.notes:
            emit(Note(note))
        path = self._command.source
        gops = [] if selection.encodes else self._scan(path, selection)
        starts = plan_cuts(gops, self._limits())
        if not starts:
            path, selection = self._encode(selection.encoded())
            gops = self._scan(path, selection)
            starts = plan_cuts(gops, self._limits())
        if not starts:
            raise Refused(Reason.INVALID_MEDIA, "it holds nothing that can be decoded")
        self._describe(gops, selection, recorded_at)
        self._cut(path, selection, starts)

    def _limits(self) -> Limits:
        return Limits(self._command.size_max - HEADER_BYTES, self._command.duration_max)

    def _describe(self, gops: list[CutUnit], selection: Selection, recorded_at: datetime | None) -> None:
        duration = gops[-1].end - gops[0].start
        if duration < self._command.duration_min:
            least = f"{self._command.duration_min:g} s"
            raise Refused(Reason.MEDIA_REJECTED, f"it lasts {duration:.1f} s: the cloud needs {least} at least")
        if (late := gops[0].start - self._begin) > CUT_OFF_S:
            emit(Note(f"its first {late:.0f} s are left out: they have no video"))
        if self._begin + self._duration - gops[-1].end > CUT_OFF_S:
            there = gops[-1].end - self._begin
            emit(Note(f"it is cut off after {there:.0f} s of {self._duration:.0f} s: what is there is analysed"))
        emit(SourceInfo(model=selection.model, recorded_at=recorded_at, duration=duration))

    def _scan(self, path: str, selection: Selection) -> list[CutUnit]:
        """Return where the file can be cut; nothing where its packets cannot be copied."""
        gops: list[CutUnit] = []
        newest: dict[int, int] = {}
        end = 0.0
        with open_media(path) as source:
            main, *_ = streams = selection.streams(source)
            for packet in self._packets(source, streams, "reading"):
                at = seconds(packet)
                if packet.dts is None or packet.pts is None:
                    return []
                if packet.dts <= newest.get(packet.stream.index, packet.dts - 1):
                    return []
                newest[packet.stream.index] = packet.dts
                if packet.stream is main and is_cut(packet, gops, at):
                    gops[-1:] = [gop._replace(end=at) for gop in gops[-1:]]
                    gops.append(CutUnit(at, at, 0))
                if gops:
                    end = max(end, at + float((packet.duration or 0) * time_base_of(packet.stream)))
                    gops[-1] = gops[-1]._replace(size=gops[-1].size + packet.size + PACKET_BYTES)
        gops[-1:] = [gop._replace(end=max(end, gop.start)) for gop in gops[-1:]]
        return gops

    def _encode(self, selection: Selection) -> tuple[str, Selection]:
        """Write the recording anew, in codecs that the cloud takes; return where, and what of it is sent."""
        target = self._folder / f"encoded.{selection.suffix}"
        with open_media(self._command.source) as source:
            streams = selection.streams(source)
            writer = TrackWriter(target, selection.container, selection.tracks(streams))
            for packet in self._packets(source, streams, "encoding", flush=True):
                writer.convert(packet)
            writer.close()
        if not writer.written[0]:
            raise Refused(Reason.INVALID_MEDIA, "nothing in it can be decoded")
        if not all(writer.written):
            emit(Note("nothing in its audio track can be decoded: silence is sent in its place"))
            return self._encode(selection.silent())
        if writer.left_out:
            emit(Note(f"{writer.left_out} of its packets cannot be decoded, and are left out"))
        return str(target), selection.written()

    def _cut(self, path: str, selection: Selection, starts: tuple[float, ...]) -> None:
        """Write the parts; two are open at a time, because a file may have its audio a little before its video."""
        writers: dict[int, PartWriter] = {}
        current = -1
        with open_media(path) as source:
            main, *_ = streams = selection.streams(source)
            for packet in self._packets(source, streams, "cutting"):
                index = bisect_right(starts, seconds(packet)) - 1
                if packet.stream is main:
                    index = current = max(current, index) if packet.is_keyframe else current
                if index < max(0, current - 1):
                    continue
                if index not in writers:
                    part = self._folder / f"part-{index + 1}.{selection.suffix}"
                    writers[index] = PartWriter(part, starts[index], streams, selection.container)
                writers[index].mux(packet)
                for done in [number for number in writers if number < index - 1]:
                    self._finish(writers.pop(done))
        for number in sorted(writers):
            self._finish(writers[number])

    def _finish(self, writer: PartWriter) -> None:
        part = writer.close(self._begin)
        if part.end - part.start < self._command.duration_min:
            emit(Note(f"the {part.end - part.start:.1f} s from {part.start:.0f} s on are left out: too short a part"))
        else:
            emit(part)

    def _packets(
        self, source: InputContainer, streams: list[Stream], doing: str, *, flush: bool = False
    ) -> Iterator[AvPacket]:
        """Yield the packets that are whole; with `flush` the empty ones too that end each track."""
        packets = source.demux(streams)
        early, timeline = EarlyDts(), Timeline(streams[0])
        while True:
            try:
                packet = next(packets)
            except IndexError:  # PyAV's, of a packet of a stream that the file had not announced: it goes on behind it
                packets = source.demux(streams)
                continue
            except (StopIteration, av.error.FFmpegError):  # a file that was cut off ends in either
                return
            if not packet.is_corrupt:
                self._report(doing, packet)
                for whole in early.filled(packet):
                    timeline.repair(whole)
                    if whole.size or flush:
                        yield whole

    def _report(self, doing: str, packet: AvPacket) -> None:
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_S:
            self._reported_at = now
            emit(Progress(doing, min(1.0, seconds(packet) / self._duration) if self._duration else 0.0))


def is_cut(packet: AvPacket, gops: list[CutUnit], at: float) -> bool:
    """Decide whether the recording can be cut before a packet of its main track."""
    if packet.stream.type == "video":
        return packet.is_keyframe
    return not gops or at - gops[-1].start >= AUDIO_STEP_S


def main() -> None:
    """Carry out the command of the command line."""
    process.keep_private()
    process.bound(MEMORY_MAX)
    av.logging.set_level(None)
    command = decode_command(sys.argv[1].encode())
    try:
        Splitter(command).run()
    except Outage as outage:
        emit(SplitFailed(outage.reason, outage.detail))
    except BrokenPipeError:
        return  # whoever gave the command is gone
    except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
        emit(failure(error, command.folder))
    except MemoryError:
        emit(SplitFailed(Reason.INVALID_MEDIA, f"it takes more than {MEMORY_MAX >> 30} GiB of memory to decode"))


def failure(error: Exception, folder: str) -> SplitFailed:
    """Return why parts could not be made, for an error of FFmpeg's or of the system's."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return SplitFailed(Reason.NO_PERMISSION, f"{folder} has no space for its parts: TMPDIR may name another folder")
    return SplitFailed(Reason.INVALID_MEDIA, f"FFmpeg cannot make parts of it: {error}")


if __name__ == "__main__":
    main()
