"""Ask one ONVIF camera for its streams: SOAP over HTTP, the password as a digest (WS-UsernameToken, or HTTP).

The camera tells addresses of itself, which may be of another host (behind NAT, or by malice): of those the path alone
is used, so that nobody but the host that was named is ever asked. Redirects are not followed.

Sources: ONVIF Core, Device and Media Service Specifications (https://www.onvif.org/specs), WSS UsernameToken Profile.
A library such as onvif-zeep was not taken: it downloads WSDL, follows the camera's addresses, and is twenty times this.
"""

import base64
import hashlib
import http.client
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from interhuman2mqtt.capture.http_auth import authorization, parse_challenges
from interhuman2mqtt.commands import soap
from interhuman2mqtt.errors import Outage, Reason, Refused

DEVICE, MEDIA = "http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl"
DEVICE_PATH, MEDIA_PATH = "/onvif/device_service", "/onvif/Media"
TIMEOUT_S = 10.0
ANSWER_MAX = 1 << 20
PROFILES_MAX = 32
CLOCK = ("Year", "Month", "Day", "Hour", "Minute", "Second")
ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:t="http://www.onvif.org/ver10/schema">
<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"""
SECURITY = """<w:Security s:mustUnderstand="1"
 xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
 xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><w:UsernameToken>
