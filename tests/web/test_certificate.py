"""A page that runs for months outlives its certificate."""

import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from starlette.applications import Starlette

from interhuman2mqtt.config import Web
from interhuman2mqtt.web import certificate
from interhuman2mqtt.web.server import Listen, run_server
from support.mosquitto import free_port
from support.processes import PATIENCE_S


async def serial(ca: trustme.CA, port: int) -> object:
    """The number of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=context) as stream:
        await stream.do_handshake()
        shown = stream.getpeercert()
        with suppress(trio.BrokenResourceError):
            await stream.aclose()
    return shown["serialNumber"]


async def test_a_certificate_that_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections have the new one within a minute, and the old one until its key has come too."""
    monkeypatch.setattr(certificate, "LOOK_S", 0.02)
    ca = trustme.CA()
    old, new = ca.issue_cert("127.0.0.1"), ca.issue_cert("127.0.0.1")
    chain, key = tmp_path / "web.pem", tmp_path / "web.key"
    old.cert_chain_pems[0].write_to_path(chain)
    old.private_key_pem.write_to_path(key)
    port = free_port()
    web = Web(certificate=str(chain), private_key=str(key))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_server, Starlette(), web, Listen("127.0.0.1", port, tls=True)))  # type: ignore[arg-type]
        first = await serial(ca, port)
        new.cert_chain_pems[0].write_to_path(chain)
        assert [await serial(ca, port) for _ in range(20)] == [first] * 20
        new.private_key_pem.write_to_path(key)
        with trio.fail_after(PATIENCE_S):
            while await serial(ca, port) == first:  # noqa: ASYNC110 - nothing announces it
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
