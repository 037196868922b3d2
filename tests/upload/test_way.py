"""Files take the way of the sessions: the same proxy, the same trust, and no secret on it."""

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import outcome
import pytest
import trio

from cloud.conftest import ca_file  # noqa: F401 - a fixture
from cloud.listening import CERTIFICATE, Proxy, listen, sentence_of
from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.upload.client import UploadClient, endpoint_of
from interhuman2mqtt.upload.result import Job
from upload.helpers import KEY, SUBMISSION, answering, http_answer

ACCEPTED = http_answer(202, b'{"job_id": "3f1c", "status": "queued"}')


async def cloud(stream: trio.SocketStream) -> None:
    """A cloud that speaks TLS and accepts a file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    try:
        await answering(ACCEPTED)(trio.SSLStream(stream, context, server_side=True, https_compatible=True))
    except (trio.BrokenResourceError, ssl.SSLError):
        await trio.aclose_forcefully(stream)


async def submitted(proxy: Callable[[trio.SocketStream], Any] | None, **way: Any) -> Job:
    """The job of a file that was sent to a cloud, through a proxy where one is given."""
    async with trio.open_nursery() as nursery:
        target = await listen(nursery, cloud)
        if proxy is not None:
            way["proxy"] = f"http://us%40r:hush@127.0.0.1:{await listen(nursery, proxy)}"
        client = UploadClient(endpoint_of(f"wss://localhost:{target}/v2/stream/analyze", **way), ApiKey(KEY))
        job = await outcome.acapture(partial(client.submit, bytes(200_000), SUBMISSION))
        nursery.cancel_scope.cancel()
    return job.unwrap()


async def test_through_a_proxy_and_tls(ca_file: str) -> None:  # noqa: F811
    """A proxy learns host, port and its own password; key and file go through TLS, whose certificate is verified."""
    proxy = Proxy()
    assert (await submitted(proxy, ca_file=ca_file)).id == "3f1c"
    [request] = proxy.requests
    assert request.startswith(b"CONNECT localhost:")
    assert KEY.encode() not in request


async def test_a_certificate_that_nobody_vouches_for() -> None:
    """Without the CA nothing is sent."""
    with pytest.raises(Outage, match="no TLS with localhost") as caught:
        await submitted(None)
    assert caught.value.reason is Reason.TLS_FAILED
    assert KEY not in sentence_of(caught.value)


async def test_a_proxy_that_refuses(ca_file: str) -> None:  # noqa: F811
    """A proxy's refusal names the proxy, without its password; the file may be sent again."""
    with pytest.raises(Refused) as caught:
        await submitted(Proxy(b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n"), ca_file=ca_file)
    assert caught.value.reason is Reason.PROXY_REFUSED
    assert "hush" not in sentence_of(caught.value)


async def test_a_cloud_that_is_away() -> None:
    """Where nobody listens the sentence says where, and the file may be sent again."""
    client = UploadClient(endpoint_of("ws://127.0.0.1:1/v2/stream/analyze"), ApiKey(KEY))
    with pytest.raises(Outage, match=r"no connection to 127\.0\.0\.1:1: Connection refused") as caught:
        await client.submit(b"media", SUBMISSION)
    assert caught.value.reason is Reason.CLOUD_UNREACHABLE
