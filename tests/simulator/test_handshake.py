"""What a client meets at the door, over a real connection."""

import json
import ssl
from pathlib import Path

import pytest
import trio
import trustme
from trio_websocket import ConnectionRejected

from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.simulator import server
from interhuman2mqtt.simulator.server import Address, serve
from interhuman2mqtt.simulator.settings import Key, Settings
from simulator.helpers import connected, session, simulator


async def rejected(address: Address, path: str = "/v2/stream/analyze", **more: str) -> ConnectionRejected:
    with pytest.raises(ConnectionRejected) as caught:
        async with session(address, path, **more):
            pass
    refusal: ConnectionRejected = caught.value
    return refusal


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_ready_comes_first(version: str) -> None:
    """A good handshake carries the correlation id of all envelopes, and session.ready production's limits."""
    async with simulator(Settings(port=0)) as address, session(address, f"/{version}/stream/analyze") as client:
        event = await client.next()
        headers = dict(client.socket.handshake_headers)
    assert list(event) == ["timestamp", "correlation_id", "type", "data"]
    assert event["correlation_id"].encode() == headers[b"x-correlation-id"]
    assert event["data"] == {
        "session_idle_timeout_seconds": 300,
        "session_max_duration_seconds": 3600,
        "max_segment_duration_seconds": None,
        "min_segment_size_bytes": 1,
        "max_segment_size_bytes": 33554432,
        "supported_session_config_options": {
            "include": ["conversation_quality_overall", "conversation_quality_timeline"],
            "goal_dimensions": None,
            "model": ["inter-2", "inter-2-audio"] if version == "v2" else None,
        },
    }


async def test_bad_key_gets_401_and_a_body() -> None:
    """A refused upgrade explains itself in the API's JSON form, and never repeats the key."""
    async with simulator(Settings(port=0, keys=(Key("right"),))) as address:
        refusal = await rejected(address, key="sneaky")
    assert refusal.status_code == 401
    assert refusal.body is not None
    body = json.loads(refusal.body)
    assert set(body) == {"error_id", "correlation_id", "link", "message"}
    assert body["error_id"] == "ih2001"
    assert b"sneaky" not in refusal.body


async def test_unknown_path_gets_404() -> None:
    """There are two endpoints; everything else is 404."""
    async with simulator(Settings(port=0)) as address:
        assert (await rejected(address, "/v3/stream/analyze")).status_code == 404


async def test_rate_limit_names_a_time_to_wait() -> None:
    """A key that knocks too often gets 429 with Retry-After."""
    async with simulator(Settings(port=0, rate_limit=1)) as address:
        async with session(address) as client:
            await client.next()
        refusal = await rejected(address)
    assert refusal.status_code == 429
    assert (b"retry-after", b"30") in [(name.lower(), value) for name, value in refusal.headers or ()]


async def test_subprotocol_pair_is_a_credential() -> None:
    """A browser's pair of access_token and credential opens a session, and access_token is echoed."""
    async with simulator(Settings(port=0, keys=(Key("right"),))) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        async with connected(stream, "/v1/stream/analyze", [], ["access_token", "right"]) as client:
            assert (await client.next())["type"] == "session.ready"
            assert client.socket.subprotocol == "access_token"


async def test_missing_scope_is_told_after_the_upgrade() -> None:
    """A key without the scope is accepted, told ih2003 and closed with 4003, without a session.ready."""
    async with simulator(Settings(port=0, keys=(Key("k", ()),))) as address, session(address, key="k") as client:
        assert (await client.next())["data"]["code"] == "ih2003"
        assert await client.closed() == 4003


async def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a certificate it speaks TLS, and says so in its address; plain clients get nothing."""
    monkeypatch.setattr(server, "HANDSHAKE", 0.5)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    settings = Settings(port=0, certificate=chain, private_key=key)
    async with simulator(settings) as address:
        assert address.url.startswith("wss://")
        async with await trio.open_tcp_stream(address.host, address.port) as plain:
            await plain.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in await plain.receive_some(1000)
        stream = await trio.open_ssl_over_tcp_stream(
            address.host, address.port, ssl_context=trust, https_compatible=True
        )
        async with connected(stream, "/v2/stream/analyze", [(b"Authorization", b"Bearer k")]) as client:
            await client.next()
            assert (await client.drain())[-1]["type"] == "session.ended"


async def test_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    """A file that is no certificate is a plain configuration error."""
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"certificate .*x\.pem"):
        await serve(Settings(port=0, certificate=tmp_path / "x.pem"))


async def test_address_that_is_taken() -> None:
    """A port that another program holds is a plain configuration error that names it."""
    async with simulator(Settings(port=0)) as address:
        with pytest.raises(ConfigError, match=f"127.0.0.1:{address.port}"):
            await serve(Settings(port=address.port))


async def test_address_without_meaning() -> None:
    """A host name that does not exist is a plain configuration error."""
    with pytest.raises(ConfigError, match="cannot listen on"):
        await serve(Settings(host="no-such-host.invalid", port=0))


def test_urls_of_addresses() -> None:
    """An IPv6 address stands in brackets."""
    assert Address("::1", 80, tls=False).url == "ws://[::1]:80"


UPGRADE = (
    b"GET /v2/stream/analyze HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="plain HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS"),
        pytest.param(UPGRADE, id="gone at once"),
    ],
)
async def test_strangers_do_no_harm(opening: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever knocks and leaves, the next client gets its session."""
    monkeypatch.setattr(server, "HANDSHAKE", 5.0)
    async with simulator(Settings(port=0)) as address:
        stranger = await trio.open_tcp_stream(address.host, address.port)
        if opening:
            await stranger.send_all(opening)
        await stranger.aclose()
        async with session(address) as client:
            assert (await client.next())["type"] == "session.ready"
