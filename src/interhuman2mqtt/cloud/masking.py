"""The mask that a WebSocket client puts over all that it sends (RFC 6455, 5.3), in C.

It hides nothing, and costs: for a chunk of 780 KB wsproto takes 0.8 ms, a fifth of what the daemon took for a camera,
and the extension of `websockets` 0.03.
"""

# wsproto has no hook for it, but one name that it looks up for each frame. To make the frames ourselves would spare two
# copies more, but needs trio-websocket's lock and state, which are private. XOR of large integers was tried: 1.0 ms.

from wsproto import frame_protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - where there was no wheel, and no compiler: wsproto's own is the quickest left
    HAS_EXTENSION = False
else:
    HAS_EXTENSION = True


class Masker(frame_protocol.XorMaskerSimple):
    """Puts the mask over the payload of one frame, piece by piece, or takes it away."""

    def __init__(self, masking_key: bytes | bytearray) -> None:
        super().__init__(bytes(masking_key))
        self._key = bytes(masking_key)

    def process(self, data: bytes | bytearray) -> bytearray:
        """Return the next piece."""
        masked = bytearray(apply_mask(data, self._key))  # type: ignore[arg-type]  # it takes any buffer
        shift = len(data) % 4
        self._key = self._key[shift:] + self._key[:shift]
        return masked


def mask_in_c() -> None:
    """Let wsproto use it from now on."""
    if HAS_EXTENSION:
        frame_protocol.XorMaskerSimple = Masker  # type: ignore[misc]
