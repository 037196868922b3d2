"""TLS towards cameras: the authorities to trust, for our own requests and for FFmpeg alike."""

import ssl
from pathlib import Path

from interhuman2mqtt.capture import ipc

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
"""The authorities that the machine trusts, on Debian, Fedora and Alpine."""


def authorities_file(command: ipc.Open) -> str | None:
    """Return the file with the authorities whose certificates are accepted; None where the machine has none.

    FFmpeg needs its name: the GnuTLS in PyAV's wheel looks for the machine's authorities where it was built.
    """
    own = ssl.get_default_verify_paths().cafile
    return command.ca_file or own or next((bundle for bundle in BUNDLES if Path(bundle).is_file()), None)


def client_context(command: ipc.Open) -> ssl.SSLContext:
    """Return the context of Python for TLS with the camera; raises OSError where `ca_file` cannot be read."""
    context = ssl.create_default_context(cafile=authorities_file(command))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # so that a camera's own certificate may stand in `ca_file`
    if not command.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def ffmpeg_options(command: ipc.Open) -> dict[str, str]:
    """Return the options of FFmpeg for TLS with the camera."""
    if not command.verify:
        return {"tls_verify": "0"}
    authorities = authorities_file(command)
    return {"tls_verify": "1"} | ({"ca_file": authorities} if authorities else {})
