"""RTSP servers that mean harm, or are broken beyond belief: on loopback, each with a way of its own.

async with hostile(WAYS["endless headers"]) as port:
    ... open rtsp://127.0.0.1:port/cam ...
"""

import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from support.processes import in_background

Way = Callable[[trio.SocketStream], Awaitable[None]]
SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=cam
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtkAoD2wFqAgICg=,aMuDyyA=
a=control:track0
""".replace("\n", "\r\n")
PIECE = 64 << 10


class Conversation:
    """The server's side of RTSP, as far as it is played by the rules."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.head = ""
        """The newest request, without its body."""
        self._received = b""

    async def request(self) -> tuple[str, str]:
        """Method and CSeq of the next request."""
        while b"\r\n\r\n" not in self._received:
            data = await self.stream.receive_some()
            if not data:
                raise trio.BrokenResourceError
            self._received += data
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        self.head = head.decode(errors="replace")
        lines = self.head.split("\r\n")
        cseq = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("cseq:")), "0")
        return lines[0].split()[0], cseq

    async def answer(self, cseq: str, body: str = "", status: str = "200 OK", **headers: str) -> None:
        """Answer a request."""
        fields = {"CSeq": cseq, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body:
            fields["Content-Length"] = str(len(body))
        lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", body]
        await self.stream.send_all("\r\n".join(lines).encode())

    async def until(self, last: str, sdp: str = SDP) -> str:
        """Answer as a camera does up to the request `last`, which is left to be answered; returns its CSeq."""
        while True:
            method, cseq = await self.request()
            if method == last:
                return cseq
            if method == "DESCRIBE":
                await self.answer(cseq, sdp, Content_Type="application/sdp")
            elif method == "SETUP":
                await self.answer(cseq, Transport="RTP/AVP/TCP;unicast;interleaved=0-1", Session="1234")
            else:
                await self.answer(cseq, Public="OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")

    async def play(self) -> None:
        """Answer as a camera does until it has to send media."""
        await self.answer(await self.until("PLAY"), Session="1234")


async def for_ever(stream: trio.SocketStream, make: Callable[[], bytes], pause: float = 0.0) -> None:
    """Send the same, or not the same, until nobody listens."""
    while True:
        await stream.send_all(make())
        await trio.sleep(pause)


def rtp(sequence: int, timestamp: int, payload: bytes, kind: int = 96, *, marker: bool = False) -> bytes:
    """A packet of RTP as an interleaved frame."""
    head = struct.pack(">BBHII", 0x80, kind | (marker << 7), sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, 7)
    return struct.pack(">BBH", ord("$"), 0, len(head) + len(payload)) + head + payload


async def random_bytes(stream: trio.SocketStream) -> None:
    """Nothing but noise, from the first byte on."""
    chance = random.Random(1)
    await for_ever(stream, lambda: chance.randbytes(PIECE))


async def endless_headers(stream: trio.SocketStream) -> None:
    """An answer whose headers never end."""
    cseq = await Conversation(stream).until("OPTIONS")
    await stream.send_all(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n".encode())
    await for_ever(stream, lambda: b"X-More: and more\r\n" * 1000)


async def endless_line(stream: trio.SocketStream) -> None:
    """An answer whose first line never ends."""
    await Conversation(stream).until("OPTIONS")
    await for_ever(stream, lambda: b"RTSP/1.0 " * 5000)


async def endless_body(stream: trio.SocketStream) -> None:
    """A description of nearly two gigabytes."""
    cseq = await Conversation(stream).until("DESCRIBE")
    head = f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Type: application/sdp\r\nContent-Length: 2000000000\r\n\r\n"
    await stream.send_all(head.encode())
    await for_ever(stream, lambda: b"a=x:" + b"y" * PIECE + b"\r\n")


async def negative_length(stream: trio.SocketStream) -> None:
    """A description of less than nothing."""
    cseq = await Conversation(stream).until("DESCRIBE")
    await stream.send_all(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Length: -5\r\n\r\n{SDP}".encode())
    await trio.sleep_forever()


async def odd_description(stream: trio.SocketStream) -> None:
    """A description of a thousand tracks with parameters that cannot be."""
    track = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\na=fmtp:96 sprop-parameter-sets=////,====\r\na=control:*\r\n"
    talk = Conversation(stream)
    await talk.answer(await talk.until("PLAY", "v=0\r\n" + track * 1000), Session="1234")
    await trio.sleep_forever()


async def redirected_for_ever(stream: trio.SocketStream) -> None:
    """Each request is sent to where it came from."""
    talk = Conversation(stream)
    port = stream.socket.getsockname()[1]
    while True:
        _, cseq = await talk.request()
        await talk.answer(cseq, status="302 Moved", Location=f"rtsp://127.0.0.1:{port}/again")


async def unauthorized_for_ever(stream: trio.SocketStream) -> None:
    """Each request is asked for a password, with another nonce, however often it is given."""
    talk = Conversation(stream)
    while True:
        _, cseq = await talk.request()
        await talk.answer(
            cseq, status="401 Unauthorized", WWW_Authenticate=f'Digest realm="x", nonce="{cseq}", stale=true'
        )


async def rubbish_media(stream: trio.SocketStream) -> None:
    """Noise where the frames of the media belong."""
    await Conversation(stream).play()
    chance = random.Random(2)
    await for_ever(stream, lambda: chance.randbytes(PIECE))


async def giant_frames(stream: trio.SocketStream) -> None:
    """Interleaved frames of the greatest length, as fast as they go, on channels that were never set up."""
    await Conversation(stream).play()
    chance = random.Random(3)
    await for_ever(stream, lambda: struct.pack(">BBH", ord("$"), chance.randrange(256), 0xFFFF) + bytes(0xFFFF))


async def rubbish_rtp(stream: trio.SocketStream) -> None:
    """Packets whose payload is noise, and whose times and numbers jump."""
    await Conversation(stream).play()
    chance = random.Random(4)
    await for_ever(
        stream,
        lambda: rtp(chance.getrandbits(16), chance.getrandbits(32), chance.randbytes(chance.randrange(1400))),
        0.0005,
    )


async def endless_picture(stream: trio.SocketStream) -> None:
    """One picture, in fragments, that never ends."""
    await Conversation(stream).play()
    numbers = iter(range(1 << 40))
    await stream.send_all(rtp(next(numbers), 0, b"\x7c\x85" + bytes(1000)))
    await for_ever(stream, lambda: rtp(next(numbers), 0, b"\x7c\x05" + bytes(60_000)))


async def hangs_up(stream: trio.SocketStream) -> None:
    """The media ends in the middle of a packet."""
    await Conversation(stream).play()
    await stream.send_all(rtp(1, 0, b"\x65" + bytes(1000))[:-500])


WAYS: Mapping[str, Way] = {
    way.__name__: way
    for way in (
        random_bytes,
        endless_headers,
        endless_line,
        endless_body,
        negative_length,
        odd_description,
        redirected_for_ever,
        unauthorized_for_ever,
        rubbish_media,
        giant_frames,
        rubbish_rtp,
        endless_picture,
        hangs_up,
    )
}


@asynccontextmanager
async def hostile(way: Way) -> AsyncIterator[int]:
    """The port of a server that goes this way with each who comes, and is gone when the block ends."""

    async def serve_one(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                await way(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # who came has left

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve() -> None:
        await trio.serve_listeners(serve_one, [listener])

    port: int = listener.socket.getsockname()[1]
    async with in_background(serve):
        yield port
