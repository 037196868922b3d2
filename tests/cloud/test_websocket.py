"""The way to the cloud: TCP, TLS, and the upgrade's request."""

import socket
import ssl
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import WebSocketConnection, WebSocketRequest, serve_websocket

from cloud.listening import CA, attempt, attempt_at, cloud, listen, tls_cloud
from cloud.played import KEY, SERVER, SESSION, Cloud, Film, Tape, chunk, interpreter
from interhuman2mqtt import __version__
from interhuman2mqtt.cloud.http import ApiKey, HostPort, UpgradeRequest
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from interhuman2mqtt.cloud.websocket import BURST_MAX, connect
from interhuman2mqtt.errors import Outage, Reason, Refused


async def test_plain_and_encrypted(ca_file: str) -> None:
    """A session runs over ws:// and, with a CA of one's own, over wss://."""
    ended = SessionEnd(EndCause.FINISHED, drained=True)
    assert await attempt_at(cloud) == ended
    assert await attempt_at(tls_cloud, "wss://localhost:{}/v1/stream/analyze", ca_file=ca_file) == ended
    assert await attempt_at(tls_cloud, "wss://127.0.0.1:{}/v1/stream/analyze", ca_file=ca_file) == ended


async def test_certificates_are_read_when_they_change(ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sessions share what is trusted; an authority that is replaced in its file is trusted by the next one."""
    read: list[str] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, cafile: str) -> None:
        read.append(cafile)
        load(context, cafile)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    url, right = "wss://localhost:{}/v1/stream/analyze", CA.cert_pem.bytes()
    for _ in range(2):
        await attempt_at(tls_cloud, url, ca_file=ca_file)
    assert read == [ca_file]
    trustme.CA().cert_pem.write_to_path(ca_file)
    with pytest.raises(Outage, match="no TLS"):
        await attempt_at(tls_cloud, url, ca_file=ca_file)
    await trio.Path(ca_file).write_bytes(right)
    await attempt_at(tls_cloud, url, ca_file=ca_file)
    assert read == [ca_file] * 3


async def test_what_the_upgrade_asks() -> None:
    """The request names the key, our session and our version; the model only where there is a choice."""
    for url, model, path in (
        ("ws://127.0.0.1:{}/v2/stream/analyze", "inter-2", "/v2/stream/analyze?model=inter-2"),
        ("ws://127.0.0.1:{}/v2/stream/analyze?a=b", "inter-2", "/v2/stream/analyze?a=b&model=inter-2"),
        ("ws://127.0.0.1:{}/v2/stream/analyze?model=x", "inter-2", "/v2/stream/analyze?model=x"),
        ("ws://127.0.0.1:{}/v2/stream/analyze", None, "/v2/stream/analyze"),
        ("ws://127.0.0.1:{}/v1/stream/analyze", "inter-2", "/v1/stream/analyze"),
        ("ws://127.0.0.1:{}/v3/stream/analyze", "inter-2", "/v3/stream/analyze?model=inter-2"),
    ):
        seen: list[Cloud] = []

        async def act(ours: Cloud, seen: list[Cloud] = seen) -> None:
            seen.append(ours)
            await ours.ready(supported_session_config_options=None)
            await ours.hear_until_close()
            await ours.end()

        async with trio.open_nursery() as nursery:
            port = await listen(nursery, partial(cloud, act=act))
            film = Film([chunk(0, last=True)])
            server = Server(url.format(port))
            await run_session(
                server, KEY, SessionOptions(model=model), film, mapper=interpreter(), observer=Tape(), dial=dial
            )
            nursery.cancel_scope.cancel()
        assert seen[0].path == path
        assert seen[0].headers[b"authorization"] == f"Bearer {KEY}".encode()
        assert seen[0].headers[b"x-client-request-id"] == SESSION.encode()
        assert seen[0].headers[b"user-agent"] == f"interhuman2mqtt/{__version__}".encode()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ws://cloud.test/v2/x", b"cloud.test"),
        ("ws://cloud.test:80/v2/x", b"cloud.test"),
        ("ws://cloud.test:8080/v2/x", b"cloud.test:8080"),
        ("ws://[::1]:8080/v2/x", b"[::1]:8080"),
        ("ws://[::1]/v2/x", b"[::1]"),
    ],
)
async def test_the_host_header(url: str, host: bytes) -> None:
    """The port is named unless it is the scheme's own."""
    heard = b""

    async def dial(address: HostPort) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_stream_pair()
        nursery.start_soon(answer, theirs)
        return ours

    async def answer(stream: trio.abc.Stream) -> None:
        nonlocal heard
        heard = bytes(await stream.receive_some())
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        with pytest.raises(Outage):
            await run_session(
                Server(url), KEY, SessionOptions(), Film(), mapper=interpreter(), observer=Tape(), dial=dial
            )
    assert b"\r\nHost: " + host + b"\r\n" in heard


async def test_a_certificate_that_is_not_trusted() -> None:
    """Without its CA the cloud is not spoken to, and the sentence says what is wrong with the certificate."""
    with pytest.raises(
        Outage, match=r"no TLS with localhost:.*(self.signed certificate|unable to get local)"
    ) as caught:
        await attempt_at(tls_cloud, "wss://localhost:{}/v2/stream/analyze")
    assert caught.value.reason is Reason.TLS_FAILED


async def test_a_certificate_of_another_host(ca_file: str) -> None:
    """A trusted certificate for another name is refused."""
    other = CA.issue_cert("elsewhere.test")

    async def serve(stream: trio.SocketStream) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        other.configure_cert(context)
        with pytest.raises(trio.BrokenResourceError):
            await trio.SSLStream(stream, context, server_side=True).do_handshake()

    with pytest.raises(Outage, match="not valid for") as caught:
        await attempt_at(serve, "wss://localhost:{}/v2/stream/analyze", ca_file=ca_file)
    assert caught.value.reason is Reason.TLS_FAILED


async def test_a_server_without_tls(ca_file: str) -> None:
    """wss:// to something that speaks no TLS, or hangs up at once, is reported as such."""

    async def chat(stream: trio.SocketStream) -> None:
        with trio.move_on_after(5):
            await stream.send_all(b"220 mail.test ESMTP\r\n")
            await stream.receive_some()
        await stream.aclose()

    for handler in (chat, trio.SocketStream.aclose):
        with pytest.raises(Outage, match=r"no TLS with 127\.0\.0\.1:") as caught:
            await attempt_at(handler, "wss://127.0.0.1:{}/v2/stream/analyze", ca_file=ca_file)
        assert caught.value.reason is Reason.TLS_FAILED


@pytest.mark.parametrize("content", [None, "", "rubbish"])
async def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """A missing or broken ca_file needs a person, and is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refused, match=r"ca_file .*ca\.pem cannot be used") as caught:
        await attempt_at(tls_cloud, "wss://localhost:{}/v2/stream/analyze", ca_file=str(path))
    assert caught.value.reason is Reason.TLS_FAILED


async def test_nothing_listens() -> None:
    """A refused connection names host and port, and what the system said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Outage, match=f"no connection to 127.0.0.1:{port}: .*refused") as caught:
            await attempt(Server(f"ws://127.0.0.1:{port}/v2/stream/analyze"))
    assert caught.value.reason is Reason.CLOUD_UNREACHABLE


