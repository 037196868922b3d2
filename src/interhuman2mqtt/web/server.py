"""The page served: Hypercorn's trio worker, with TLS where there is a certificate."""

import logging
from typing import NamedTuple

import trio
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework

from interhuman2mqtt.config import Web, urls
from interhuman2mqtt.errors import ConfigError, leaves
from interhuman2mqtt.web.certificate import TlsConfig, follow_certificate

GRACE_S = 3.0
"""For requests under way when the page ends; event streams never end by themselves."""


class Listen(NamedTuple):
    """The address at which the page is served."""

    host: str
    port: int
    tls: bool

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return urls.is_loopback(f"//[{self.host}]" if ":" in self.host else f"//{self.host}")

    @property
    def url(self) -> str:
        """The address for a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/"


def listen_of(web: Web) -> Listen:
    """Return where to listen; the page is safe there or not served at all.

    Raises:
        ConfigError: Others could reach it without a password, or read it on the way.
    """
    host, port = urls.listen_address(web.listen)
    if (web.certificate is None) != (web.private_key is None):
        raise ConfigError("[web] certificate and private_key belong together")
    listen = Listen(host, port, tls=web.certificate is not None)
    if not listen.is_local or web.behind_proxy:
        if web.password is None:
            raise ConfigError(f"[web] listen = {web.listen!r} is within reach of others: set password")
        if not (listen.tls or web.behind_proxy):
            raise ConfigError(
                f"[web] listen = {web.listen!r} is within reach of others: set certificate and private_key, or "
                "behind_proxy = true where something in front of it speaks TLS"
            )
    return listen


async def run_server(  # noqa: ASYNC114 - flake8-async knows no names of ours
    app: ASGIFramework, web: Web, listen: Listen, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; reports the addresses once it listens.

    Raises:
        OSError: The address cannot be listened on, or the certificate cannot be read.
    """
    config = TlsConfig()
    config.bind = [f"[{listen.host}]:{listen.port}" if ":" in listen.host else f"{listen.host}:{listen.port}"]
    config.certfile, config.keyfile = web.certificate, web.private_key
    config.graceful_timeout = config.shutdown_timeout = GRACE_S
    config.include_server_header = False
    config.h11_max_incomplete_size = 16 << 10
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn")
    try:
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(serve, app, config)
            nursery.start_soon(follow_certificate, config)
            task_status.started(binds)
    except BaseExceptionGroup as group:
        errors = list(leaves(group))
        if errors and all(isinstance(error, OSError) for error in errors):
            raise errors[0] from None
        raise
