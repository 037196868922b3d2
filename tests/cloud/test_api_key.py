"""The API key is told to the cloud, and to nobody else."""

import base64
from functools import partial

import pytest
import trio

from cloud.listening import (
    BODY,
    Handler,
    attempt,
    attempt_at,
    cloud,
    listen,
    says,
    sentence_of,
)
from cloud.played import KEY, Cloud, Film, Tape
from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.errors import Outage, Refused


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
    told = sentence_of(caught.value)
    assert "run_session" in told
    for form in (KEY, base64.b64encode(KEY.encode()).decode(), "do-not-print"):
        assert form not in told


async def test_the_key_is_in_no_event() -> None:
    """A cloud that repeats the key in its messages does not get it onto a topic."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.send_message("error", {"code": "ih2001", "message": f"{KEY} is revoked"})
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
    """The key's wrapper and its header show nothing."""
    key = ApiKey(KEY)
    assert KEY not in f"{key} {key!r} {key.header()!r} {[key.header()]}"
    assert bytes(key.header()).endswith(KEY.encode())
