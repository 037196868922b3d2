"""What the camera sees now, as a JPEG: the newest group of pictures of the ring, decoded up to its last picture.

It costs the capture nothing but the copying of a list: a thread of its own decodes, one picture at a time, and a group
that takes longer than `DECODE_S` gives the newest picture so far. H.264 at 1920x1080 took 2.5 ms for each picture of
the group on one core of a small virtual machine: 0.35 s for the longest group that is copied (4.5 s at 30 a second).
"""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.capture_thread import Capture
from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.rotation import Rotator, Size, even
from interhuman2mqtt.capture.tracks import AvPacket, VideoTrack

DECODE_S = 2.0
"""Seconds after which no further picture is decoded."""
QUALITY = 4
"""The quantizer of the JPEG, of 1 (best) to 31."""
PIXELS = "yuvj420p"
"""JPEG's own: full range."""
LAMBDA = 118
"""FF_QP2LAMBDA of libavutil/avutil.h: libav's unit of `global_quality`."""


class SnapshotFailed(Exception):  # noqa: N818 - it names what happened
    """There is none to be had now; the text says why."""


class SnapshotTaker:
    """Takes pictures of one capture, one after the other."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._one_at_a_time = threading.Lock()

    def take(self, command: ipc.TakeSnapshot) -> tuple[ipc.Snapshot, bytes]:
        """A picture, or why there is none. Blocks; not to be called with the capture's lock held."""
        with self._one_at_a_time:
            try:
                return self._take(command)
            except SnapshotFailed as error:
                return ipc.Snapshot(number=command.number, error=str(error)), b""
            except av.error.FFmpegError as error:
                return ipc.Snapshot(number=command.number, error=f"the picture cannot be made: {error.strerror}"), b""

    def _take(self, command: ipc.TakeSnapshot) -> tuple[ipc.Snapshot, bytes]:
        track, packets, anchor_s = self._newest()
        frame = newest_frame(track.template, packets, time.monotonic() + DECODE_S)
        size = fitting(track.shape.of(frame).upright, command.width_max)
        taken_s = (frame.pts or 0) * track.tick_s
        pictured = ipc.Snapshot(number=command.number, size=size, taken_s=taken_s, anchor_s=anchor_s)
        return pictured, jpeg(Rotator(size, PIXELS).fit(frame, track.shape))

    def _newest(self) -> tuple[VideoTrack, list[Packet], float]:
        """The pictures of the newest group, which may still grow, and the track that they are of."""
        capture = self._capture
        with capture.changed:
            if capture.outage is not None:
                raise SnapshotFailed(f"the source is not open: {capture.outage.detail}")
            gop = capture.ring.newest_gop()
            if gop is None:
                raise SnapshotFailed("no picture has come yet that begins a group")
            return capture.takes[gop.take].video, list(gop.video), capture.anchor.seconds


def newest_frame(template: Stream, packets: list[Packet], deadline: float) -> VideoFrame:
    """The picture that is shown last, of those that could be decoded until the deadline; raises SnapshotFailed."""
    newest: VideoFrame | None = None
    for frame in _decoded(template, packets, deadline):
        if newest is None or (frame.pts or 0) >= (newest.pts or 0):
            newest = frame
    if newest is None:
        raise SnapshotFailed("none of the newest pictures could be decoded")
    return newest


def _decoded(template: Stream, packets: list[Packet], deadline: float) -> Iterator[VideoFrame]:
    context = template.codec_context
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = context.extradata
    decoder.thread_count = 1  # the other cores belong to the capture
    for packet in packets:
        yield from _decode(decoder, _as_av(packet))
        if time.monotonic() > deadline:
            break
    yield from _decode(decoder, None)


def _decode(decoder: VideoCodecContext, packet: "AvPacket | None") -> list[VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.InvalidDataError:
        return []  # a broken picture: those around it will do


def _as_av(packet: Packet) -> AvPacket:
    """Times are left in the track's ticks: the decoder only hands them on."""
    copy: AvPacket = av.Packet(packet.data)
    copy.pts, copy.dts = packet.pts, packet.dts
    return copy


def fitting(size: Size, width_max: int) -> Size:
    """The size of a picture that is no wider than that, in its own proportion, even both ways."""
    scale = min(1.0, width_max / size[0])
    return even(size[0] * scale), even(size[1] * scale)


def jpeg(picture: VideoFrame) -> bytes:
    """A picture of those pixels as JPEG, by libav's encoder."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, PIXELS
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.qscale, encoder.global_quality = True, QUALITY * LAMBDA
    picture.pts, picture.time_base = 0, encoder.time_base
    return b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)]))