async def test_several_addresses_that_all_fail() -> None:
    """Where a name has several addresses, the first failure stands for all; a name that is not known says so."""

    async def several(address: HostPort) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        group = ExceptionGroup("all", [OSError(113, "No route to host"), OSError(111, "Connection refused")])
        raise OSError("all attempts to connect failed") from group

    async def unknown(address: HostPort) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(-2, "Name or service not known")

    ways: list[tuple[Dial, str]] = [
        (several, "No route to host"),
        (unknown, "its host cannot be found: Name or service not known"),
    ]
    for way, said in ways:
        with pytest.raises(Outage, match=f"no connection to cloud.test:80: .*{said}"):
            await run_session(SERVER, KEY, SessionOptions(), Film(), mapper=interpreter(), observer=Tape(), dial=way)


async def test_a_cloud_that_does_not_answer(autojump_clock: MockClock) -> None:
    """A host that takes the connection and says nothing is given up after a stated time."""
    ours, theirs = memory_stream_pair()

    async def silent(address: HostPort) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    began = autojump_clock.current_time()
    with pytest.raises(Outage, match=r"cloud\.test:80 did not answer within 20 s") as caught:
        await run_session(SERVER, KEY, SessionOptions(), Film(), mapper=interpreter(), observer=Tape(), dial=silent)
    assert caught.value.reason is Reason.CLOUD_UNREACHABLE
    assert autojump_clock.current_time() - began == pytest.approx(20, abs=0.1)
    await theirs.receive_some()
    assert await theirs.receive_some() == b""


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..b"])
async def test_a_name_that_dns_cannot_encode(host: str) -> None:
    """A host's name with an empty or too long label is an outage that names it."""
    with pytest.raises(Outage, match=f"no connection to {host}:1: "):
        await attempt(Server(f"wss://{host}:1/v2/stream/analyze"))


async def test_what_arrives_together_is_received_together() -> None:
    """A burst takes no turn of the event loop for each message, and whatever its size nothing of it is lost."""
    count, sizes, received = 3 * BURST_MAX + 5, list[int](), list[str | bytes]()

    async def serve(request: WebSocketRequest) -> None:
        async with await request.accept() as websocket:
            await websocket._stream.send_all(b"".join(_frame(str(n)) for n in range(count)))
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(serve_websocket, serve, "127.0.0.1", 0, None))
        url = f"ws://127.0.0.1:{listeners.port}/v2/x"
        request = UpgradeRequest(ApiKey(KEY), SESSION, None)
        connection = await connect(nursery, Server(url), request)
        while len(received) < count:
            several = await connection.receive()
            sizes.append(len(several))
            received += several
        await connection.close()
        nursery.cancel_scope.cancel()
    assert received == [str(n) for n in range(count)]
    assert max(sizes) == BURST_MAX


def _frame(text: str) -> bytes:
    """A text of a server (RFC 6455, 5.2)."""
    return b"\x81" + bytes([len(text)]) + text.encode()


def test_the_insides_of_trio_websocket_are_where_they_were() -> None:
    """Whoever replaces a private channel allows no version that nobody has tried."""
    assert {"_send_channel", "_recv_channel"} <= set(WebSocketConnection.__init__.__code__.co_names)
    bounds = [need for need in metadata.requires("interhuman2mqtt") or () if need.startswith("trio-websocket")]
    assert bounds == ["trio-websocket<0.13,>=0.12.2"]
