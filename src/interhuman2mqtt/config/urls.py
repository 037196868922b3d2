"""Addresses of cameras, the cloud, the broker and the proxy: what is allowed in them. Never echoes one.

A URL is the place where people put a password, so no message here quotes more of it than a well-known scheme.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from interhuman2mqtt.config.problems import BadValueError

CLOUD = "^wss?://[^@/?#]+/[^@?#]+$"
BROKER = "^mqtts?://[^@/?#]+/?$"
PROXY = "^(http://[^@/?#]+/?)?$"
SOURCE = "^((rtsps?|https?|rtmp|udp)://[^@]+|v4l2:.+|alsa:.+|file:/.*|test:.*|browser:)$"
SCHEMES = "rtsp://, rtsps://, http://, https://, rtmp://, udp://"
MICROPHONE = "^alsa:."
"""As much as an editor can know of each kind of address, in the regular expressions of JSON Schema."""

_API_PATHS = ("/v1/stream/analyze", "/v2/stream/analyze")
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
    "rtspt": 'write rtsp:// and transport = "tcp"',
    "rtspu": 'write rtsp:// and transport = "udp"',
    "onvif": "look up the camera's rtsp:// address",
    "usb": "write v4l2:/dev/video0",
}


def check_cloud(url: str) -> str:
    """`interhuman.url`; raises BadValueError."""
    parts = _split(url, ("wss", "ws"), "must begin with wss://", "the API key has its own key, api_key")
    if parts.scheme == "ws" and not is_loopback(url):
        raise BadValueError("must begin with wss://: without TLS only this machine itself may be spoken to")
    if parts.query or parts.fragment:
        raise BadValueError("must end with its path, without ? and #: the model and the API key have their own keys")
    if parts.path in ("", "/"):
        raise BadValueError("must end in its path, /v2/stream/analyze or /v1/stream/analyze")
    if parts.path.endswith("/v0/stream/analyze"):
        raise BadValueError("must end in /v2/stream/analyze or /v1/stream/analyze; /v0 is no longer spoken")
    return url


def is_known_path(url: str) -> bool:
    """Return whether this version knows the API of an `interhuman.url`; a newer one is tried as the newest known."""
    return url.endswith(_API_PATHS)


def api_version(url: str) -> int:
    """1 or 2, of an `interhuman.url` that was checked."""
    return 1 if url.endswith("/v1/stream/analyze") else 2


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine, by its name or number alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_broker(url: str) -> str:
    """`mqtt.url`; raises BadValueError."""
    expected = "must begin with mqtt://, or mqtts:// for TLS" + _hint(url, _BROKER_HINTS)
    parts = _split(url, ("mqtt", "mqtts"), expected, "write username and password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("must end with the host or its port; the topics begin with base_topic")
    return url


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of `metrics.listen`, where a port alone is this machine's own; raises BadValueError."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16 or any(sign in host for sign in "/@ "):
        raise BadValueError("must be HOST:PORT such as 127.0.0.1:9464, or a port of this machine alone")
    if colon and not host:
        raise BadValueError(f"names no host; write 127.0.0.1:{port}, or 0.0.0.0:{port} to be heard from everywhere")
    return host.strip("[]") or "127.0.0.1", int(port)


def check_proxy(url: str) -> str:
    """`interhuman.proxy`; empty for none. Raises BadValueError."""
    if not url:
        return url
    expected = 'must begin with http:// (a proxy that opens tunnels by CONNECT), or be "" for none'
    parts = _split(url, ("http",), expected, "a proxy that wants a password cannot be used")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("must end with the host or its port")
    return url


def check_source(source: str) -> str:
    """Check a camera's `source`; raises BadValueError."""
    scheme, colon, rest = source.partition(":")
    match scheme:
        case "rtsp" | "rtsps" | "http" | "https" | "rtmp":
            return _check_network(source, scheme)
        case "udp":
            return _check_udp(source)
        case "v4l2" | "alsa" if rest:
            return source
        case "file" if rest.startswith("/"):
            return source
        case "file":
            raise BadValueError("a file needs its whole path: file:/path/to/clip.mp4")
        case "test" if colon:
            return source
        case "browser" if colon and not rest:
            return source
    raise BadValueError(
        f"must begin with {SCHEMES}, v4l2:, alsa: or file:, or be browser: or test:{_source_hint(source)}"
    )


def check_microphone(microphone: str) -> str:
    """Check a camera's `microphone`; raises BadValueError."""
    if not microphone.startswith("alsa:") or microphone == "alsa:":
        raise BadValueError("must be an audio device of ALSA such as alsa:hw:1,0; `arecord -l` lists them")
    return microphone


def is_network(source: str) -> bool:
    """Return whether a source is a camera on the network, which may want a password."""
    return source.startswith(("rtsp:", "rtsps:", "http:", "https:", "rtmp:"))


def is_browser(source: str) -> bool:
    """Return whether a source is a browser that somebody opens with a link of `interhuman2mqtt invite`."""
    return source == "browser:"


def _check_udp(source: str) -> str:
    """MPEG-TS that somebody sends to us: a port of this machine, or a multicast group."""
    parts = _split(source, ("udp",), "must begin with udp://", "nobody asks for a password there")
    if parts.port is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("must be udp://ADDRESS:PORT: a multicast group, or an address of this machine (0.0.0.0)")
    return source


def _check_network(source: str, scheme: str) -> str:
    instead = "write username and password, any character is allowed there"
    _split(source, (scheme,), f"must begin with {scheme}://", instead)
    if _PASSWORD.search(source):
        raise BadValueError("holds a password: it would end up in logs; write username and password")
    return source


def _unreadable(url: str) -> str:
    """Return what is wrong with the host or port of an address, as far as that can be said without quoting it."""
    port = url.partition("://")[2].partition("/")[0].rpartition(":")[2]
    if port.isdecimal() and int(port) >= 1 << 16:
        return f"has a port that does not exist: {port[:10]} is more than 65535"
    return "host and port cannot be read"


def _split(url: str, schemes: Collection[str], expected: str, instead: str) -> SplitResult:
    """Return the parts of a URL with one of the schemes and a host, and without credentials; raises BadValueError.

    Args:
        url: The URL.
        schemes: What it may begin with.
        expected: What to say when it does not.
        instead: Where credentials belong.
    """
    scheme, slashes, _ = url.partition("://")
    if not slashes or scheme not in schemes:
        raise BadValueError(expected)
    if "@" in url:  # also behind the host, where a / or # in a password moves it
        raise BadValueError(f"holds credentials: they would end up in logs; {instead} (a plain @ is written %40)")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # whose text quotes what could not be read
        raise BadValueError(_unreadable(url)) from None
    if not host:
        raise BadValueError(f"names no host; write {scheme}://HOST:PORT")
    if port == 0:
        raise BadValueError("port 0 cannot be connected to")
    return parts


def _hint(url: str, hints: Mapping[str, str]) -> str:
    scheme = url.partition(":")[0].lower()
    return f"; {hints[scheme]}" if scheme in hints else ""


def _source_hint(source: str) -> str:
    if source.startswith("/dev/") or source.isdigit() or source == "v4l2:":
        return "; a camera of this machine is v4l2:/dev/video0"
    if source.startswith(("hw:", "plughw:")) or source == "alsa:":
        return "; a microphone alone is alsa:hw:1,0"
    if source.startswith("/"):
        return "; a file is file:/path/to/clip.mp4"
    return _hint(source, _SOURCE_HINTS) or "; a camera on the network is rtsp://HOST/PATH"
