"""How sessions end: by the cloud, by errors, by the network; in memory and on trio's mock clock."""

import pytest
import trio
from trio.testing import MockClock

from cloud.played import (
    CORRELATION,
    EPOCH,
    Cloud,
    EndlessFilm,
    Film,
    Tape,
    chunk,
    converse,
)
from interhuman2mqtt.cloud.session_types import Anomaly, EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.events import MediaChunk

WISHES = SessionOptions(include=("conversation_quality_overall",), model="inter-2")


async def test_a_cloud_that_never_gets_ready(autojump_clock: MockClock) -> None:
    """Without session.ready the attempt ends after a stated time, and says what was missing."""

    async def act(cloud: Cloud) -> None:
        await cloud.receive()

    with pytest.raises(Outage, match=r"sent no session\.ready in 20 s") as caught:
        await converse(act, Film(), Tape())
    assert caught.value.reason is Reason.PROTOCOL


@pytest.mark.parametrize("kinds", [["session.closing", "session.ended"], ["session.ended"], ["session.closing"]])
async def test_the_cloud_ends_the_session_by_itself(autojump_clock: MockClock, kinds: list[str]) -> None:
    """An unasked graceful end is a normal one, and is not answered with session.close."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready()
        await cloud.receive()
        for kind in kinds:
            await cloud.send_message(kind)

    end = await converse(act, Film([chunk(0)]), Tape())
    assert end == SessionEnd(EndCause.SERVER_ENDED, drained="session.ended" in kinds)
    assert clouds[0].texts == []


@pytest.mark.parametrize("code", ["ih6003", "ih6004"])
async def test_session_limits_are_normal_ends(autojump_clock: MockClock, code: str) -> None:
    """The idle limit and the maximum duration, reported as errors, are no failures."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.error(code)
        await cloud.websocket.aclose(1008)

    tape = Tape()
    assert await converse(act, Film(), tape) == SessionEnd(EndCause.SERVER_ENDED, drained=False)
    assert tape.events[-1].data["code"] == code


async def test_a_normal_close_is_a_normal_end(autojump_clock: MockClock) -> None:
    """A close with code 1000 in a running session means no more than its end."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()

    assert await converse(act, Film(), Tape()) == SessionEnd(EndCause.SERVER_ENDED, drained=False)


@pytest.mark.parametrize(
    ("code", "close", "kind", "reason"),
    [
        ("ih2003", 4003, Refused, Reason.SCOPE_MISSING),
        ("ih1003", 1013, Overloaded, Reason.MODEL_UNAVAILABLE),
        ("ih4005", 1008, Refused, Reason.BAD_REQUEST),
        ("ih3002", 1001, Overloaded, Reason.CONCURRENCY_LIMIT),
        ("ih3003", None, Refused, Reason.QUOTA_EXHAUSTED),
        ("ih9999", None, Outage, Reason.CLOUD_ERROR),
        (None, 4003, Refused, Reason.SCOPE_MISSING),
        (None, 1000, Outage, Reason.PROTOCOL),
    ],
)
async def test_refusals_after_the_upgrade(
    autojump_clock: MockClock, code: str | None, close: int | None, kind: type[Outage], reason: Reason
) -> None:
    """What comes instead of session.ready says why the session is refused; its error is an event too."""

    async def act(cloud: Cloud) -> None:
        if code is not None:
            await cloud.error(code)
        if close is None:
            await trio.sleep_forever()
        else:
            await cloud.websocket.aclose(close)

    tape = Tape()
    with pytest.raises(Outage) as caught:
        await converse(act, Film(), tape)
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert tape.types == (["error"] if code else [])
    assert tape.limits is None


async def test_an_error_that_ends_the_session_though_the_connection_stays(autojump_clock: MockClock) -> None:
    """Media that cannot be read: the session drains, so that nothing is lost, and then fails with the reason."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready()
        await cloud.receive()
        await cloud.error("ih5004")
        await cloud.hear_until_close()
        await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 0.0})
        await cloud.end()

    tape = Tape()
    with pytest.raises(Outage, match="ih5004: what ih5004 means") as caught:
        await converse(act, EndlessFilm(), tape)
    assert caught.value.reason is Reason.MEDIA_REJECTED
    assert len(clouds[0].media) <= 2
    assert tape.types[-3:] == ["session.closing", "session.ended", "signal.ended"]


