"""Frames are masked in C, and what comes out is what wsproto's own mask makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import frame_protocol
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from interhuman2mqtt.cloud import websocket
from interhuman2mqtt.cloud.masking import Masker


@given(st.binary(min_size=4, max_size=4), st.lists(st.binary(max_size=70), max_size=6))
def test_it_is_the_mask_of_the_protocol(key: bytes, pieces: list[bytes]) -> None:
    """Over any pieces of a frame, each octet with that of the key that has its place, counted from the first one."""
    masker = Masker(bytearray(key))
    masked = b"".join(masker.process(piece) for piece in pieces)
    assert masked == bytes(octet ^ key[at % 4] for at, octet in enumerate(b"".join(pieces)))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 780_001])
def test_frames_of_all_lengths(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A server reads what a client sent, and it was masked in C, of which another wsproto might know nothing."""
    assert websocket.__name__  # whose import sets it
    used: list[int] = []

    class Counted(Masker):
        def process(self, data: bytes | bytearray) -> bytearray:
            used.append(len(data))
            return super().process(data)

    assert frame_protocol.XorMaskerSimple is Masker
    monkeypatch.setattr(frame_protocol, "XorMaskerSimple", Counted)
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    frame = client.send(BytesMessage(data=payload))
    assert used == [size]
    assert size < 4 or frame[-size:] != payload
    server.receive_data(frame)
    received = b"".join(event.data for event in server.events() if isinstance(event, BytesMessage))
    assert received == payload
