"""Notices that an H.264 stream changed its parameter sets: a copied track cannot go on with the old ones."""

from interhuman2mqtt.capture.tracks import AvPacket

SPS = 7
LOOK_AT = 512
"""Parameter sets stand at the head of a key frame, behind an access unit delimiter and before the picture."""


class ParameterSets:
    """The sequence parameter set of a stream in Annex B form (ISO/IEC 14496-10); in other forms it never changes."""

    def __init__(self) -> None:
        self._known: bytes | None = None

    def changed(self, key: AvPacket) -> bool:
        """Whether this key frame carries another one than the key frames before it."""
        found = sequence_parameters(bytes(memoryview(key)[:LOOK_AT]))
        if found is None:
            return False
        if self._known is None:
            self._known = found
        return found != self._known


def sequence_parameters(data: bytes) -> bytes | None:
    """The first sequence parameter set among the NAL units at the head of an access unit."""
    start = data.find(b"\x00\x00\x01")
    while start >= 0:
        end = data.find(b"\x00\x00\x01", start + 3)
        unit = data[start + 3 : end if end >= 0 else None]
        if unit and unit[0] & 0x1F == SPS:
            return unit.rstrip(b"\x00")
        start = end
    return None