async def test_errors_that_the_session_survives(autojump_clock: MockClock) -> None:
    """A refused config and a refused change of model end nothing, and explain no later end."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.error("ih6001")
        await cloud.error("ih2003")
        await cloud.receive()
        await cloud.websocket.aclose(1011)

    tape = Tape()
    with pytest.raises(Outage) as caught:
        await converse(act, EndlessFilm(), tape, wishes=WISHES)
    assert type(caught.value) is Outage
    assert caught.value.reason is Reason.CLOUD_ERROR
    assert len(tape.chunks) >= 1


@pytest.mark.parametrize(("later", "reason"), [(5.0, Reason.RATE_LIMITED), (40.0, Reason.CLOUD_ERROR)])
async def test_an_error_explains_the_end_that_follows_it_soon(
    autojump_clock: MockClock, later: float, reason: Reason
) -> None:
    """An error decides over the close code, unless it is an old story."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.error("ih3001")
        with trio.move_on_after(later):
            while True:
                await cloud.receive()
        await cloud.websocket.aclose(1011)

    with pytest.raises(Outage) as caught:
        await converse(act, EndlessFilm(), Tape())
    assert caught.value.reason is reason


async def test_events_before_a_broken_send_are_kept(autojump_clock: MockClock) -> None:
    """The events and the error that came before the connection broke are read, though a send has failed by then."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        for number in range(20):
            await cloud.send_message("feedback.generated", {"feedback": f"advice {number}"})
        await cloud.error("ih3003")
        await trio.aclose_forcefully(cloud.websocket._stream)

    tape = Tape()
    with pytest.raises(Refused, match="ih3003"):
        await converse(act, Film([chunk(number) for number in range(50)]), tape)
    assert tape.types.count("feedback.generated") == 20
    assert tape.types[-1] == "error"


async def test_a_connection_that_breaks(autojump_clock: MockClock) -> None:
    """A connection that ends without a word is an outage, and signals that were active get an end."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 0.5})
        await cloud.receive()
        await trio.aclose_forcefully(cloud.websocket._stream)

    tape = Tape()
    with pytest.raises(Outage) as caught:
        await converse(act, EndlessFilm(), tape)
    assert caught.value.reason is Reason.CONNECTION_LOST
    last = tape.events[-1]
    assert (last.type, last.synthetic, last.correlation_id) == ("signal.ended", True, CORRELATION)
    assert last.data == {"signal_type": "stress", "end": tape.chunks[-1].media_end}
    assert last.start_at is not None
    assert (last.start_at - EPOCH).total_seconds() == 0.5


async def test_a_cloud_that_does_not_finish(autojump_clock: MockClock) -> None:
    """The drain is bounded by what session.closing says; the end is ours all the same."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.hear_until_close()
        await cloud.send_message("session.closing", {"max_drain_seconds": 5})
        await cloud.receive()

    tape = Tape()
    began = autojump_clock.current_time()
    assert await converse(act, Film([chunk(0, last=True)]), tape) == SessionEnd(EndCause.FINISHED, drained=False)
    assert autojump_clock.current_time() - began == pytest.approx(7, abs=0.1)
    assert [anomaly for anomaly, _ in tape.anomalies] == [Anomaly.NOT_DRAINED]


async def test_a_bug_in_the_recording_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    """An error that is not an outage is not dressed up as one, and needs no group to travel in."""

    class Broken(Film):
        async def next_chunk(self) -> MediaChunk:
            raise ZeroDivisionError("a bug")

    tape = Tape()
    with pytest.raises(ZeroDivisionError):
        await converse(Cloud.serve, Broken(), tape)


async def test_an_error_before_ready_that_was_no_refusal(autojump_clock: MockClock) -> None:
    """Should the session get ready after all, it runs."""

    async def act(cloud: Cloud) -> None:
        await cloud.error("ih1001")
        await cloud.serve()

    end = await converse(act, Film([chunk(0), chunk(1, last=True)], every=10.0), Tape())
    assert end == SessionEnd(EndCause.FINISHED, drained=True)


async def test_an_error_in_place_of_the_configs_answer(autojump_clock: MockClock) -> None:
    """An exhausted quota that is reported right after the opening ends the session before any media is sent."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready()
        await cloud.receive()
        await cloud.error("ih3003")
        await cloud.hear_until_close()
        await cloud.end()

    began = autojump_clock.current_time()
    with pytest.raises(Refused, match="ih3003"):
        await converse(act, EndlessFilm(), Tape(), wishes=WISHES)
    assert clouds[0].media == []
    assert autojump_clock.current_time() == began


async def test_an_end_before_ready_is_a_failure(autojump_clock: MockClock) -> None:
    """A cloud that ends in good order what it never opened would be asked again at once, for ever."""

    async def act(cloud: Cloud) -> None:
        await cloud.send_message("session.ended", {"reason": "maintenance"})

    with pytest.raises(Outage) as caught:
        await converse(act, Film(), Tape())
    assert caught.value.reason is Reason.PROTOCOL
