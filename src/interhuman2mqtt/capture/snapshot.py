"""Snapshots: what the camera sees now, as a JPEG, by decoding the newest GOP of the ring up to its last frame."""

# Why the newest GOP, and not the last key frame alone: that may be 4.5 s old, and who asks for a snapshot looks at a
# door. Decoding all video at all times for it was refused: H.264 at 1920x1080 took 2.5 ms for each frame on a core of a
# small virtual machine, 7.5 % of it at 30 a second, where copying takes 1.3 %. So a thread of its own decodes one GOP,
# one snapshot at a time (0.35 s for the longest that is copied, and 5 ms for the JPEG); the capture only copies a list.

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
"""Seconds after which no further frame is decoded: the newest so far is the snapshot."""
QUALITY = 4
"""The quantizer of the JPEG, of 1 (best) to 31."""
PIXELS = "yuvj420p"
"""JPEG's own: full range."""
LAMBDA = 118
"""FF_QP2LAMBDA of libavutil/avutil.h: libav's unit of `global_quality`."""


class SnapshotFailed(Exception):  # noqa: N818 - it names what happened, and `cameras` has a SnapshotError
    """There is no snapshot to be had now; the text says why."""


class SnapshotTaker:
    """Takes snapshots of one capture, one after the other."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._one_at_a_time = threading.Lock()

    def take(self, command: ipc.TakeSnapshot) -> tuple[ipc.Snapshot, bytes]:
        """Return a snapshot, or why there is none. Blocks; not to be called with the capture's lock held."""
        with self._one_at_a_time:
            try:
                return self._take(command)
            except SnapshotFailed as error:
                return ipc.Snapshot(number=command.number, error=str(error)), b""
            except av.error.FFmpegError as error:
                return ipc.Snapshot(number=command.number, error=f"no snapshot can be made: {error.strerror}"), b""

    def _take(self, command: ipc.TakeSnapshot) -> tuple[ipc.Snapshot, bytes]:
        track, packets, anchor_s = self._newest()
        frame = newest_frame(track.template, packets, time.monotonic() + DECODE_S)
        size = fit_width(track.shape.of(frame).upright, command.width_max)
        taken_s = (frame.pts or 0) * track.tick_s
        snapshot = ipc.Snapshot(number=command.number, size=size, taken_s=taken_s, anchor_s=anchor_s)
        return snapshot, to_jpeg(Rotator(size, PIXELS).fit(frame, track.shape))

    def _newest(self) -> tuple[VideoTrack, list[Packet], float]:
        """Return the packets of the newest GOP, which may still grow, and the track that they are of."""
        capture = self._capture
        with capture.changed:
            if capture.outage is not None:
                raise SnapshotFailed(f"the source is not open: {capture.outage.detail}")
            gop = capture.ring.newest_gop()
            if gop is None:
                raise SnapshotFailed("no key frame has come yet")
            track = capture.tracks[gop.epoch].video
            if track is None:
                raise SnapshotFailed("only its audio is used, so there is no video to show")
            return track, list(gop.video), capture.anchor.seconds


def newest_frame(template: Stream, packets: list[Packet], deadline: float) -> VideoFrame:
    """Return the frame that is shown last, of those that could be decoded until the deadline; raises SnapshotFailed."""
    newest: VideoFrame | None = None
    for frame in _decode_all(template, packets, deadline):
        if newest is None or (frame.pts or 0) >= (newest.pts or 0):
            newest = frame
    if newest is None:
        raise SnapshotFailed("none of the newest frames could be decoded")
    return newest


def _decode_all(template: Stream, packets: list[Packet], deadline: float) -> Iterator[VideoFrame]:
    context = template.codec_context
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = context.extradata
    decoder.thread_count = 1  # the other cores belong to the capture
    for packet in packets:
        yield from _decode(decoder, _to_av_packet(packet))
        if time.monotonic() > deadline:
            break
    yield from _decode(decoder, None)


def _decode(decoder: VideoCodecContext, packet: "AvPacket | None") -> list[VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.InvalidDataError:
        return []  # a broken frame: those around it will do


def _to_av_packet(packet: Packet) -> AvPacket:
    """Return a packet for the decoder, which only hands its times on, in the track's ticks."""
    copy: AvPacket = av.Packet(packet.data)
    copy.pts, copy.dts = packet.pts, packet.dts
    return copy


def fit_width(size: Size, width_max: int) -> Size:
    """Return the size of a frame that is no wider than that, in its own proportion, even both ways."""
    scale = min(1.0, width_max / size[0])
    return even(size[0] * scale), even(size[1] * scale)


def to_jpeg(frame: VideoFrame) -> bytes:
    """Return a frame as JPEG, by libav's encoder."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, PIXELS
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.qscale, encoder.global_quality = True, QUALITY * LAMBDA
    frame.pts, frame.time_base = 0, encoder.time_base
    return b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))
