"""Sources on the network: what FFmpeg is given to open each, what it may open for it, and why it could not."""

# FFmpeg opens whatever a playlist or a redirect names, so each scheme has a list of the protocols that may be used for
# it: a playlist reaches neither a file of this machine nor another kind of address. Looking at the playlist ourselves
# lost: FFmpeg fetches it again and again, and may get another one. `exec:` and its like do not exist.

import socket
import ssl
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from av.container import InputContainer

from interhuman2mqtt.capture import ipc, rtsp_diagnosis, tls
from interhuman2mqtt.capture.rtsp import RtspError
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime.redaction import PASSWORD_SAFE, USER_SAFE

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp")
PORTS = {"http": 80, "https": 443, "rtmp": 1935}
CREDENTIALS_MAX = 127
"""Characters: FFmpeg's buffer for them."""
READ_TIMEOUT_S = 12.0
"""FFmpeg's own limit, while media flows, too: there the daemon detects a stall before, and has its reason."""
DIAGNOSIS_S = 5.0
"""The time to find the reason of a failed opening."""

_RTSP = "rtsp,rtp,rtcp,srtp,udp,tcp,tls"
_HTTP = "http,https,tcp,tls,crypto"
PROTOCOLS = {"rtsp": _RTSP, "rtsps": _RTSP, "http": _HTTP, "https": _HTTP, "rtmp": "rtmp,tcp", "udp": "udp"}
HTTP_FORMATS = "mpjpeg,flv,live_flv,mpegts,hls,mov,matroska,webm,aac,mp3,webvtt,h264,hevc,ogg,wav"
"""Demuxers for what comes by HTTP: none that reads a list of further addresses but HLS, which keeps to `_HTTP`."""


class Target(NamedTuple):
    """The address that FFmpeg is to open, and how; `url` holds the password, and goes into no text."""

    url: str
    form: str | None
    options: dict[str, str]


def target(command: ipc.Open) -> Target:
    """Return the target of FFmpeg for a source; raises Refused where its credentials are too long for FFmpeg."""
    scheme = command.source.partition(":")[0]
    timeout = str(round(max(command.open_timeout_s, READ_TIMEOUT_S) * 1_000_000))
    options = {"protocol_whitelist": PROTOCOLS[scheme]}
    if scheme in {"rtsps", "https"}:
        options |= tls.ffmpeg_options(command)
    form = None
    match scheme:
        case "rtsp" | "rtsps":
            options |= {
                "rtsp_transport": command.transport,
                "allowed_media_types": "audio" if command.audio_only else "video+audio",
                "timeout": timeout,
            }
        case "http" | "https":
            # cameras name segments as they like; what may be read is bounded by the two lists of what may be opened
            anything = {"allowed_extensions": "ALL", "allowed_segment_extensions": "ALL", "extension_picky": "0"}
            # the last segment but one: from the third last, FFmpeg's own choice, a list of three runs away from us
            options |= {"format_whitelist": HTTP_FORMATS, "timeout": timeout, "live_start_index": "-2", **anything}
        case "udp":
            form = "mpegts"
            options |= {"timeout": timeout, "overrun_nonfatal": "1", "reuse": "1", "buffer_size": str(1 << 20)}
    return Target(_with_credentials(command), form, options)


def is_recorded(command: ipc.Open, container: InputContainer) -> bool:
    """Decide whether a source does not come in real time (HLS, a file behind HTTP), so that we keep time."""
    if not command.source.startswith("http"):
        return False
    return container.format.name == "hls" or bool(container.duration and container.duration > 0)


def check_login(command: ipc.Open) -> None:
    """Make sure that the password goes to the configured host alone; raises Refused."""
    if command.username is not None and command.source.startswith(("rtsp:", "rtsps:")):
        rtsp_diagnosis.check_login(command)


def no_answer(command: ipc.Open) -> Outage:
    """Return the outage of a source that was waited for in vain; FFmpeg may call it anything, broken media too."""
    host, seconds = urlsplit(command.source).netloc, command.open_timeout_s
    return Outage(
        Reason.UNREACHABLE,
        f"{host} does not answer, or sends nothing, within {seconds:g} s: if it needs longer, raise open_timeout",
    )


def diagnose(command: ipc.Open) -> Outage | None:
    """Ask the host ourselves why a source did not open; None where that explains nothing."""
    host = urlsplit(command.source).netloc
    try:
        return _ask(command)
    except Outage as outage:
        return outage
    except RtspError as error:
        return Outage(Reason.INVALID_MEDIA, f"{host}: {error}")
    except OSError as error:
        return _explain(error, host)


def _explain(error: OSError, host: str) -> Outage | None:
    """Return why a connection of ours failed, where FFmpeg has no word for it."""
    match error:
        case socket.gaierror():
            return Outage(
                Reason.UNREACHABLE,
                f"the name {host} cannot be found ({error.strerror}): "
                "is it spelled right, and does DNS work on this box?",
            )
        case ssl.SSLCertVerificationError():
            return Refused(
                Reason.TLS_FAILED,
                f"the certificate of {host} is not accepted ({error.verify_message}): "
                "name its authority, or the certificate itself, in ca_file, or set verify = false",
            )
        case ssl.SSLError():
            cause = error.reason or "closed"
            return Outage(Reason.TLS_FAILED, f"no TLS with {host} ({cause}): is this the port for TLS?")
    return None


def _ask(command: ipc.Open) -> Outage | None:
    parts = urlsplit(command.source)
    seconds = min(DIAGNOSIS_S, command.open_timeout_s)
    if parts.scheme in {"rtsp", "rtsps"}:
        return rtsp_diagnosis.diagnose(command, seconds)
    if parts.scheme in PORTS:
        host = parts.hostname or ""
        with socket.create_connection((host, parts.port or PORTS[parts.scheme]), seconds) as connection:
            if parts.scheme == "https":
                tls.client_context(command).wrap_socket(connection, server_hostname=host).close()
    return None


def _with_credentials(command: ipc.Open) -> str:
    if command.username is None:
        return command.source
    scheme, rest = command.source.split("://", 1)
    password = quote(command.password or "", safe=PASSWORD_SAFE)
    credentials = f"{quote(command.username, safe=USER_SAFE)}:{password}"
    if len(credentials) > CREDENTIALS_MAX:
        raise Refused(
            Reason.CAMERA_PASSWORD,
            f"user name and password for {urlsplit(command.source).netloc} are too long: "
            f"FFmpeg takes {CREDENTIALS_MAX} characters",
        )
    return f"{scheme}://{credentials}@{rest}"
