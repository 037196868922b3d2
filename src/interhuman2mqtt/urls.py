"""Addresses of cameras, the cloud, the broker and the proxy: what is allowed in them. Never echoes one.

A URL is the place where people put a password, so no message here quotes more of it than a well-known scheme.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from interhuman2mqtt.problems import BadValueError

_API_PATH = re.compile(r"/(v[0-9]+)/stream/analyze")
_PASSWORD = re.compile(r"(?:pass|passwd|password|pwd)=", re.IGNORECASE)

_BROKER_HINTS = {
    "tcp": "write mqtt://",
    "ssl": "write mqtts://",
    "tls": "write mqtts://",
    "http": "write mqtt://",
    "ws": "MQTT over WebSocket is not spoken here",
    "wss": "MQTT over WebSocket is not spoken here",
}
_SOURCE_HINTS = {
    "http": "most cameras that serve HTTP serve rtsp:// as well",
    "https": "most cameras that serve HTTPS serve rtsps:// as well",
    "rtmp": "most cameras that serve RTMP serve rtsp:// as well",
    "rtspt": 'write rtsp:// and transport = "tcp"',
    "rtspu": 'write rtsp:// and transport = "udp"',
    "onvif": "look up the camera's rtsp:// address",
    "usb": "write v4l2:/dev/video0",
}


def check_cloud(url: str) -> str:
    """`interhuman.url`; raises BadValueError."""
    parts = _split(url, "the API key has its own key, api_key")
    if parts.scheme not in ("ws", "wss"):
        raise BadValueError("must begin with wss://")
    if parts.scheme == "ws" and not is_loopback(url):
        raise BadValueError("must begin with wss://: without TLS only this machine itself may be spoken to")
    if parts.query or parts.fragment:
        raise BadValueError("must end with its path: model and credentials have keys of their own")
    version = _API_PATH.search(parts.path)
    if version is None or version.end() != len(parts.path):
        raise BadValueError("must end in /v2/stream/analyze or /v1/stream/analyze")
    if version[1] not in ("v1", "v2"):
        raise BadValueError("must end in /v2/stream/analyze or /v1/stream/analyze; no other version is spoken here")
    return url


def api_version(url: str) -> int:
    """1 or 2, of an `interhuman.url` that was checked."""
    return 1 if url.endswith("/v1/stream/analyze") else 2


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine, by its name or number alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_broker(url: str) -> str:
    """`mqtt.url`; raises BadValueError."""
    parts = _split(url, "write username and password")
    if parts.scheme not in ("mqtt", "mqtts"):
        raise BadValueError("must begin with mqtt://, or mqtts:// for TLS" + _hint(parts.scheme, _BROKER_HINTS))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("must end with the host or its port; the topics begin with base_topic")
    return url


def check_proxy(url: str) -> str:
    """`interhuman.proxy`; empty for none. Raises BadValueError."""
    if not url:
        return url
    parts = _split(url, "a proxy that wants a password cannot be used")
    if parts.scheme != "http":
        raise BadValueError('must begin with http:// (a proxy that opens tunnels by CONNECT), or be "" for none')
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("must end with the host or its port")
    return url


def check_source(source: str) -> str:
    """A camera's `source`; raises BadValueError."""
    scheme, colon, rest = source.partition(":")
    match scheme:
        case "rtsp" | "rtsps":
            return _check_rtsp(source)
        case "v4l2" if rest:
            return source
        case "file" if rest.startswith("/"):
            return source
        case "file":
            raise BadValueError("a file needs its whole path: file:/path/to/clip.mp4")
        case "test" if colon:
            return source
    expected = "must begin with rtsp://, rtsps://, v4l2: or file:, or be test:"
    raise BadValueError(expected + _source_hint(source, scheme))


def check_microphone(microphone: str) -> str:
    """A camera's `microphone`; raises BadValueError."""
    if not microphone.startswith("alsa:") or microphone == "alsa:":
        raise BadValueError("must be a sound device of ALSA such as alsa:hw:1,0; `arecord -l` lists them")
    return microphone


def is_rtsp(source: str) -> bool:
    """Whether a source is a camera on the network, which may want a password."""
    return source.startswith(("rtsp:", "rtsps:"))


def _check_rtsp(source: str) -> str:
    parts = _split(source, "write username and password, any character is allowed there")
    if _PASSWORD.search(parts.path + parts.query):
        raise BadValueError("holds a password: it would end up in logs; write username and password")
    return source


def _split(url: str, instead: str) -> SplitResult:
    """The parts of a URL that names a host and holds no credentials; raises BadValueError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # From None: the error of urllib quotes what it could not read, which may be a password with a slash in it.
        raise BadValueError(f"host and port cannot be read{_slash_hint(url, instead)}") from None
    if "@" in parts.netloc:
        raise BadValueError(f"holds credentials: they would end up in logs; {instead}")
    if not host or "//" not in url:
        raise BadValueError("names no host; write scheme://HOST:PORT")
    if port == 0:
        raise BadValueError("port 0 cannot be connected to")
    return parts


def _slash_hint(url: str, instead: str) -> str:
    return f"; if it holds credentials: {instead}" if "@" in url else ""


def _hint(scheme: str, hints: Mapping[str, str]) -> str:
    return f"; {hints[scheme]}" if scheme in hints else ""


def _source_hint(source: str, scheme: str) -> str:
    if source.startswith("/dev/") or source.isdigit():
        return "; a camera of this machine is v4l2:/dev/video0"
    if source.startswith("/"):
        return "; a file is file:/path/to/clip.mp4"
    return _hint(scheme.lower(), _SOURCE_HINTS)
