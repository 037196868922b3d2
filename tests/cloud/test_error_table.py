"""The table of recoveries, walked through as a whole."""

from datetime import UTC, datetime, timedelta

import pytest
from trio.testing import MockClock

from cloud.played import Cloud, EndlessFilm, Film, Tape, converse
from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.error_table import Reaction
from interhuman2mqtt.cloud.session_types import EndCause
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

W, K, C, R = Reaction.WATCH, Reaction.KEEP, Reaction.CLOSE, Reaction.ROTATE

# What is documented or was observed, and what we make of it: https://docs.interhuman.ai, error handling.
ERRORS = [
    ("ih1001", Outage, Reason.CLOUD_ERROR, W),
    ("ih1002", Overloaded, Reason.CLOUD_ERROR, W),
    ("ih1003", Overloaded, Reason.MODEL_UNAVAILABLE, W),
    ("ih1004", Outage, Reason.CLOUD_ERROR, W),
    ("ih2001", Refused, Reason.UNAUTHORIZED, C),
    ("ih2002", Refused, Reason.UNAUTHORIZED, C),
    ("ih2003", Refused, Reason.SCOPE_MISSING, K),
    ("ih2005", Refused, Reason.UNAUTHORIZED, C),
    ("ih2010", Refused, Reason.TOKEN_EXPIRED, C),
    ("ih2011", Refused, Reason.TOKEN_EXPIRED, C),
    ("ih2014", Refused, Reason.TOKEN_EXPIRED, C),
    ("ih3001", Overloaded, Reason.RATE_LIMITED, W),
    ("ih3002", Overloaded, Reason.CONCURRENCY_LIMIT, W),
    ("ih3003", Refused, Reason.QUOTA_EXHAUSTED, C),
    ("ih3006", Refused, Reason.QUOTA_EXHAUSTED, C),
    ("ih4001", Outage, Reason.PROTOCOL, W),
    ("ih4002", Outage, Reason.MEDIA_REJECTED, C),
    ("ih4003", Outage, Reason.MEDIA_REJECTED, C),
    ("ih4004", Outage, Reason.MEDIA_REJECTED, W),
    ("ih4005", Refused, Reason.BAD_REQUEST, C),
    ("ih4007", Outage, Reason.MEDIA_REJECTED, W),
    ("ih4021", Outage, Reason.PROTOCOL, W),
    ("ih5001", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5002", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5003", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5004", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5005", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5006", Outage, Reason.MEDIA_REJECTED, W),
    ("ih5007", Outage, Reason.MEDIA_REJECTED, C),
    ("ih5008", Refused, Reason.MEDIA_REJECTED, C),
    ("ih6001", Outage, Reason.PROTOCOL, K),
    ("ih6002", Outage, Reason.MEDIA_REJECTED, C),
    ("ih6003", Outage, Reason.SESSION_LIMIT, R),
    ("ih6004", Outage, Reason.SESSION_LIMIT, R),
    ("ih9999", Outage, Reason.CLOUD_ERROR, W),
]

CLOSE_CODES = [
    (1000, Outage, Reason.SESSION_LIMIT),
    (1001, Outage, Reason.CLOUD_ERROR),
    (1002, Outage, Reason.PROTOCOL),
    (1003, Outage, Reason.PROTOCOL),
    (1005, Outage, Reason.CONNECTION_LOST),
    (1006, Outage, Reason.CONNECTION_LOST),
    (1007, Outage, Reason.PROTOCOL),
    (1008, Outage, Reason.PROTOCOL),
    (1009, Outage, Reason.MEDIA_REJECTED),
    (1011, Outage, Reason.CLOUD_ERROR),
    (1012, Outage, Reason.CLOUD_ERROR),
    (1013, Overloaded, Reason.MODEL_UNAVAILABLE),
    (4003, Refused, Reason.SCOPE_MISSING),
    (4711, Outage, Reason.CLOUD_ERROR),
]

STATUSES = [
    (200, Outage, Reason.PROTOCOL),
    (302, Outage, Reason.PROTOCOL),
    (400, Refused, Reason.BAD_REQUEST),
    (401, Refused, Reason.UNAUTHORIZED),
    (403, Refused, Reason.SCOPE_MISSING),
    (404, Refused, Reason.BAD_REQUEST),
    (408, Outage, Reason.CLOUD_ERROR),
    (418, Refused, Reason.BAD_REQUEST),
    (429, Overloaded, Reason.RATE_LIMITED),
    (500, Outage, Reason.CLOUD_ERROR),
    (502, Outage, Reason.CLOUD_ERROR),
    (503, Overloaded, Reason.CLOUD_ERROR),
]


def test_the_walk_covers_the_table() -> None:
    """No row of the table is left out of the tests below."""
    assert {code for code, *_ in ERRORS} - {"ih9999"} == error_table.ERRORS.keys()
    assert {code for code, *_ in CLOSE_CODES} - {4711} == error_table.CLOSE_CODES.keys()
    assert {status for status, *_ in STATUSES} >= error_table.STATUSES.keys()


@pytest.mark.parametrize(("code", "kind", "reason", "reaction"), ERRORS)
def test_error_ids(code: str, kind: type[Outage], reason: Reason, reaction: Reaction) -> None:
    """Each error id has its class, reason and reaction; before the session is ready all of them refuse it."""
    rule = error_table.of_error(code, ready=True)
    assert (rule.outcome, rule.reason, rule.reaction) == (kind, reason, reaction)
    early = error_table.of_error(code, ready=False)
    assert (early.outcome, early.reason, early.reaction) == (kind, reason, Reaction.WATCH)


@pytest.mark.parametrize(("code", "kind", "reason", "reaction"), ERRORS)
async def test_error_ids_before_ready_in_a_session(
    autojump_clock: MockClock, code: str, kind: type[Outage], reason: Reason, reaction: Reaction
) -> None:
    """An error in place of session.ready fails the session by its row, whatever the close code says."""

    async def act(cloud: Cloud) -> None:
        await cloud.error(code)
        await cloud.websocket.aclose(1011)

    with pytest.raises(Outage, match=code) as caught:
        await converse(act, Film(), Tape())
    assert (type(caught.value), caught.value.reason) == (kind, reason)


@pytest.mark.parametrize(("code", "kind", "reason", "reaction"), ERRORS)
async def test_error_ids_in_a_running_session(
    autojump_clock: MockClock, code: str, kind: type[Outage], reason: Reason, reaction: Reaction
) -> None:
    """An error in a session that runs ends it, or not, by its row."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.error(code)
        if reaction is Reaction.CLOSE:
            await cloud.hear_until_close()
            await cloud.end()
        else:
            await cloud.receive()
            await cloud.websocket.aclose(1013)

    session = converse(act, EndlessFilm(), Tape())
    if reaction is Reaction.ROTATE:
        end = await session
        assert end.cause is EndCause.SERVER_ENDED
        return
    with pytest.raises(Outage) as caught:
        await session
    expected = (Overloaded, Reason.MODEL_UNAVAILABLE) if reaction is Reaction.KEEP else (kind, reason)
    assert (type(caught.value), caught.value.reason) == expected


@pytest.mark.parametrize(("code", "kind", "reason"), CLOSE_CODES)
def test_close_codes(code: int, kind: type[Outage], reason: Reason) -> None:
    """Each close code of a running session has its class and reason."""
    rule = error_table.of_close(code, ready=True)
    assert (rule.outcome, rule.reason) == (kind, reason)
    assert (rule.reaction is Reaction.ROTATE) == (code == 1000)


def test_close_codes_before_ready() -> None:
    """Two close codes mean something else as long as there was no session."""
    assert error_table.of_close(1000, ready=False).reason is Reason.PROTOCOL
    policy = error_table.of_close(1008, ready=False)
    assert (policy.outcome, policy.reason) == (Refused, Reason.BAD_REQUEST)


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
def test_http_statuses(status: int, kind: type[Outage], reason: Reason) -> None:
    """Each HTTP status has its class and reason, and is named in the sentence."""
    outage = error_table.refusal(status, {}, b"<html>no JSON here</html>", NOW)
    assert (type(outage), outage.reason) == (kind, reason)
    assert f"HTTP {status}" in str(outage)


def test_the_error_id_in_a_body_decides() -> None:
    """The body's error id beats the status, and its message ends the sentence."""
    body = b'{"error_id":"ih3002","correlation_id":"x","link":"https://x","message":"two\\n sessions are open"}'
    outage = error_table.refusal(429, {"retry-after": "17"}, body, NOW)
    assert type(outage) is Overloaded
    assert outage.reason is Reason.CONCURRENCY_LIMIT
    assert outage.retry_after == 17.0
    assert str(outage).endswith("(HTTP 429: ih3002: two sessions are open)")


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, b'{"error_id": 7}', b'{"error_id": "ih0000"}'])
def test_bodies_that_do_not_help(body: bytes) -> None:
    """A body that is not the documented JSON leaves the status to decide."""
    assert error_table.refusal(401, {}, body, NOW).reason is Reason.UNAUTHORIZED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 400, 86400.0),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Sun, 22 Nov 2026 10:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 10:01:00 -0000", 60.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2036 09:00:00 GMT", 86400.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds and dates are understood, nonsense is no advice, and a day is the most that is waited."""
    assert error_table.retry_after(value, NOW) == seconds


@pytest.mark.parametrize("off", [timedelta(days=20_000), timedelta(hours=-1), timedelta(hours=1)])
def test_a_date_is_by_the_clock_of_who_gave_it(off: timedelta) -> None:
    """A box whose clock is not set waits as long as it was told to, where the answer says when it was given."""
    headers = {"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}
    assert error_table.refusal(503, headers, b"", NOW - off).retry_after == 30.0
    headers["date"] = "yesterday"
    assert error_table.refusal(503, headers, b"", NOW).retry_after == 30.0


def test_long_messages_are_cut() -> None:
    """A server that writes a novel does not fill a status topic."""
    outage = error_table.of_error("ih1001", ready=True).exception(error_table.phrase("ih1001", "x" * 100_000))
    assert len(str(outage)) < 400


def test_a_rule_without_words_of_the_cloud() -> None:
    """A sentence stands by itself where the cloud said nothing."""
    assert str(error_table.of_close(1006, ready=True).exception()) == "the connection to the cloud broke"
