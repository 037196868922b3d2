"""RTP over TCP, changed on its way to the client: a camera whose clock jumps, or whose tracks are not all there.

async with network(to=server.port) as net:
    jumps = Jumps()
    net.alter = jumps.connection
    ...
    jumps.by(30.0)           # from now on all times are 30 s later
    jumps.by(-60.0)
    jumps.muted.add(0)       # nothing comes on this channel any more
"""

import struct
from collections.abc import Callable, Mapping

FRAME = struct.Struct(">BBH")
"""`$`, channel, length (RFC 2326, 10.12)."""
STAMP = struct.Struct(">I")
STAMP_AT = FRAME.size + 4


class Jumps:
    """How far the clock of a camera is off by now; the tracks jump together.

    Args:
        rates: Ticks a second by the channel of each track.
    """

    def __init__(self, rates: Mapping[int, int]) -> None:
        self.seconds = 0.0
        self.muted: set[int] = set()
        """Channels that are left out."""
        self._rates = rates

    def by(self, seconds: float) -> None:
        """From now on the camera says that it is so much later."""
        self.seconds += seconds

    def connection(self) -> Callable[[bytes], bytes]:
        """What becomes of the bytes of one connection, from the server to the client."""
        rest = bytearray()

        def change(data: bytes) -> bytes:
            rest.extend(data)
            done = bytearray()
            while size := whole(rest):
                done += self._changed(rest[:size])
                del rest[:size]
            return bytes(done)

        return change

    def _changed(self, piece: bytearray) -> bytearray:
        if piece[0] == ord("$") and piece[1] in self.muted:
            return bytearray()
        if piece[0] == ord("$") and (rate := self._rates.get(piece[1])):
            [stamp] = STAMP.unpack_from(piece, STAMP_AT)
            STAMP.pack_into(piece, STAMP_AT, (stamp + round(self.seconds * rate)) & 0xFFFF_FFFF)
        return piece


def whole(data: bytearray) -> int:
    """The size of the interleaved frame, or of the answer, at the head of the data; 0 while it is not whole."""
    if data[:1] == b"$":
        size = FRAME.size + FRAME.unpack_from(data)[2] if len(data) >= FRAME.size else len(data) + 1
    else:
        head = data.find(b"\r\n\r\n") + 4
        size = head + length(bytes(data[:head])) if head >= 4 else len(data) + 1
    return size if 0 < size <= len(data) else 0


def length(head: bytes) -> int:
    """The length of the body behind the head of an answer."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
