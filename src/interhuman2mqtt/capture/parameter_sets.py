"""The heads of the key frames of copied H.264: whether decoding can begin there, and with which parameter sets.

FFmpeg marks each frame as a key frame at which decoding *recovers* sooner or later (ITU-T H.264, D.2.8). Where it
recovers at once, as at the I frame of an open GOP, that is one. With intra refresh it takes some frames more, and who
begins there sees nothing of them: such a stream cannot be cut.

Parameter sets may change at any key frame, and some cameras have two that take turns. They stay in the frames, where
a decoder finds them (the samples of an MP4 may hold them: ISO/IEC 14496-15, `avc3`; what FFmpeg writes as `avc1` holds
them as well). A key frame that comes without them, because the camera sent them once, gets those that are in force.
"""

from collections.abc import Iterator
from typing import NamedTuple

import av

from interhuman2mqtt.capture.ring import Packet

IDR, SEI, SPS, PPS = 5, 6, 7, 8
SLICES = range(1, IDR + 1)
"""Types of NAL units that a frame is made of (table 7-1)."""
RECOVERY_POINT = 6
"""Payload type of SEI (D.1.1)."""
START_CODE = b"\x00\x00\x01"
SLICE_BYTES = 64
"""Bytes: more than FFmpeg's parser needs of the first slice to know which parameter sets it is coded by."""
REFRESHES_MAX = 2
"""So many key frames that are none, one after the other, are no accident, as in noise."""
FORMATS_MAX = 8
"""As many different parameter sets are remembered; a camera has one or two."""


class AccessUnitHead(NamedTuple):
    """The units before the first slice of a key frame, and the kind of that."""

    sets: tuple[bytes, ...]
    """NAL units: sequence and picture parameter sets."""
    is_idr: bool
    recovers_after: int
    """Frames from this one to the first that is shown right, where it is no IDR frame."""
    slice_head: bytes

    @property
    def sequence(self) -> bytes:
        """The sequence parameter set; empty where there is none."""
        return next((unit for unit in self.sets if unit[0] & 0x1F == SPS), b"")


class KeyFrameChecker:
    """A check of the key frames of one copied track.

    Args:
        extradata: Of its stream: parameter sets in Annex B form, or, of a film, as `avcC`.
    """

    def __init__(self, extradata: bytes) -> None:
        self._extradata = extradata
        self._length_size = (extradata[4] & 3) + 1 if len(extradata) > 4 and extradata[0] == 1 else 0
        self._first: bytes | None = None
        self._sets: tuple[bytes, ...] = ()
        self._refreshes = 0
        self._sizes: dict[bytes, tuple[object, ...]] = {}

    def check(self, data: bytes) -> str | None:
        """Return the rule by which the track cannot go on as it is with this key frame; None: it can.

        `no_beginning`: it can, but not begin there.
        """
        head = read_head(data, self._length_size)
        if head.sets and not self._length_size:
            self._sets = head.sets
        if not head.is_idr and head.recovers_after > 0:
            self._refreshes += 1
            return "intra_refresh" if self._refreshes == REFRESHES_MAX else "no_beginning"
        self._refreshes = 0
        return self._change(head)

    def complete(self, packet: Packet) -> Packet:
        """Return a key frame with the parameter sets in force, if it lacks them and the stream's own are others."""
        if self._length_size or not self._sets or all(unit in self._extradata for unit in self._sets):
            return packet
        if read_head(packet.data, self._length_size).sets:
            return packet
        data = b"".join((*(b"\x00" + START_CODE + unit for unit in self._sets), packet.data))
        return packet._replace(data=data, size=len(data))

    def _change(self, head: AccessUnitHead) -> str | None:
        """Return the rule where the frames are of another size or format than the first, or unreadable."""
        if self._length_size or not head.sequence:
            return None
        if self._first is None:
            self._first = head.sequence
            self._format(head)
        if head.sequence == self._first:
            return None
        if not self._format(head)[0]:
            return "format_unreadable"
        return "format_changed" if self._format(head) != self._sizes[self._first] else None

    def _format(self, head: AccessUnitHead) -> tuple[object, ...]:
        """Return width, height and pixel format, as FFmpeg's parser finds them."""
        known = self._sizes.get(head.sequence)
        if known is None:
            if len(self._sizes) >= FORMATS_MAX:
                self._sizes = {key: size for key, size in self._sizes.items() if key == self._first}
            parser = av.CodecContext.create("h264", "r")
            parser.parse(b"".join(START_CODE + unit for unit in (*head.sets, head.slice_head)))
            parser.parse(None)
            known = self._sizes[head.sequence] = parser.width, parser.height, parser.pix_fmt
        return known


def read_head(data: bytes, length_size: int) -> AccessUnitHead:
    """Return the head of an access unit in Annex B form, or with lengths of so many bytes before its NAL units."""
    sets: list[bytes] = []
    recovers_after = 0
    for unit in nal_units(data, length_size):
        kind = unit[0] & 0x1F
        if kind in SLICES:
            return AccessUnitHead(tuple(sets), kind == IDR, recovers_after, unit[:SLICE_BYTES])
        if kind in {SPS, PPS}:
            sets.append(unit.rstrip(b"\x00"))
        elif kind == SEI:
            recovers_after = recovery_frames(unit) or recovers_after
    return AccessUnitHead(tuple(sets), False, recovers_after, b"")  # noqa: FBT003 - of a tuple with names


def nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """Return the NAL units, none of which is empty."""
    at = 0 if length_size else data.find(START_CODE)
    while 0 <= at < len(data):
        if length_size:
            begin = at + length_size
            end = at = begin + int.from_bytes(data[at:begin], "big")
        else:
            begin = at + len(START_CODE)
            at = data.find(START_CODE, begin)
            end = at if at >= 0 else len(data)
        if unit := data[begin:end]:
            yield unit


def recovery_frames(unit: bytes) -> int | None:
    """Return the count of the recovery point in an SEI (`recovery_frame_cnt`); None where there is none."""
    content = unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 < len(content):
        kind, at = _number(content, at)
        size, at = _number(content, at)
        if kind == RECOVERY_POINT:
            return exp_golomb(content[at : at + size])
        at += size
    return None


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number that is coded as the sum of bytes, all but the last of which are 255; and where it ends."""
    end = at
    while content[end : end + 1] == b"\xff":
        end += 1
    return 255 * (end - at) + sum(content[end : end + 1]), end + 1


def exp_golomb(content: bytes) -> int | None:
    """Return the unsigned number at the beginning (9.1)."""
    bits, total = int.from_bytes(content, "big"), 8 * len(content)
    zeros = total - bits.bit_length()
    return (bits >> (total - 2 * zeros - 1)) - 1 if 2 * zeros < total else None
