"""TLS to the broker as `[mqtt]` configures it. Reads files."""

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Reason, Refused

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def tls_context(mqtt: Mqtt) -> ssl.SSLContext:
    """Return a context that checks the certificate and the host name; raises Refused."""
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
