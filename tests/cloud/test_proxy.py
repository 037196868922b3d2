"""The way through an HTTP proxy."""

import base64
import socket

import pytest
import trio

from cloud.listening import (
    Proxy,
    attempt,
    cloud,
    sentence_of,
    through,
    tls_cloud,
)
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.errors import Outage, Reason, Refused


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/"])
async def test_a_proxy(ca_file: str, form: str) -> None:
    """A session runs through an HTTP proxy, which learns host and port of the cloud and nothing else."""
    proxy = Proxy()
    end = await through(proxy, tls_cloud, "wss://localhost:{}/v2/stream/analyze", form, ca_file=ca_file)
    assert end == SessionEnd(EndCause.FINISHED, drained=True)
    [request] = proxy.requests
    assert request.startswith(b"CONNECT localhost:")
    assert b"uthorization" not in request


async def test_a_proxy_with_a_password() -> None:
    """User and password of the proxy's url are decoded and sent as Basic."""
    proxy = Proxy()
    await through(proxy, cloud, "ws://127.0.0.1:{}/v2/stream/analyze", "http://us%40r:p%3Ass@127.0.0.1:{}")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"us@r:p:ss") in proxy.requests[0]
    await through(proxy, cloud, "ws://127.0.0.1:{}/v2/stream/analyze", "http://user@127.0.0.1:{}")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:") in proxy.requests[1]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n", Refused, "asks for another user or password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", Refused, r"would not connect to cloud.test:443 \(HTTP 403\)"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Outage, r"would not connect to cloud.test:443 \(HTTP 502\)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Outage, "did not answer as an HTTP proxy: it is not HTTP"),
        (b"HTTP/1.1 2", Outage, "did not answer as an HTTP proxy"),
    ],
)
async def test_proxies_that_refuse(answer: bytes, kind: type[Outage], said: str) -> None:
    """A proxy's refusal names the proxy, and neither its user nor its password."""
    with pytest.raises(Outage, match=said) as caught:
        await through(Proxy(answer), cloud, "wss://cloud.test/v2", "http://user:hush@127.0.0.1:{}")
    assert type(caught.value) is kind
    assert caught.value.reason is Reason.PROXY_REFUSED
    assert str(caught.value).startswith("the proxy 127.0.0.1:")
    told = sentence_of(caught.value)
    assert "open_tunnel" in told
    assert "hush" not in told
    assert base64.b64encode(b"user:hush").decode() not in told


async def test_a_proxy_that_hangs_up() -> None:
    """A proxy that closes without an answer is reported as one."""
    with pytest.raises(Outage, match="did not answer as an HTTP proxy") as caught:
        await through(trio.SocketStream.aclose, cloud, "wss://cloud.test/v2", "http://127.0.0.1:{}")
    assert caught.value.reason is Reason.PROXY_REFUSED


async def test_a_proxy_that_is_not_there() -> None:
    """An unreachable proxy is told apart from an unreachable cloud."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Outage, match=f"no connection to the proxy 127.0.0.1:{port}") as caught:
            await attempt(Server("wss://cloud.test/v2", proxy=f"http://user:hush@127.0.0.1:{port}"))
    assert caught.value.reason is Reason.CLOUD_UNREACHABLE


@pytest.mark.parametrize("form", ["https://user:hush@proxy:3128", "socks5://proxy", "http://", "http://proxy:x"])
async def test_proxies_of_an_unknown_form(form: str) -> None:
    """Only plain HTTP proxies are known, and another one needs a person."""
    with pytest.raises(Refused, match="not of the form") as caught:
        await attempt(Server("wss://cloud.test/v2", proxy=form))
    assert caught.value.reason is Reason.PROXY_REFUSED
    assert "hush" not in sentence_of(caught.value)
