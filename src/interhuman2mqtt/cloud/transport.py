"""The way to the cloud below the WebSocket: TCP, perhaps by a proxy, and TLS.

Foreign errors stop here: what leaves this module is an `Outage`.
"""

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult

import trio
from msgspec import Struct

from interhuman2mqtt.cloud.http import HostPort, address_of, open_tunnel, parse_proxy, unreadable
from interhuman2mqtt.errors import Outage, Reason, Refused, border

ADVICE = "(is interhuman.url right, and does the network let us out?)"

Dial = Callable[[HostPort], Awaitable[trio.abc.Stream]]


class Server(Struct, frozen=True):
    """The cloud's address, and the way there."""

    url: str
    """ws:// or wss://, the endpoint's whole path included."""
    ca_file: str | None = None
    """PEM certificates that are trusted beside the system's."""
    proxy: str | None = None
    """http://user:password@host:port; None: straight."""

    def __repr__(self) -> str:
        return f"Server({self.url!r})"  # without the proxy's password


async def dial(address: HostPort) -> trio.abc.Stream:
    """Connect by TCP; the parameter of `connect` lets tests take another way."""
    return await trio.open_tcp_stream(address.host, address.port)


async def open_transport(server: Server, target: HostPort, dial: Dial) -> trio.abc.Stream:
    """Open a stream to the cloud, through a tunnel where there is a proxy; raise Outage or Refused."""
    if not server.proxy:
        return await _reached(target, str(target), dial)
    proxy = parse_proxy(server.proxy)
    if proxy is None:
        raise Refused(Reason.PROXY_REFUSED, "the proxy is not of the form http://host:port, the only one known here")
    stream = await _reached(proxy.address, str(proxy), dial)
    try:
        await open_tunnel(stream, proxy, target)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def _reached(address: HostPort, name: str, dial: Dial) -> trio.abc.Stream:
    with border(Reason.CLOUD_UNREACHABLE, f"no connection to {name}"):  # such as a name that DNS cannot encode
        try:
            return await dial(address)
        except socket.gaierror as error:
            detail = f"no connection to {name}: its host cannot be found: {error.strerror} {ADVICE}"
            raise Outage(Reason.CLOUD_UNREACHABLE, detail) from error
        except OSError as error:
            raise Outage(Reason.CLOUD_UNREACHABLE, f"no connection to {name}: {_innermost(error)} {ADVICE}") from error


def _innermost(error: BaseException) -> str:
    """Return what is behind trio's "all attempts to connect failed": its cause is one error, or a group of them."""
    cause = error.__cause__ or error
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    number = getattr(cause, "errno", None) or 0
    if number in errno.errorcode and not isinstance(cause, ssl.SSLError):
        return os.strerror(number)  # trio's own text repeats the address
    return str(cause)


async def start_tls(transport: trio.abc.Stream, server: Server, url: SplitResult) -> trio.abc.Stream:
    """Return the stream with TLS around it, certificate and host name checked; raise Outage or Refused."""
    host = url.hostname or ""
    stream = trio.SSLStream(transport, _trust(server.ca_file), server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, ssl.CertificateError) as error:
        raise Outage(
            Reason.TLS_FAILED, f"no TLS with {address_of(url)}: {_innermost(error) or 'closed'} {ADVICE}"
        ) from error
    return stream


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Return what decides whom to trust; the same for all sessions, as long as the files are the same."""
    return _read_trust(ca_file, _stamp(ca_file), _stamp(ssl.get_default_verify_paths().cafile))


def _stamp(file: str | None) -> tuple[int, int] | None:
    """Return what changes with a file; None: it is not there."""
    try:
        found = Path(file).stat() if file is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=1)
def _read_trust(ca_file: str | None, *_stamps: tuple[int, int] | None) -> ssl.SSLContext:
    """Read the system's certificates and ours: 1.8 MB and some milliseconds, which each camera would have anew."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise Refused(Reason.TLS_FAILED, f"ca_file {ca_file} cannot be used: {unreadable(error)}") from error
    return context
