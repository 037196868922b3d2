"""The way to the cloud: TCP, TLS, HTTP proxies, refusals of the upgrade, and what is never told."""

import base64
import socket
import ssl
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import outcome
import pytest
import trio
import trustme
from trio.testing import MockClock, memory_stream_pair

from cloud.played import KEY, SERVER, SESSION, Cloud, Film, Play, Tape, chunk, converse, interpreter, play
from interhuman2mqtt import __version__
from interhuman2mqtt.cloud.connect import Dial, Server, dial
from interhuman2mqtt.cloud.key import Key
from interhuman2mqtt.cloud.observer import Cause, SessionEnd
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.terms import Wishes
from interhuman2mqtt.cloud.tunnel import Address
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused

CA = trustme.CA()
CERTIFICATE = CA.issue_cert("127.0.0.1", "localhost")

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)


async def listen(nursery: trio.Nursery, handler: Handler) -> int:
    """Serves on loopback; the port."""
    [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    port: int = listener.socket.getsockname()[1]
    return port


async def cloud(stream: trio.abc.Stream, act: Play = Cloud.serve) -> None:
    await play(stream, act)


async def tls_cloud(stream: trio.SocketStream, act: Play = Cloud.serve) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    encrypted = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        await play(encrypted, act)
    except* (trio.BrokenResourceError, ssl.SSLError):
        await trio.aclose_forcefully(stream)


async def attempt(server: Server, *, tape: Tape | None = None, film: Film | None = None) -> SessionEnd:
    """A session of one chunk."""
    film = film or Film([chunk(0, last=True)])
    return await run_session(server, KEY, Wishes(), film, interpreter=interpreter(), observer=tape or Tape(), dial=dial)


async def attempt_at(handler: Handler, url: str = "ws://127.0.0.1:{}/v2/stream/analyze", **server: Any) -> SessionEnd:
    """A session with what listens at a port of its own."""
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, handler)
        result = await outcome.acapture(attempt, Server(url.format(port), **server))
        nursery.cancel_scope.cancel()
    return result.unwrap()


def told_by(error: BaseException) -> str:
    """All that a logger could make of an error: text, causes, and the local values of our frames and all below."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts: list[str] = []
    errors: list[traceback.TracebackException | None] = [whole]
    while errors:
        one = errors.pop()
        if one is None:
            continue
        frames = [frame for frame in one.stack if "/tests/" not in frame.filename]
        parts += [str(one), *(f"{frame.name}: {frame.locals}" for frame in frames)]
        errors += [one.__cause__, one.__context__, *(one.exceptions or ())]
    return "\n".join(parts)


async def test_plain_and_encrypted(ca_file: str) -> None:
    """A session runs over ws:// and, with a CA of one's own, over wss://."""
    ended = SessionEnd(Cause.FINISHED, drained=True)
    assert await attempt_at(cloud) == ended
    assert await attempt_at(tls_cloud, "wss://localhost:{}/v1/stream/analyze", ca_file=ca_file) == ended
    assert await attempt_at(tls_cloud, "wss://127.0.0.1:{}/v1/stream/analyze", ca_file=ca_file) == ended


