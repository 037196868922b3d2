"""What a binary frame is: whether it opens a file or continues one, told by how it begins and what is open. No I/O.

A WebM that is open is continued by whatever does not open another file: browsers cut their recordings anywhere. Of
Chromium's MediaRecorder every blob but the first begins one byte inside a SimpleBlock. Fragmented MP4 they cut at a
fragment, as we do, so that is asked for.

MP4 box layout: ISO/IEC 14496-12, 4.2. EBML ids: RFC 8794 and RFC 9559, 5.1.
"""

from collections.abc import Iterator

from msgspec import Struct

from interhuman2mqtt.simulator.catalogue import Answer

_EBML = b"\x1a\x45\xdf\xa3"
_WEBM_CONTINUES = (b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"\xa3", b"\xa0", b"\xec")
"""Cluster, Cues, and inside a cluster SimpleBlock, BlockGroup and Void: by these a WebM is known that is not open."""
_MP4_CONTINUES = (b"moof", b"styp", b"sidx", b"emsg", b"prft", b"free", b"mfra")


class Shape(Struct, frozen=True):
    """What one binary frame is."""

    format: str
    """The demuxer's name: mp4 or matroska; of a frame that continues a file, that of the file it could continue."""
    opens: bool
    """It begins with an init segment."""
    complete: bool = False
    """A whole MP4 recording that is not fragmented: it can be read only with seeking."""


def inspect(payload: bytes, within: str | None = None) -> Shape:
    """Return the shape of a binary frame that comes while a file of the format `within` is open, if one is.

    Raises:
        Answer: With ih5004, where it is neither WebM nor MP4 cut at a fragment.
    """
    if payload.startswith(_EBML):
        return Shape("matroska", opens=True)
    if payload.startswith(_WEBM_CONTINUES) or (within == "matroska" and payload[4:8] != b"ftyp"):
        return Shape("matroska", opens=False)
    kinds = list(_boxes(payload))
    if kinds and kinds[0] == b"ftyp":
        if b"moov" not in kinds:
            raise Answer("ih5004", "The init segment has no moov box.")
        return Shape("mp4", opens=True, complete=b"mdat" in kinds and b"moof" not in kinds)
    if kinds and kinds[0] in _MP4_CONTINUES:
        return Shape("mp4", opens=False)
    raise Answer("ih5004", "The segment is neither fragmented MP4 nor WebM, or it was not cut at a fragment.")


def _boxes(payload: bytes) -> Iterator[bytes]:
    """The type of each top-level box, which must fill the payload exactly."""
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(payload[at + 8 : at + 16], "big")
        if size < 8 or at + size > len(payload):
            raise Answer("ih5004", f"The segment is malformed or truncated at byte {at} of {len(payload)}.")
        yield payload[at + 4 : at + 8]
        at += size
