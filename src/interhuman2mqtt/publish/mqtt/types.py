"""Where the broker is, what we ask of it, what it grants, and how it stands: values only, no connection."""

import ssl
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import ConfigError, Reason, Refused
from interhuman2mqtt.publish.mqtt.reason_codes import QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED, UNSUPPORTED_VERSION

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

PORTS = {"mqtt": 1883, "mqtts": 8883}

PACKET_MAX = 268_435_455
"""Bytes after a packet's fixed header, where the broker sets no smaller limit (MQTT 5, 1.5.5)."""

INCOMING_PACKET_MAX = 256 << 10
"""Bytes of a packet that we let the broker send us (MQTT 5, 3.1.2.11.4): a request with all that may come with it."""

INCOMING_MAX = 64
"""Messages that the broker may send us before we have acknowledged one (MQTT 5, 3.1.2.11.3)."""


class Endpoint(NamedTuple):
    """Where the broker is."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """The endpoint of `mqtt.url`; raises ConfigError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"mqtt.url: {error}") from error
        if parts.scheme not in PORTS or not host:
            raise ConfigError("mqtt.url: must be mqtt://HOST[:PORT], or mqtts:// for TLS")
        return cls(host, port or PORTS[parts.scheme], parts.scheme == "mqtts")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Offer(NamedTuple):
    """What we ask of the broker in CONNECT; some refusals are answered by asking for less."""

    version: int = 5
    """5, or 4 for MQTT 3.1.1: the protocol's own numbers."""
    negotiable: bool = False
    """Whether 3.1.1 will do too."""
    will_qos: int = 1
    will_retain: bool = True

    @classmethod
    def of(cls, protocol: str) -> "Offer":
        """The first offer by `mqtt.protocol`: auto, 5 or 3.1.1."""
        return cls(version=4 if protocol == "3.1.1" else 5, negotiable=protocol == "auto")

    def after(self, code: int | None) -> "Offer | None":
        """What to ask after a refusal by CONNACK's `code` (None: closed without one); None: there is nothing less."""
        if self.negotiable and self.version == 5 and code in (UNSUPPORTED_VERSION, None):
            return self._replace(version=4)
        if code == RETAIN_NOT_SUPPORTED and self.will_retain:
            return self._replace(will_retain=False)
        if code == QOS_NOT_SUPPORTED and self.will_qos:
            return self._replace(will_qos=0)
        return None


class Ack(NamedTuple):
    """The broker's answer to a message or a subscription: a reason code (MQTT 5, 2.4), and its words for people."""

    code: int
    text: str

    @property
    def refused(self) -> bool:
        """Whether the broker did not take it."""
        return self.code >= 0x80


class BrokerLimits(NamedTuple):
    """What the broker allows (MQTT 5, 3.2.2.3); the defaults are those of a broker that says nothing."""

    receive_maximum: int = 0xFFFF
    """Messages on their way at once."""
    packet_size: int | None = None
    """Bytes of a whole packet; None: what the protocol can express."""
    qos: int = 1
    retain: bool = True

    @classmethod
    def of(cls, connack: object) -> "BrokerLimits":
        """The limits in CONNACK's properties, of which those that the broker does not send are not even attributes."""
        return cls(
            receive_maximum=getattr(connack, "ReceiveMaximum", cls().receive_maximum),
            packet_size=getattr(connack, "MaximumPacketSize", None),
            qos=min(1, getattr(connack, "MaximumQoS", 1)),
            retain=bool(getattr(connack, "RetainAvailable", True)),
        )

    @property
    def remaining_max(self) -> int:
        """Bytes that a packet may have after its fixed header: a byte, and one to four for the length (MQTT 5, 1.5.5).

        Reckoned once a connection, where each message would have to count the bytes of its own length.
        """
        if self.packet_size is None:
            return PACKET_MAX
        return max(min(self.packet_size - 1 - digits, (1 << 7 * digits) - 1) for digits in (1, 2, 3, 4))


def tls_context(mqtt: Mqtt) -> ssl.SSLContext:
    """TLS as `[mqtt]` configures it, certificate and host name checked; reads files. Raises Refused."""
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
    except OSError as error:
        why = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror or error
        raise Refused(Reason.TLS_FAILED, f"mqtt.ca_file: {mqtt.ca_file}: {why}") from error
    context.sslsocket_class = _TidySocket
    if mqtt.cert_file is not None:
        _add_client_certificate(context, mqtt.cert_file, mqtt.key_file)
    return context


def _add_client_certificate(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    try:
        # The password is for a key that has one: without it OpenSSL would ask for it on the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except OSError as error:
        files = cert_file if key_file is None else f"{cert_file}, {key_file}"
        raise Refused(
            Reason.TLS_FAILED, f"mqtt.cert_file, mqtt.key_file: {files}: {error.strerror or error}"
        ) from error


class _TidySocket(ssl.SSLSocket):
    """TLS that says why it failed, and leaves nothing behind.

    paho leaves a socket whose handshake failed to the garbage collector. And under TLS 1.3 a broker judges our
    certificate after our handshake has succeeded (RFC 8446, 4.4.2.4): then the first write may only meet a closed
    connection, while the alert that says why waits to be read.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - SSLSocket's own signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def send(self, data: "Buffer", flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLEOFError, ConnectionError):
            with suppress(ssl.SSLWantReadError):
                self.recv(1)
            raise


class BrokerPhase(StrEnum):
    """How the connection to the broker is."""

    CONNECTING = "connecting"
    """Not tried to its end yet."""
    ONLINE = "online"
    OFFLINE = "offline"
    """It failed in a way that passes by itself; it is tried again."""
    REFUSED = "refused"
    """A person must act; it is tried again, rarely."""
    STOPPED = "stopped"


class BrokerState(Struct, frozen=True, kw_only=True):
    """How the connection to the broker is, for the log, health and the service's status."""

    phase: BrokerPhase
    reason: Reason | None = None
    detail: str | None = None
    """One sentence for the person who has to act; when online, where and how."""
    since: datetime
