"""A small client of RTSP for requests without media (RFC 2326); FFmpeg opens the stream itself."""

import socket
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from interhuman2mqtt.capture.http_auth import Challenge, authorization, parse_challenges

HEAD_MAX = 64 << 10
BODY_MAX = 1 << 20
"""Bytes: a description has a few thousand."""
PORTS = {"rtsp": 554, "rtsps": 322}
"""The ports where the URL names none (RFC 7826); FFmpeg uses the same."""
USER_AGENT = "interhuman2mqtt"


class RtspError(Exception):
    """The answer is none of RTSP, or none came before the connection closed."""


class RtspResponse(NamedTuple):
    """The answer to a request."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case; a name may come more than once."""
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of that name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def challenges(self) -> list[Challenge]:
        """The challenges of a 401."""
        return parse_challenges(value for key, value in self.headers if key == "www-authenticate")


class RtspConnection:
    """One connection; raises OSError (`TimeoutError` and `ssl.SSLError` among them) and RtspError.

    Args:
        url: The camera's, without credentials.
        login: User name and password, sent to that host and port alone, and only when they are asked for.
        context: For TLS, with `rtsps://`.
        seconds: The time for all requests together.
    """

    def __init__(self, url: str, login: tuple[str, str] | None, context: ssl.SSLContext | None, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._login = login
        self._challenges: list[Challenge] = []
        self._received = b""
        self._sequence = 0
        self.has_sent_login = False
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._socket = socket.create_connection((host, parts.port or PORTS[parts.scheme]), seconds)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def is_login_for_ffmpeg(self) -> bool:
        """Whether FFmpeg can log in where we could; of several digests it uses the last, known to it or not."""
        return all(challenge.is_for_ffmpeg for challenge in self._challenges)

    @property
    def wanted_login(self) -> str:
        """The way in which the camera asked for the password, in words."""
        return " or ".join(str(challenge) for challenge in self._challenges)

    def request(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> RtspResponse:
        """Send a request and return the answer; a first 401 is answered with the login, where there is one."""
        response = self._exchange(method, url, headers or {})
        if response.status == 401 and self._login and response.challenges and not self.has_sent_login:
            self._challenges = response.challenges
            self.has_sent_login = True
            response = self._exchange(method, url, headers or {})
        return response

    def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> RtspResponse:
        self._sequence += 1
        fields = {"CSeq": str(self._sequence), "User-Agent": USER_AGENT, **headers}
        if self._login and (answer := authorization(self._challenges, method, url, self._login)):
            fields["Authorization"] = answer
        lines = [f"{method} {url} RTSP/1.0", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self._set_timeout()
        self._socket.sendall("\r\n".join(lines).encode())
        return self._response()

    def _response(self) -> RtspResponse:
        while True:
            self._receive(1)
            if self._received[:1] != b"$":
                break
            self._pop(4 + int.from_bytes(self._receive(4)[2:4], "big"))  # an interleaved frame (10.12)
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > HEAD_MAX:
                raise RtspError("an answer without an end")
            self._receive(len(self._received) + 1)
        head = self._pop(self._received.index(b"\r\n\r\n") + 4)
        status, phrase, headers = _parse_head(head)
        length = next((value for name, value in headers if name == "content-length"), "0")
        if not length.isdecimal() or int(length) > BODY_MAX:
            raise RtspError(f"an answer of {length[:20]} bytes")
        return RtspResponse(status, phrase, headers, self._pop(int(length)))

    def _pop(self, size: int) -> bytes:
        popped, self._received = self._receive(size)[:size], self._received[size:]
        return popped

    def _receive(self, size: int) -> bytes:
        """Receive until there are so many bytes; return all that there are."""
        while len(self._received) < size:
            self._set_timeout()
            data = self._socket.recv(65536)
            if not data:
                raise RtspError("it closed the connection instead of answering")
            self._received += data
        return self._received

    def _set_timeout(self) -> None:
        """Limit the next call to the socket to the time that is left; raises TimeoutError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _parse_head(head: bytes) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, phrase = rest.partition(" ")
    if not version.startswith("RTSP/") or not status.isdecimal():
        raise RtspError("what answers does not speak RTSP")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return int(status), phrase.strip(), tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
