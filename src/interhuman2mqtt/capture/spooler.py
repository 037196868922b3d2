"""The spool: what leaves the ring before the cloud has it is written to files, for the upload endpoint.

While it is on, each GOP that the ring evicts and that is not known to be delivered joins the growing segment. A segment
is whole once it is long enough, or where what follows it is missing, was delivered, or has another format. A thread of
its own writes it to a `.part`, synchronised, and gives it a name that says all about it (`segment_name`).

Nobody ever waits for the disk: a segment for which there is no room in the short queue is dropped and reported.
"""

# Why segments and not the chunks of the stream: the upload endpoint takes no file of less than 3 s, and each upload is
# a job of its own, with its own ends of signals. Why they grow in memory: a file that is written GOP by GOP would
# survive a crash in part, and would have to be fragmented, without the length that the endpoint judges it by.
# Why names and no index beside the files: a rename is whole or was not, so no power cut leaves an index that is wrong.

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import av

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.muxer import write_mp4, zero_of
from interhuman2mqtt.capture.ring import Gop
from interhuman2mqtt.capture.tracks import Tracks
from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime.clock import ASLEEP_S, clock_state, read_clocks
from interhuman2mqtt.runtime.state_dir import boot_id, sync_folder

LEAST_S = 3.0
"""The upload endpoint takes nothing shorter (ih4007); so much of a segment is kept back, for one more."""
SEGMENT_BYTES = 16 << 20
"""Half of what the upload endpoint takes (ih4003)."""
GROWING_BYTES = SEGMENT_BYTES + (8 << 20)
LARGEST = 32 << 20
"""What the upload endpoint takes; a single GOP may be more."""
QUEUED = 1
"""Segments that wait while another is written; with the growing one they are all that a spool holds in memory."""
MEMORY = GROWING_BYTES + (QUEUED + 1) * SEGMENT_BYTES
FREE_MIN = 64 << 20
"""Bytes that are left to the disk: what the live path writes, the outbox and the budgets, must find room."""
EDGE_S = 0.001


def segment_name(start_s: float, seconds: float) -> str:
    """Return the name of a segment: `<boot>-<start>-<wall><s|u>-<length>.mp4`, times in milliseconds.

    Boot is the begin of the kernel's id of it, start BOOTTIME, and wall the UTC of the start as the clock is set now,
    which is synchronised or unknown: within one boot the first two say when it was, later the third.

    Args:
        start_s: CLOCK_MONOTONIC, in seconds.
        seconds: Its length.
    """
    clocks = read_clocks()
    start_ms = round((start_s + clocks.boottime - clocks.monotonic) * 1000)
    wall_ms = round((start_s + clocks.realtime - clocks.monotonic) * 1000)
    synced = "s" if clock_state() is Clock.SYNCED else "u"
    return f"{boot_id()[:8] or 'unknown'}-{start_ms}-{wall_ms}{synced}-{round(seconds * 1000)}.mp4"


def _asleep() -> float:
    """Return for how many seconds the machine was suspended since its start."""
    clocks = read_clocks()
    return clocks.boottime - clocks.monotonic


class _Segment(NamedTuple):
    folder: Path
    gops: list[Gop]
    tracks: Tracks
    anchor_s: float

    @property
    def seconds(self) -> float:
        return self.gops[-1].end_s - self.gops[0].start_s

    @property
    def name(self) -> str:
        zero_s = zero_of(self.gops, self.tracks)
        return segment_name(zero_s + self.anchor_s, self.gops[-1].end_s - zero_s)


