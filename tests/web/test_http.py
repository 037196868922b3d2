"""A request that breaks off, dawdles, or meets a disk that hangs gets an answer, and is no bug."""

from typing import Any

import pytest
import trio
from starlette.requests import Request
from starlette.types import Message

from interhuman2mqtt.web.http import BODY_S, RequestError, answer_error, read_json


def request(*messages: Message) -> Request:
    """One of which these parts come, and then nothing for ever."""
    coming = iter(messages)

    async def receive() -> Message:
        await trio.lowlevel.checkpoint()
        if (message := next(coming, None)) is None:
            await trio.sleep_forever()
        assert message is not None
        return message

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


PART: Message = {"type": "http.request", "body": b"{", "more_body": True}


@pytest.mark.parametrize(
    ("coming", "status"),
    [((PART, {"type": "http.disconnect"}), 400), ((PART,), 408), ((PART,) * 5000, 413)],
    ids=["broken off", "slow", "too large"],
)
async def test_a_body_that_does_not_come(coming: tuple[Message, ...], status: int, autojump_clock: Any) -> None:
    """It is refused within its time, and is no bug: phones lose their line, and some people hold connections."""
    with pytest.raises(RequestError) as refused:
        await read_json(request(*coming))
    assert refused.value.status == status
    assert trio.current_time() <= BODY_S


async def test_a_disk_that_hangs_is_said() -> None:
    """A call that the disk does not answer is a sentence for people."""
    answer = await answer_error(request(), OSError(110, "no answer within 30 s"))
    assert answer.status_code == 503
    assert b"no answer within 30 s" in answer.body
