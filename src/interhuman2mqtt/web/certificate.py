"""The page's TLS, whose certificate is renewed every few weeks by another program, while the page runs."""

import os
import ssl
from pathlib import Path

import structlog
import trio
from hypercorn.config import Config

from interhuman2mqtt.runtime.log import RateLimitedLogger

LOOK_S = 60.0
"""Between two looks at the files."""

log = structlog.get_logger(__name__)


class TlsConfig(Config):
    """Hypercorn's configuration, which keeps the context of its connections."""

    context: ssl.SSLContext | None = None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """Return the context; None where there is no certificate. Raises OSError."""
        self.context = super().create_ssl_context()
        return self.context


async def follow_certificate(config: TlsConfig) -> None:
    """Let new connections have the files' certificate whenever those change, for ever; without one return."""
    if config.certfile is None or config.keyfile is None:
        return
    files = (Path(config.certfile), Path(config.keyfile))
    changes, known = RateLimitedLogger(log), _stamps(files)
    while True:
        await trio.sleep(LOOK_S)
        if (stamps := _stamps(files)) == known:
            continue
        try:
            # First by itself: half of a renewal, such as a certificate without its key yet, would spoil what is in use.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files)
            if config.context is not None:
                config.context.load_cert_chain(*files)
        except OSError as error:
            changes.emit("certificate", str(error), "the certificate is not renewed", level="error", detail=str(error))
        else:
            known = stamps
            changes.emit("certificate", stamps, "the certificate is renewed", file=str(files[0]))


def _stamps(files: tuple[Path, Path]) -> tuple[tuple[int, int] | None, ...]:
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - follows links, as certbot's are
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
