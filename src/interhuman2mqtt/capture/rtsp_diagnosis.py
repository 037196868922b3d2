"""The diagnosis of an RTSP stream that did not open: the camera's answer to the same requests, and what it means."""

# Why we ask ourselves: FFmpeg has one error for 406, 453, 454 and every other status that it has no name for, none for
# 461 (it reports a bug of its own), and one for a wrong password and for a digest that it does not know. So after a
# failed opening the same requests are sent once more, without media: OPTIONS, DESCRIBE, SETUP, TEARDOWN. It costs one
# more connection, only when something is wrong.
#
# A redirect is looked for *before* FFmpeg is let at the camera, where there is a password: FFmpeg follows redirects by
# itself and logs in wherever they lead. None of its options forbids that, and a relay in between, the other way, would
# cost every packet a copy. So each opening with a password has one more connection as its price.

import socket
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.rtsp import PORTS, RtspConnection, RtspError, RtspResponse
from interhuman2mqtt.capture.tls import client_context
from interhuman2mqtt.errors import Outage, Reason, Refused

REDIRECTS_MAX = 5
PHRASE_CHARACTERS = 60


class Meaning(NamedTuple):
    """The meaning of a status of RTSP for the person who has to repair it."""

    reason: Reason
    sentence: str
    is_final: bool = True
    """Whether a person must act."""


MEANINGS = {
    401: Meaning(Reason.CAMERA_PASSWORD, "{host} refused the user name or password (tried: {user})"),
    403: Meaning(Reason.CAMERA_PASSWORD, "{host} forbids this stream (tried: {user}): may this user watch it?"),
    404: Meaning(Reason.NOT_FOUND, "{host} has no such stream: check the path in {source}"),
    406: Meaning(
        Reason.UNSUPPORTED,
        "{host} cannot send this stream in a form that we can take: choose another profile or sub-stream, or H.264",
    ),
    415: Meaning(Reason.UNSUPPORTED, "{host} cannot send this stream as media that we can take: set H.264 there"),
    451: Meaning(Reason.NOT_FOUND, "{host} does not understand a parameter of {source}: check what follows the host"),
    453: Meaning(
        Reason.BUSY,
        "{host} has no bandwidth left for one more client: close another viewer, or lower the stream's bitrate",
        is_final=False,
    ),
    454: Meaning(Reason.CAMERA_ERROR, "{host} lost the session while it was set up", is_final=False),
    461: Meaning(Reason.UNSUPPORTED, '{host} does not send over {transport}: set transport = "{other}"'),
    503: Meaning(
        Reason.BUSY,
        "{host} is not available now: it starts, or serves no more clients",
        is_final=False,
    ),
}
"""By status code (RFC 2326, 11.3; RFC 7826, 17)."""
OTHER_CLIENT_ERROR = Meaning(Reason.CAMERA_ERROR, "{host} does not take our request", is_final=False)
SERVER_ERROR = Meaning(Reason.CAMERA_ERROR, "{host} failed in a way of its own", is_final=False)


def check_login(command: ipc.Open) -> None:
    """Request the description, so that the password goes to the configured host alone.

    Raises:
        Refused: The camera redirects to another host, or refuses the login, or wants a digest that FFmpeg cannot make.
    """
    try:
        _Diagnosis(command, command.open_timeout_s).describe()
    except (OSError, RtspError):
        return  # FFmpeg will meet the same, and has its own words


def diagnose(command: ipc.Open, seconds: float) -> Outage | None:
    """Send all requests once more after an opening that failed; None where the answers explain nothing.

    Raises:
        Refused: As `check_login` does.
        OSError: There is no connection, or no answer in time.
        RtspError: The answer is none of RTSP.
    """
    return _Diagnosis(command, seconds).diagnose()


