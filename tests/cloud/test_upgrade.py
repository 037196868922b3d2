"""Answers to the upgrade that are no upgrade."""

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from cloud.listening import BODY, attempt_at, says
from cloud.played import KEY, SERVER, Cloud, Film, Tape, chunk, interpreter, play
from interhuman2mqtt.cloud.http import HostPort, NotHttpError, read_answer
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused


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
            Reason.PROTOCOL,
            "did not answer as a WebSocket",
        ),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgr\xe9de\r\n\r\n",
            Outage,
            Reason.PROTOCOL,
            "what the cloud sent cannot be read: 'ascii' codec can't decode",
        ),
    ],
)
async def test_refusals_of_the_upgrade(reply: bytes, kind: type[Outage], reason: Reason, said: str) -> None:
    """Status and body of any answer are read, however HTTP ends them; what is no answer is reported as such."""
    with pytest.raises(Outage) as caught:
        await attempt_at(says(reply))
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert said in str(caught.value)


async def test_retry_after_of_a_refusal() -> None:
    """What the cloud asks us to wait comes with the outage."""
    with pytest.raises(Overloaded) as caught:
        await attempt_at(says(b"HTTP/1.1 429 Too Many\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n"))
    assert caught.value.retry_after == 90.0


class Cut(trio.abc.ReceiveStream):
    """A stream that is reset after its first bytes."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - trio's name for it
        await trio.lowlevel.checkpoint()
        if not self._pieces:
            raise trio.BrokenResourceError
        return self._pieces.pop(0)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_an_answer_that_is_cut_by_a_reset() -> None:
    """The status counts, though the connection is reset before the body has come; without one there is no answer."""
    answer = await read_answer(Cut(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99\r\n\r\n", b"Inv"), method="GET")
    assert (answer.status, answer.body) == (401, b"Inv")
    with pytest.raises(NotHttpError, match="nothing came back"):
        await read_answer(Cut(), method="GET")


async def test_hints_before_the_upgrade(autojump_clock: MockClock) -> None:
    """Informational answers before the real one are passed over."""

    async def act(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await play(stream, Cloud.serve)

    async with trio.open_nursery() as nursery:

        async def way(address: HostPort) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = memory_stream_pair()
            nursery.start_soon(act, theirs)
            return ours

        film = Film([chunk(0, last=True)])
        end = await run_session(SERVER, KEY, SessionOptions(), film, mapper=interpreter(), observer=Tape(), dial=way)
        nursery.cancel_scope.cancel()
    assert end == SessionEnd(EndCause.FINISHED, drained=True)
