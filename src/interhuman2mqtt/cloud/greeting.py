"""What the upgrade request says; no I/O."""

from typing import NamedTuple
from urllib.parse import SplitResult

from interhuman2mqtt import __version__
from interhuman2mqtt.cloud.key import Key
from interhuman2mqtt.cloud.tunnel import Address


class Greeting(NamedTuple):
    """What the upgrade request says beyond its url."""

    key: Key
    session_id: str
    """Our own UUID, sent as `X-Client-Request-Id`."""
    model: str | None


def address_of(url: SplitResult) -> Address:
    """Host and port of the cloud."""
    return Address(url.hostname or "", url.port or (443 if url.scheme == "wss" else 80))


def host_header(url: SplitResult) -> str:
    """The port is named only where it is not the scheme's own (RFC 9110, 7.2)."""
    default = 443 if url.scheme == "wss" else 80
    address = address_of(url)
    return str(address) if address.port != default else str(address).rpartition(":")[0]


def resource(url: SplitResult, model: str | None) -> str:
    """Path and query; v1 knows no choice of model, what came after it wants it here, before the session is set up."""
    query = url.query
    if model is not None and "/v1/" not in url.path and "model=" not in query:
        query = f"{query}&model={model}".lstrip("&")
    return f"{url.path or '/'}?{query}" if query else url.path or "/"


def headers(greeting: Greeting) -> list[tuple[bytes, bytes]]:
    """Who asks, and for which session."""
    return [
        (b"Authorization", greeting.key.header()),
        (b"X-Client-Request-Id", greeting.session_id.encode()),
        (b"User-Agent", f"interhuman2mqtt/{__version__}".encode()),
    ]
