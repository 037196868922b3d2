"""An RTSP camera whose every word and every stamp is the test's: RTP over TCP, in Python on trio.

async with scripted_camera(video(CLIP), sound(CLIP)) as camera:
    ... open camera.url() ...
    camera.requests                          # what was asked, with headers; TEARDOWN is in it or it is not
    camera.plays[-1]                         # time.monotonic() at the newest PLAY: true second 0
    camera.tracks = [...]                    # for the next PLAY

The tracks lie as `scripted_tracks` says. What is answered is up to `answer`, where one is given:

    def answer(request: Request) -> Answer | None:          # None: as a good camera does
        return Answer("453 Not Enough Bandwidth") if request.method == "SETUP" else None

`Answer(delay=12)` waits first and then goes on as usual; `Answer("302 Moved", {"Location": url})` redirects.
With `login` the camera asks for a password by the schemes that the login names.
"""

import base64
import hashlib
import heapq
import re
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

from support.processes import in_background
from support.scripted_tracks import Track, Unit

NTP_EPOCH = 2_208_988_800
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
FIELD = re.compile(r'(\w+)="?([^",]*)"?')
NONCE = "0a1b2c3d"


class Request(NamedTuple):
    """What a client asked; the names of headers in small letters."""

    method: str
    url: str
    headers: Mapping[str, str]
    connection: int
    """from 1, in the order in which clients came"""


class Answer(NamedTuple):
    """What is answered instead of what a good camera would; without a status only later than it would."""

    status: str | None = None
    headers: Mapping[str, str] = {}
    body: str = ""
    delay: float = 0.0
    """seconds"""