class _Diagnosis:
    """The exchange with one camera."""

    def __init__(self, command: ipc.Open, seconds: float) -> None:
        self._command = command
        self._seconds = seconds
        self._login = (command.username, command.password or "") if command.username is not None else None
        self.host = urlsplit(command.source).netloc

    def describe(self) -> None:
        """Raise the Refused that the description, or the way to it, is refused with."""
        with self._connect(self._command.source) as connection:
            response = self._describe(connection, self._command.source)
            if response.status in {401, 403} and connection.has_sent_login:
                raise self._fault(response)

    def diagnose(self) -> Outage | None:
        """Return the outage that the camera's answers explain."""
        url, seen = self._command.source, set[str]()
        while url not in seen and len(seen) <= REDIRECTS_MAX:
            seen.add(url)
            with self._connect(url) as connection:
                response = self._describe(connection, url)
                if response.status == 200:
                    response = self._set_up(connection, url, response)
                if not 300 <= response.status < 400:
                    return None if response.status == 200 else self._fault(response)
                url = urljoin(url, response.header("location") or url)
        return Outage(Reason.CAMERA_ERROR, f"{self.host} redirects in a circle, or more than {REDIRECTS_MAX} times")

    def _connect(self, url: str) -> RtspConnection:
        context = client_context(self._command) if url.startswith("rtsps:") else None
        return RtspConnection(url, self._login, context, self._seconds)

    def _describe(self, connection: RtspConnection, url: str) -> RtspResponse:
        """Return the answer to DESCRIBE, or to OPTIONS where that was redirected."""
        response = connection.request("OPTIONS", url)
        if not 300 <= response.status < 400:
            response = connection.request("DESCRIBE", url, {"Accept": "application/sdp"})
        if 300 <= response.status < 400:
            self._check_redirect(url, response)
        if response.status == 200 and not connection.is_login_for_ffmpeg:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{self.host} takes the password by {connection.wanted_login} only, which FFmpeg does not know: "
                "allow Digest with MD5, or Basic, in the camera's settings",
            )
        return response

    def _check_redirect(self, url: str, response: RtspResponse) -> None:
        location = response.header("location")
        target = urljoin(url, location or "")
        if self._login and location and _address(target) != _address(url):
            raise Refused(
                Reason.NOT_FOUND,
                f"{self.host} redirects to {_printable(urlsplit(target).netloc.rpartition('@')[2])}, which does not "
                "get this camera's password: if it may, write its address in source",
            )

    def _set_up(self, connection: RtspConnection, url: str, description: RtspResponse) -> RtspResponse:
        """Return the answer to SETUP of the first track, undone at once; the description where it has no track."""
        control = next(_track_controls(description.body), None)
        if control is None:
            return description
        base = description.header("content-base") or description.header("content-location") or url
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("", 0))
            port = unused.getsockname()[1]
            over = "/TCP;unicast;interleaved=0-1" if self._over_tcp else f";unicast;client_port={port}-{port + 1}"
            response = connection.request("SETUP", _track_url(base, control), {"Transport": f"RTP/AVP{over}"})
        if response.status == 200 and (session := response.header("session")):
            connection.request("TEARDOWN", base, {"Session": session.partition(";")[0]})
        return response

    @property
    def _over_tcp(self) -> bool:
        return self._command.transport == "tcp"

    def _fault(self, response: RtspResponse) -> Outage:
        unlike = OTHER_CLIENT_ERROR if response.status < 500 else SERVER_ERROR
        meaning = MEANINGS.get(response.status, unlike)
        sentence = meaning.sentence.format(
            host=self.host,
            source=self._command.source,
            user=self._command.username or "no user name",
            transport=self._command.transport.upper(),
            other="udp" if self._over_tcp else "tcp",
        )
        answer = f"RTSP {response.status} {_printable(response.phrase)[:PHRASE_CHARACTERS]}".strip()
        return (Refused if meaning.is_final else Outage)(meaning.reason, f"{sentence} ({answer})")


def _address(url: str) -> tuple[str | None, int | None]:
    """Return host and port: another port may be another device, behind a router that forwards both."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or PORTS.get(parts.scheme)


def _printable(text: str) -> str:
    """Return what of a text from outside may stand in a sentence."""
    return "".join(sign for sign in text if sign.isascii() and sign.isprintable())


def _track_controls(description: bytes) -> Iterator[str]:
    """Return the control attributes of the tracks of an SDP, the video's first."""
    tracks = description.decode("utf-8", "replace").split("\nm=")[1:]
    for track in sorted(tracks, key=lambda track: not track.startswith("video")):
        for line in track.splitlines():
            if line.startswith("a=control:"):
                yield line.removeprefix("a=control:").strip()


def _track_url(base: str, control: str) -> str:
    """Return the URL of a track (RFC 2326, C.1.1, as cameras read it: appended, not resolved)."""
    if "://" in control or control == "*":
        return base if control == "*" else control
    return f"{base.rstrip('/')}/{control}"