<w:Username>{username}</w:Username>
<w:Password Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">{digest}</w:Password>
<w:Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</w:Nonce>
<u:Created>{created}</u:Created></w:UsernameToken></w:Security>"""
STREAM = """<m:GetStreamUri xmlns:m={media}><m:StreamSetup><t:Stream>RTP-Unicast</t:Stream>
<t:Transport><t:Protocol>RTSP</t:Protocol></t:Transport></m:StreamSetup>
<m:ProfileToken>{token}</m:ProfileToken></m:GetStreamUri>"""


class Stream(Struct, frozen=True):
    """A profile of a camera, and where it can be had."""

    name: str
    codec: str
    width: int
    height: int
    fps: float
    gop_s: float
    """Seconds from key frame to key frame; 0 where it is not told."""
    audio: str
    address: str
    """`rtsp://...`, as the camera says."""


class Login(NamedTuple):
    """User name and password for a camera."""

    username: str
    password: str


class OnvifCamera:
    """A camera by its host.

    Args:
        host: HOST, HOST:PORT, or either behind http:// or https://.
        login: None: what anybody may ask.
    """

    def __init__(self, host: str, login: Login | None) -> None:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ValueError("the host must be HOST or HOST:PORT, or that behind http:// or https://")
        self.host = parts.hostname
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._port = parts.port
        self._login = login
        self._ahead = timedelta()

    def streams(self) -> tuple[str, list[Stream]]:
        """Return what it is called, and its streams. Blocks; raises Outage, Refused."""
        self._ahead = self._clock()
        answer = self._request(DEVICE_PATH, f"<d:GetCapabilities xmlns:d={quoteattr(DEVICE)}/>")
        media = soap.split(soap.text(answer, "Capabilities", "Media", "XAddr")).path or MEDIA_PATH
        about = self._request(DEVICE_PATH, f"<d:GetDeviceInformation xmlns:d={quoteattr(DEVICE)}/>")
        name = " ".join(filter(None, (soap.text(about, "Manufacturer"), soap.text(about, "Model"))))
        profiles = self._request(media, f"<m:GetProfiles xmlns:m={quoteattr(MEDIA)}/>")
        every = [self._stream(media, each) for each in list(soap.every(profiles, "Profiles"))[:PROFILES_MAX]]
        return soap.printable(name) or self.host, every

    def _clock(self) -> timedelta:
        """Return by how many seconds its clock is ahead: a digest holds for some seconds of its own time only."""
        answer = self._request(DEVICE_PATH, f"<d:GetSystemDateAndTime xmlns:d={quoteattr(DEVICE)}/>", signed=False)
        utc = soap.first(answer, "UTCDateTime")
        year, month, day, hour, minute, second = (int(soap.number(utc, name)) for name in CLOCK)
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC) - datetime.now(UTC)
        except (ValueError, OverflowError):  # it does not tell
            return timedelta()

    def _stream(self, media: str, profile: ET.Element) -> Stream:
        video = soap.first(profile, "VideoEncoderConfiguration")
        answer = self._request(media, STREAM.format(media=quoteattr(MEDIA), token=escape(profile.get("token", ""))))
        fps, gop = soap.number(video, "FrameRateLimit"), soap.number(video, "GovLength")
        return Stream(
            name=soap.printable(soap.text(profile, "Name")),
            codec=soap.printable(soap.text(video, "Encoding")),
            width=int(soap.number(video, "Resolution", "Width")),
            height=int(soap.number(video, "Resolution", "Height")),
            fps=fps,
            gop_s=round(gop / fps, 2) if fps else 0.0,
            audio=soap.printable(soap.text(profile, "AudioEncoderConfiguration", "Encoding")),
            address=soap.printable(soap.text(answer, "Uri")),
        )

    def _request(self, path: str, body: str, *, signed: bool = True) -> ET.Element:
        """Return the answer to one request; raises Outage, Refused."""
        header = self._token() if signed and self._login else ""
        request = ENVELOPE.format(header=header, body=body).encode()
        try:
            status, answer, challenges = self._post(path, request, {})
            if status == HTTPStatus.UNAUTHORIZED and signed and self._login:
                digest = authorization(parse_challenges(challenges), "POST", path, self._login, basic=False)
                if digest is not None:
                    status, answer, _ = self._post(path, request, {"Authorization": digest})
        except (OSError, http.client.HTTPException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise Outage(Reason.UNREACHABLE, f"{self.host} cannot be asked by ONVIF: {why}") from None
        return self._judged(status, answer)

    def _post(self, path: str, request: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, list[str]]:
        """Status, body and challenges of an answer."""
        line = self._connect(self.host, self._port, timeout=TIMEOUT_S)
        try:
            line.request("POST", path, request, {"Content-Type": "application/soap+xml; charset=utf-8", **headers})
            response = line.getresponse()
            challenges = response.headers.get_all("WWW-Authenticate") or []
            return response.status, response.read(ANSWER_MAX), challenges
        finally:
            line.close()

    def _judged(self, status: int, answer: bytes) -> ET.Element:
        try:
            root: ET.Element | None = soap.parse(answer)
        except soap.NotSoap:
            root = None
        fault = soap.first(root, "Fault")
        fault_text = soap.printable(soap.text(fault, "Text"))
        subcodes = " ".join(each.text or "" for each in soap.every(fault, "Value")) if fault is not None else ""
        if status == HTTPStatus.UNAUTHORIZED or "NotAuthorized" in subcodes:
            who = self._login.username if self._login else "no user name"
            raise Refused(
                Reason.CAMERA_PASSWORD,
                f"{self.host} refused the user name or password (tried: {who}); many cameras have users of their own "
                "for ONVIF, which have to be added on its web page",
            )
        if root is None or fault is not None or status != HTTPStatus.OK:
            raise Outage(
                Reason.UNREACHABLE,
                f"{self.host} answered no ONVIF: HTTP {status}{f', {fault_text}' if fault_text else ''}",
            )
        return root

    def _token(self) -> str:
        assert self._login is not None  # noqa: S101 - asked before
        nonce = secrets.token_bytes(16)
        created = (datetime.now(UTC) + self._ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha1(nonce + created.encode() + self._login.password.encode()).digest()  # noqa: S324 - the profile's
        return SECURITY.format(
            username=escape(self._login.username),
            digest=base64.b64encode(digest).decode(),
            nonce=base64.b64encode(nonce).decode(),
            created=created,
        )