async def test_what_the_upgrade_asks() -> None:
    """The request names the key, our session and our version; the model only where there is a choice."""
    for url, model, path in (
        ("ws://127.0.0.1:{}/v2/stream/analyze", "inter-2", "/v2/stream/analyze?model=inter-2"),
        ("ws://127.0.0.1:{}/v2/stream/analyze?a=b", "inter-2", "/v2/stream/analyze?a=b&model=inter-2"),
        ("ws://127.0.0.1:{}/v2/stream/analyze?model=x", "inter-2", "/v2/stream/analyze?model=x"),
        ("ws://127.0.0.1:{}/v2/stream/analyze", None, "/v2/stream/analyze"),
        ("ws://127.0.0.1:{}/v1/stream/analyze", "inter-2", "/v1/stream/analyze"),
        ("ws://127.0.0.1:{}", "inter-2", "/"),
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
                server, KEY, Wishes(model=model), film, interpreter=interpreter(), observer=Tape(), dial=dial
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

    async def dial(address: Address) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        nursery.start_soon(answer, theirs)
        return ours

    async def answer(stream: trio.abc.Stream) -> None:
        nonlocal heard
        heard = bytes(await stream.receive_some())
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        with pytest.raises(Outage):
            await run_session(Server(url), KEY, Wishes(), Film(), interpreter=interpreter(), observer=Tape(), dial=dial)
    assert b"\r\nHost: " + host + b"\r\n" in heard


async def test_a_certificate_that_is_not_trusted() -> None:
    """Without its CA the cloud is not spoken to, and the sentence says what is wrong with the certificate."""
    with pytest.raises(Outage, match="no TLS with localhost:.*self.signed certificate|unable to get local") as caught:
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
    """wss:// to something that speaks no TLS, or hangs up at once, is told as such."""

    async def chat(stream: trio.SocketStream) -> None:
        with trio.move_on_after(5):
            await stream.send_all(b"220 mail.test ESMTP\r\n")
            await stream.receive_some()
        await stream.aclose()

    for handler in (chat, trio.SocketStream.aclose):
        with pytest.raises(Outage, match="no TLS with 127.0.0.1:") as caught:
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

    async def several(address: Address) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        group = ExceptionGroup("all", [OSError(113, "No route to host"), OSError(111, "Connection refused")])
        raise OSError("all attempts to connect failed") from group

    async def unknown(address: Address) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(-2, "Name or service not known")

    ways: list[tuple[Dial, str]] = [(several, "No route to host"), (unknown, "Name or service not known")]
    for way, said in ways:
        with pytest.raises(Outage, match=f"no connection to cloud.test:80: .*{said}"):
            await run_session(SERVER, KEY, Wishes(), Film(), interpreter=interpreter(), observer=Tape(), dial=way)


async def test_a_cloud_that_does_not_answer(autojump_clock: MockClock) -> None:
    """A host that takes the connection and says nothing is given up after a stated time."""
    ours, theirs = memory_stream_pair()

    async def silent(address: Address) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    began = autojump_clock.current_time()
    with pytest.raises(Outage, match="cloud.test:80 did not answer within 20 s") as caught:
        await run_session(SERVER, KEY, Wishes(), Film(), interpreter=interpreter(), observer=Tape(), dial=silent)
    assert caught.value.reason is Reason.CLOUD_UNREACHABLE
    assert autojump_clock.current_time() - began == pytest.approx(20, abs=0.1)
    await theirs.receive_some()
    assert await theirs.receive_some() == b""


def says(reply: bytes) -> Handler:
    """A server that answers any request with these bytes, and hangs up."""

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if reply:
            await stream.send_all(reply)
        await stream.aclose()

    return handler


BODY = b'{"error_id":"ih2001","correlation_id":"c","link":"l","message":"Invalid API key ' + KEY.encode() + b'"}'


@pytest.mark.parametrize(
    ("reply", "kind", "reason", "said"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", Refused, Reason.UNAUTHORIZED, "HTTP 401"),
        (b"HTTP/1.0 401 Unauthorized\r\n\r\n" + BODY, Refused, Reason.UNAUTHORIZED, "ih2001: Invalid API key ***"),
        (
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
            Refused,
            Reason.UNAUTHORIZED,
            "ih2001: Invalid API key ***",
        ),
        (
            b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY)
            + BODY
            + b"\r\n0\r\n\r\n",
            Refused,
            Reason.UNAUTHORIZED,
            "ih2001: Invalid API key ***",
        ),
        (b"HTTP/1.1 401 X\r\nContent-Length: 99\r\n\r\ncut off", Refused, Reason.UNAUTHORIZED, "HTTP 401"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Refused, Reason.SCOPE_MISSING, "HTTP 403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + b"x" * 200_000, Outage, Reason.CLOUD_ERROR, "HTTP 502"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Outage, Reason.PROTOCOL, "HTTP 200"),
        (b"", Outage, Reason.CONNECTION_LOST, "ended the connection instead of answering: nothing came back"),
        (b"HTTP/1.1 40", Outage, Reason.CONNECTION_LOST, "not HTTP"),
        (b"220 mail.test ESMTP\r\n\r\n", Outage, Reason.CONNECTION_LOST, "not HTTP"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            Outage,
            Reason.CONNECTION_LOST,
            "instead of answering",
        ),
    ],
)
async def test_refusals_of_the_upgrade(reply: bytes, kind: type[Outage], reason: Reason, said: str) -> None:
    """Status and body of any answer are read, however HTTP ends them; what is no answer is told as such."""
    with pytest.raises(Outage) as caught:
        await attempt_at(says(reply))
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert said in str(caught.value)


async def test_retry_after_of_a_refusal() -> None:
    """What the cloud asks us to wait comes with the outage."""
    with pytest.raises(Overloaded) as caught:
        await attempt_at(says(b"HTTP/1.1 429 Too Many\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n"))
    assert caught.value.retry_after == 90.0


async def test_a_broken_websocket() -> None:
    """Frames that break the WebSocket protocol are an outage, never a bug of ours."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.hear()
        await ours.websocket._stream.send_all(b"\xff\xff\xff\xff\xff")
        await trio.sleep(1)

    with pytest.raises(Outage) as caught:
        async with trio.open_nursery() as nursery:
            port = await listen(nursery, partial(cloud, act=act))
            result = await outcome.acapture(attempt, Server(f"ws://127.0.0.1:{port}/"), film=Film([chunk(0)]))
            nursery.cancel_scope.cancel()
        result.unwrap()
    assert caught.value.reason is Reason.PROTOCOL


async def test_a_ping_while_we_close(autojump_clock: MockClock) -> None:
    """A ping that crosses our close frame, which trio-websocket cannot answer, changes nothing."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.hear_until_close()
        await ours.say("session.ended")
        with suppress(trio.BrokenResourceError):
            while True:
                async with ours.websocket._stream_lock:
                    await ours.websocket._stream.send_all(b"\x89\x01x")
                await trio.sleep(0.1)

    end = await converse(act, Film([chunk(0, last=True)]), Tape())
    assert end == SessionEnd(Cause.FINISHED, drained=True)


@pytest.mark.parametrize("serve", [cloud, tls_cloud])
async def test_last_words_survive_a_reset(serve: Callable[..., Awaitable[None]], ca_file: str) -> None:
    """Events and the error that came before a reset connection are read, though we were sending at that moment."""

    async def act(ours: Cloud) -> None:
        await ours.ready(supported_session_config_options=None)
        await ours.hear()
        for number in range(50):
            await ours.say("feedback.generated", {"feedback": f"advice {number}"})
        await ours.error("ih3006")
        await trio.aclose_forcefully(ours.websocket._stream)  # with media unread: the kernel answers with RST

    for _ in range(5):
        tape = Tape()
        film = Film([chunk(number, payload=b"x" * 300_000) for number in range(50)])
        async with trio.open_nursery() as nursery:
            port = await listen(nursery, partial(serve, act=act))
            scheme = "wss" if serve is tls_cloud else "ws"
            server = Server(f"{scheme}://localhost:{port}/v2", ca_file=ca_file)
            with pytest.raises(Refused, match="ih3006"):
                await attempt(server, tape=tape, film=film)
            nursery.cancel_scope.cancel()
        assert tape.types == ["session.ready", *["feedback.generated"] * 50, "error"]
        assert 0 < len(tape.chunks) < 50


class Proxy:
    """A small HTTP CONNECT proxy, which answers with what it is told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    async def __call__(self, client: trio.SocketStream) -> None:
        async with client:
            request = await client.receive_some()
            self.requests.append(bytes(request))
            await client.send_all(self.answer)
            if b" 200 " in self.answer and request:
                host, _, port = request.split()[1].decode().rpartition(":")
                async with await trio.open_tcp_stream(host, int(port)) as cloud, trio.open_nursery() as nursery:
                    nursery.start_soon(copy, client, cloud)
                    await copy(cloud, client)
                    nursery.cancel_scope.cancel()


async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for piece in source:
            await sink.send_all(piece)


async def through(proxy: Handler, handler: Handler, url: str, form: str, **server: Any) -> SessionEnd:
    """A session through a proxy that listens at a port of its own."""
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, proxy)
        target = await listen(nursery, handler)
        way = Server(url.format(target), proxy=form.format(port), **server)
        result = await outcome.acapture(attempt, way)
        nursery.cancel_scope.cancel()
    return result.unwrap()


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/"])
async def test_a_proxy(ca_file: str, form: str) -> None:
    """A session runs through an HTTP proxy, which learns host and port of the cloud and nothing else."""
    proxy = Proxy()
    end = await through(proxy, tls_cloud, "wss://localhost:{}/v2/stream/analyze", form, ca_file=ca_file)
    assert end == SessionEnd(Cause.FINISHED, drained=True)
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
    told = told_by(caught.value)
    assert "open_tunnel" in told
    assert "hush" not in told
    assert base64.b64encode(b"user:hush").decode() not in told


async def test_a_proxy_that_hangs_up() -> None:
    """A proxy that closes without an answer is told as one."""
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
    assert "hush" not in told_by(caught.value)


@pytest.mark.parametrize(
    "handler",
    [
        says(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\nX-Key: %s\r\n\r\n" % (len(BODY), KEY.encode()) + BODY
        ),
        says(b""),
        says(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        partial(cloud, act=lambda ours: ours.error("ih2001")),
        partial(cloud, act=lambda ours: ours.websocket.aclose(4003, KEY)),
    ],
)
async def test_the_key_is_nowhere_in_an_error(handler: Handler) -> None:
    """Neither text nor cause nor the local values of any frame below run_session hold the key."""
    with pytest.raises(Outage) as caught:
        await attempt_at(handler)
    told = told_by(caught.value)
    assert "run_session" in told
    for form in (KEY, base64.b64encode(KEY.encode()).decode(), "do-not-print"):
        assert form not in told


async def test_the_key_is_in_no_event() -> None:
    """A cloud that repeats the key in its messages does not get it onto a topic."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.say("error", {"code": "ih2001", "message": f"{KEY} is revoked"})
        await ours.hear_until_close()
        await ours.end()

    tape = Tape()
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, partial(cloud, act=act))
        with pytest.raises(Refused, match=r"\*\*\* is revoked"):
            await attempt(Server(f"ws://127.0.0.1:{port}/v2"), tape=tape, film=Film())
        nursery.cancel_scope.cancel()
    assert "***" in str(tape.events)
    assert KEY not in str(tape.events)


def test_the_key_does_not_print() -> None:
    """The key's wrapper and its header show nothing; an empty key hides nothing."""
    key = Key(KEY)
    assert KEY not in f"{key} {key!r} {key.header()!r} {[key.header()]}"
    assert bytes(key.header()).endswith(KEY.encode())
    assert Key("").hide("as it is") == "as it is"