class Spooler:
    """Gathers the GOPs that leave the ring, and writes them; all but `run` and `close` is called with `changed` held.

    Args:
        tracks: By their epoch.
        anchor: Of the source's timeline.
        changed: Notified when there is a report.
        segment_s: How long a segment gets.
        asleep: For how many seconds the machine was suspended until now.
    """

    def __init__(
        self,
        tracks: Callable[[], Mapping[int, Tracks]],
        anchor: ClockAnchor,
        changed: threading.Condition,
        segment_s: float,
        asleep: Callable[[], float] = _asleep,
    ) -> None:
        self.reports: deque[ipc.Spooled | ipc.SpoolLost] = deque()
        """What became of the segments, for the daemon."""
        self._tracks = tracks
        self._anchor = anchor
        self._changed = changed
        self._segment_s = segment_s
        self._asleep = asleep
        self._asleep_s = asleep()
        self._folder: Path | None = None
        self._is_on = False
        self._gops: list[Gop] = []
        self._growing_tracks: Tracks | None = None
        self._delivered_s = self._not_before_s = float("-inf")
        self._queue: deque[_Segment] = deque()
        self._is_writing = False

    def handle(self, command: ipc.Spool, newest_s: float) -> None:
        """Go on or stop; with another folder all is forgotten that was captured until now, which is `newest_s`."""
        self._is_on = command.folder is not None
        if command.folder is None:
            self._end_segment()
        elif (folder := Path(command.folder)) != self._folder:
            if self._folder is not None:
                self._forget_until(newest_s)
                self._queue.clear()
            self._folder = folder

    def evicted(self, gop: Gop, newest_s: float) -> None:
        """Spool a GOP that leaves the ring, unless the cloud has it.

        What was captured before the machine slept is forgotten, up to `newest_s`: nothing here knows when it slept, and
        so when that was.
        """
        if abs(self._asleep() - self._asleep_s) > ASLEEP_S:
            self._asleep_s = self._asleep()
            self._forget_until(newest_s)
        is_wanted = gop.start_s >= self._not_before_s and gop.end_s > self._delivered_s + EDGE_S
        if not (self._is_on and is_wanted and gop.end_s > gop.start_s):
            return
        if self._gops and (self._gops[-1].epoch != gop.epoch or gop.start_s > self._gops[-1].end_s + EDGE_S):
            self._end_segment()
        if not self._gops:
            self._growing_tracks = self._tracks()[gop.epoch]
        self._gops.append(gop)
        while _seconds(self._gops) >= self._segment_s + LEAST_S or _size(self._gops) >= GROWING_BYTES:
            count = _fitting(self._gops, self._segment_s)
            cut, self._gops = self._gops[:count], self._gops[count:]
            self._put(cut)

    def delivered(self, start_s: float, end_s: float) -> None:
        """Leave out what the cloud has after all; what is before it will not grow any more."""
        self._delivered_s = max(self._delivered_s, end_s)
        after = [gop for gop in self._gops if gop.start_s >= end_s - EDGE_S]
        self._gops = [gop for gop in self._gops if gop.end_s <= start_s + EDGE_S]
        self._end_segment()
        self._gops = after

    def run(self) -> None:
        """Write segment after segment, for ever."""
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue)
                self._is_writing = True
                segment = self._queue.popleft()
            report = _write(segment)
            with self._changed:
                self.reports.append(report)

    def close(self, seconds: float) -> None:
        """End the growing segment, and give the disk so long to take what there is."""
        with self._changed:
            self._end_segment()
            self._changed.wait_for(lambda: not (self._queue or self._is_writing), seconds)

    def _forget_until(self, newest_s: float) -> None:
        self._gops.clear()
        self._not_before_s = newest_s

    def _end_segment(self) -> None:
        gops, self._gops = self._gops, []
        if gops:
            self._put(gops)

    def _put(self, gops: list[Gop]) -> None:
        assert self._folder is not None  # noqa: S101 - it is on
        assert self._growing_tracks is not None  # noqa: S101 - set with the first GOP
        if _seconds(gops) < LEAST_S:
            self._lose(gops, f"shorter than the {LEAST_S:g} s that the upload endpoint takes")
        elif _size(gops) > LARGEST:
            self._lose(gops, "larger than the 32 MB that the upload endpoint takes")
        elif len(self._queue) >= QUEUED:
            self._lose(gops, "the disk is too slow: the segments before it are still being written")
        else:
            self._queue.append(_Segment(self._folder, gops, self._growing_tracks, self._anchor.seconds))
            self._changed.notify_all()

    def _lose(self, gops: list[Gop], detail: str) -> None:
        self.reports.append(ipc.SpoolLost(seconds=_seconds(gops), detail=detail))
        self._changed.notify_all()


class _SyncedFile:
    """A new file that nobody else may read, as libav writes it: a disk that takes less than all of it is an error."""

    # Python's own files were refused: an unbuffered one writes less where the disk is full, and says so by a number
    # that libav ignores; a buffered one raises in `seek`, whose errors libav ignores.

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        """What libav makes an error of its own of, now and then."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return self.seek(0, os.SEEK_CUR)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def _write(segment: _Segment) -> ipc.Spooled | ipc.SpoolLost:
    """Write a segment for good."""
    path = segment.folder / segment.name
    draft = path.with_suffix(".part")
    try:
        _check_room(segment)
        _write_file(draft, segment)
        draft.rename(path)
        sync_folder(segment.folder)
    except (OSError, av.error.FFmpegError) as error:
        with suppress(OSError):
            draft.unlink()
        return ipc.SpoolLost(seconds=segment.seconds, detail=f"{segment.folder}: {error.strerror or error}")
    return ipc.Spooled(seconds=segment.seconds)


def _check_room(segment: _Segment) -> None:
    disk = os.statvfs(segment.folder)
    if disk.f_bavail * disk.f_frsize < FREE_MIN + _size(segment.gops):
        raise OSError(errno.ENOSPC, f"less than {FREE_MIN >> 20} MiB would be left on the disk")


def _write_file(path: Path, segment: _Segment) -> None:
    with closing(_SyncedFile(path)) as file:
        try:
            write_mp4(file, segment.gops, segment.tracks)
        except av.error.FFmpegError as error:
            raise file.error or error from error
        file.sync()


def _seconds(gops: list[Gop]) -> float:
    return gops[-1].end_s - gops[0].start_s if gops else 0.0


def _size(gops: list[Gop]) -> int:
    return sum(gop.size for gop in gops)


def _fitting(gops: list[Gop], segment_s: float) -> int:
    """Return how many of these GOPs a segment takes: one at least."""
    size = 0
    for count, gop in enumerate(gops):
        size += gop.size
        if count and (gop.end_s - gops[0].start_s > segment_s + EDGE_S or size > SEGMENT_BYTES):
            return count
    return len(gops)