class Login(NamedTuple):
    """Who may watch, and what is asked for, in this order: `Basic`, or a digest's `MD5` or `SHA-256`."""

    username: str
    password: str
    schemes: tuple[str, ...] = ("MD5",)

    def challenges(self) -> Iterator[str]:
        """The lines of a 401."""
        for scheme in self.schemes:
            digest = f'Digest realm="cam", nonce="{NONCE}", algorithm={scheme}'
            yield f"WWW-Authenticate: {'Basic realm=cam' if scheme == 'Basic' else digest}"

    def admits(self, request: Request) -> bool:
        """Whether the request carries what one of the schemes wants."""
        said = request.headers.get("authorization", "")
        if said.startswith("Basic "):
            right = f"{self.username}:{self.password}".encode()
            return "Basic" in self.schemes and base64.b64decode(said[6:]) == right
        fields = dict(FIELD.findall(said))
        algorithm = fields.get("algorithm", "MD5")
        if algorithm not in self.schemes or "response" not in fields:
            return False
        # RFC 2617, 3.2.2.1, without qop
        who = self._hash(algorithm, f"{self.username}:cam:{self.password}")
        what = self._hash(algorithm, f"{request.method}:{fields.get('uri', '')}")
        response: str = fields["response"]
        return response == self._hash(algorithm, f"{who}:{NONCE}:{what}")

    @staticmethod
    def _hash(algorithm: str, text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()


class ScriptedCamera:
    """One camera on one port; assign `tracks`, `answer` and `login` at any time: they hold for what comes next."""

    def __init__(
        self,
        tracks: Sequence[Track],
        answer: Callable[[Request], Answer | None] | None,
        login: Login | None,
    ) -> None:
        self.tracks, self.answer, self.login = list(tracks), answer, login
        self.port = 0
        self.requests: list[Request] = []
        self.plays: list[float] = []
        """time.monotonic() at each PLAY"""
        self._left: dict[int, trio.Event] = defaultdict(trio.Event)
        self._connections = 0

    def url(self, path: str = "/cam") -> str:
        """Where it is; every path is the same camera."""
        return f"rtsp://127.0.0.1:{self.port}{path}"

    def methods(self, connection: int | None = None) -> list[str]:
        """The methods of what was asked, all of them or of one connection."""
        return [request.method for request in self.requests if connection in {None, request.connection}]

    async def serve(self, stream: trio.SocketStream) -> None:
        """One client, until it leaves."""
        self._connections += 1
        number = self._connections
        try:
            async with stream, trio.open_nursery() as nursery:
                await _Client(self, stream, number, nursery).talk()
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has left
        finally:
            self._left[number].set()

    async def has_left(self, connection: int) -> None:
        """Wait until a connection is closed."""
        await self._left[connection].wait()

    def sdp(self) -> str:
        """What DESCRIBE says."""
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=cam", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
        for number, track in enumerate(self.tracks):
            kind = track.payload_type
            lines += [f"m={track.kind} 0 RTP/AVP {kind}", f"a=rtpmap:{kind} {track.rtpmap}"]
            lines += [*(f"a={attribute}" for attribute in track.attributes), f"a=control:track{number}"]
        return "".join(f"{line}\r\n" for line in lines)


class _Client:
    """The conversation with one client, and what it is sent."""

    def __init__(self, camera: ScriptedCamera, stream: trio.SocketStream, number: int, nursery: trio.Nursery) -> None:
        self._camera, self._stream, self._number, self._nursery = camera, stream, number, nursery
        self._received = bytearray()
        self._setup: dict[int, int] = {}
        """channel by track"""
        self._sending = trio.Lock()

    async def talk(self) -> None:
        """Answer until TEARDOWN or the end of the connection."""
        while (request := await self._request()) is not None:
            self._camera.requests.append(request)
            answer = (self._camera.answer and self._camera.answer(request)) or Answer()
            await trio.sleep(answer.delay)
            login = self._camera.login
            if answer.status is not None:
                await self._say(request, answer.status, [f"{n}: {v}" for n, v in answer.headers.items()], answer.body)
            elif login and request.method != "OPTIONS" and not login.admits(request):
                await self._say(request, "401 Unauthorized", login.challenges())
            else:
                await self._as_usual(request)
            if request.method == "TEARDOWN":
                return

    async def _as_usual(self, request: Request) -> None:
        match request.method:
            case "OPTIONS":
                await self._say(request, headers=["Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"])
            case "DESCRIBE":
                headers = ["Content-Type: application/sdp", f"Content-Base: {request.url.rstrip('/')}/"]
                await self._say(request, headers=headers, body=self._camera.sdp())
            case "SETUP":
                await self._set_up(request)
            case "PLAY":
                await self._say(request)
                self._camera.plays.append(time.monotonic())
                self._nursery.start_soon(self._play, self._camera.plays[-1])
            case _:
                await self._say(request)

    async def _set_up(self, request: Request) -> None:
        transport = request.headers.get("transport", "")
        found = re.search(r"interleaved=(\d+)", transport)
        if found is None:
            await self._say(request, "461 Unsupported Transport")
            return
        self._setup[int(request.url.rpartition("track")[2])] = int(found[1])
        await self._say(request, headers=[f"Transport: {transport}"])

    async def _request(self) -> Request | None:
        """The next request; what is interleaved (the client's RTCP) is skipped."""
        while True:
            if self._received[:1] == b"$":
                if len(self._received) >= 4 and len(self._received) >= (end := 4 + int.from_bytes(self._received[2:4])):
                    del self._received[:end]
                    continue
            elif (end := self._received.find(b"\r\n\r\n")) >= 0:
                head = self._received[:end].decode()
                del self._received[: end + 4]
                return self._parsed(head)
            data = await self._stream.receive_some()
            if not data:
                return None
            self._received += data

    def _parsed(self, head: str) -> Request:
        first, *lines = head.split("\r\n")
        method, url, _ = first.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        return Request(method, url, {name.strip().lower(): value.strip() for name, _, value in fields}, self._number)

    async def _say(
        self, request: Request, status: str = "200 OK", headers: Iterator[str] | Sequence[str] = (), body: str = ""
    ) -> None:
        cseq = request.headers.get("cseq", "0")
        lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", "Session: 12345678;timeout=60", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        await self._send("\r\n".join([*lines, "", body]).encode())

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(data)

    async def _play(self, begun: float) -> None:
        """Send all tracks that were set up, each unit when it is due."""
        tracks = [(self._camera.tracks[number], channel) for number, channel in self._setup.items()]
        for due, data in heapq.merge(*(sendings(track, channel) for track, channel in tracks)):
            await trio.sleep(max(begun + due - time.monotonic(), 0))
            if data:
                await self._send(data)


def sendings(track: Track, channel: int) -> Iterator[tuple[float, bytes]]:
    """When each unit of a track goes out, as interleaved frames; none where it is held back for ever."""
    sequence = 0
    report_at = 0.0
    for unit in track.endless():
        due = track.sent(unit.at)
        if due is None:
            yield unit.at, b""
            continue
        data = b""
        if track.reports is not None and unit.at >= report_at:
            report_at = unit.at + track.reports
            data += interleaved(channel + 1, sender_report(track, unit.at))
        yield due, data + b"".join(interleaved(channel, packet) for packet in rtp(track, unit, sequence))
        sequence += len(unit.payloads)


def rtp(track: Track, unit: Unit, sequence: int) -> Iterator[bytes]:
    """The packets of a unit, the last one marked."""
    stamp = track.rtp_time(unit.shown)
    for number, payload in enumerate(unit.payloads):
        marked = number == len(unit.payloads) - 1
        kind = track.payload_type | marked << 7
        yield struct.pack(">BBHII", 0x80, kind, sequence + number & 0xFFFF, stamp, 7 + track.payload_type) + payload


def sender_report(track: Track, seconds: float) -> bytes:
    """The wall clock beside the RTP clock (RFC 3550, 6.4.1)."""
    ntp = round((NTP_EPOCH + 1_800_000_000 + track.reported(seconds)) * 2**32)
    return struct.pack(">BBHIQIII", 0x80, 200, 6, 7 + track.payload_type, ntp, track.rtp_time(seconds), 0, 0)


def interleaved(channel: int, data: bytes) -> bytes:
    """A frame in the connection of RTSP (RFC 2326, 10.12)."""
    return struct.pack(">BBH", ord("$"), channel, len(data)) + data


@asynccontextmanager
async def scripted_camera(
    *tracks: Track, answer: Callable[[Request], Answer | None] | None = None, login: Login | None = None
) -> AsyncIterator[ScriptedCamera]:
    """A camera that listens, and is gone when the block ends."""
    camera = ScriptedCamera(tracks, answer, login)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    camera.port = listener.socket.getsockname()[1]

    async def serve() -> None:
        await trio.serve_listeners(camera.serve, [listener])

    async with in_background(serve):
        yield camera
