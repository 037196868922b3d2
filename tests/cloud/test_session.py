"""Whole sessions against a cloud that the test plays, in memory and on trio's mock clock."""

from typing import NamedTuple

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from cloud.played import SESSION, Cloud, EndlessFilm, Film, Tape, chunk, converse, frame
from interhuman2mqtt.cloud.session_types import Anomaly, EndCause, SessionEnd, SessionLimits, SessionOptions
from interhuman2mqtt.errors import Outage, Reason

WISHES = SessionOptions(include=("conversation_quality_overall",), model="inter-2")


async def test_a_session_from_open_to_ended(autojump_clock: MockClock) -> None:
    """Ready, config, media, close, drain: each in its order, and every message is an event."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready()
        await cloud.receive()
        await cloud.send_message("session.updated", {"include": ["conversation_quality_overall"], "model": "inter-2"})
        await cloud.receive()
        await cloud.send_message("signal.detected", {"signal_type": "interest", "start": 0.5})
        await cloud.hear_until_close()
        await cloud.send_message("session.closing", {"max_drain_seconds": 30})
        await cloud.send_message("signal.ended", {"signal_type": "interest", "end": 3.5})
        await cloud.send_message("session.ended", {"reason": "client_shutdown"})

    tape = Tape()
    end = await converse(act, Film([chunk(0), chunk(1, last=True)]), tape, wishes=WISHES)
    [cloud] = clouds
    assert end == SessionEnd(EndCause.FINISHED, drained=True)
    assert cloud.path == "/v2/stream/analyze?model=inter-2"
    assert cloud.headers[b"x-client-request-id"] == SESSION.encode()
    assert cloud.headers[b"authorization"].startswith(b"Bearer ih_live_")
    assert b"sec-websocket-extensions" not in cloud.headers
    assert cloud.texts == [
        {"include": ["conversation_quality_overall"], "model": "inter-2"},
        {"type": "session.close"},
    ]
    assert cloud.media == [b"media 0", b"media 1"]
    assert tape.limits == SessionLimits(options=tape.limits.options if tape.limits else {})
    assert [sent.media_start for sent in tape.chunks] == [0.0, 2.0]
    assert tape.types == [
        "session.ready",
        "session.updated",
        "signal.detected",
        "session.closing",
        "signal.ended",
        "session.ended",
    ]
    assert [event.id.rpartition("/")[2] for event in tape.events] == ["1", "2", "3", "4", "5", "6"]
    assert tape.anomalies == []


async def test_nothing_is_sent_before_ready(autojump_clock: MockClock) -> None:
    """A connection is not a session: until session.ready neither config nor media goes out."""

    async def act(cloud: Cloud) -> None:
        with trio.move_on_after(10):
            await cloud.receive()
        assert cloud.texts == []
        assert cloud.media == []
        await cloud.serve()

    tape = Tape()
    assert await converse(act, Film([chunk(0, last=True)]), tape) == SessionEnd(EndCause.FINISHED, drained=True)
    assert len(tape.chunks) == 1


async def test_rotation_before_the_maximum(autojump_clock: MockClock) -> None:
    """The recording is finished before session_max_duration_seconds, and its last chunk is the session's."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready(session_max_duration_seconds=600)
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    began = autojump_clock.current_time()
    end = await converse(act, EndlessFilm(), tape)
    assert end == SessionEnd(EndCause.ROTATED, drained=True)
    assert 478 <= autojump_clock.current_time() - began <= 545
    assert tape.chunks[-1].last


async def test_a_session_is_given_back_when_no_media_comes(autojump_clock: MockClock) -> None:
    """A camera without media holds no session open: after half the idle limit, at most a minute, it ends gracefully."""
    for idle, patience in ((300, 60.0), (40, 20.0)):

        async def act(cloud: Cloud, idle: int = idle) -> None:
            await cloud.ready(session_idle_timeout_seconds=idle)
            await cloud.hear_until_close()
            await cloud.end()

        began = autojump_clock.current_time()
        assert await converse(act, Film([chunk(0)]), Tape()) == SessionEnd(EndCause.NO_MEDIA, drained=True)
        assert autojump_clock.current_time() - began == pytest.approx(patience, abs=0.1)


async def test_the_capture_ends(autojump_clock: MockClock) -> None:
    """When the capture fails, the session drains, and returns what the capture said."""
    unplugged = Outage(Reason.NOT_FOUND, "no such device: /dev/video0")
    end = await converse(Cloud.serve, Film([chunk(0)], then=unplugged), Tape())
    assert end == SessionEnd(EndCause.CAPTURE_ENDED, drained=True, capture=unplugged)


async def test_a_last_chunk_without_media_is_not_sent(autojump_clock: MockClock) -> None:
    """An empty last chunk only ends the recording."""
    tape = Tape()
    end = await converse(Cloud.serve, Film([chunk(0), chunk(1, last=True, payload=b"")]), tape)
    assert end.cause is EndCause.FINISHED
    assert len(tape.chunks) == 1


async def test_pongs_prove_delivery(autojump_clock: MockClock) -> None:
    """Each chunk is followed by a ping, whose pong is reported with its round trip."""
    tape = Tape()
    await converse(Cloud.serve, Film([chunk(0), chunk(1, last=True)], every=1.0), tape)
    assert [(proven.media_start, trip) for proven, trip in tape.proven] == [(0.0, 0.0), (2.0, 0.0)]


async def test_a_cloud_that_does_not_read(autojump_clock: MockClock) -> None:
    """A send that does not move for a stated time is an outage; synthetic ends come all the same."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 0.0})
        await cloud.receive()
        await cloud.receive()

    tape = Tape()
    with pytest.raises(Outage, match="did not move for 30 s") as caught:
        await converse(act, Film([chunk(0), chunk(1)], every=1.0), tape, sends=3)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert tape.events[-1].synthetic is True


async def test_a_cloud_that_answers_no_ping(autojump_clock: MockClock) -> None:
    """A connection on which no pong comes back is dead after a stated time, though sends still succeed."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        while True:
            await cloud.receive()

    with pytest.raises(Outage, match="no answer to a ping in 60 s") as caught:
        await converse(act, EndlessFilm(), Tape(), answers=2)
    assert caught.value.reason is Reason.CONNECTION_LOST


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"max_segment_size_bytes": 3}, "7 bytes is above the cloud's limit of 3"),
        ({"max_segment_duration_seconds": 1.5}, "2.0 s is above the cloud's limit of 1.5 s"),
        ({"min_segment_size_bytes": 8}, "7 bytes is below the cloud's least of 8"),
    ],
)
async def test_a_chunk_beyond_the_limits_is_not_sent(
    autojump_clock: MockClock, changes: dict[str, float], match: str
) -> None:
    """What the cloud would refuse stays here; the session ends gracefully and says what to change."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready(**changes)
        await cloud.hear_until_close()
        await cloud.end()

    with pytest.raises(Outage, match=match) as caught:
        await converse(act, Film([chunk(0)]), Tape())
    assert caught.value.reason is Reason.MEDIA_REJECTED
    assert clouds[0].media == []


async def test_what_the_config_leaves_out_and_what_the_cloud_makes_of_it(autojump_clock: MockClock) -> None:
    """Only what is offered is asked for, and every difference is reported."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.send_message("session.updated", {"include": [], "goal_dimensions": None, "model": "inter-2-audio"})
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    wishes = SessionOptions(
        include=("conversation_quality_overall", "nonsense"), goal_dimensions=("energy",), model="inter-2"
    )
    await converse(act, Film([chunk(0, last=True)]), tape, wishes=wishes)
    assert tape.anomalies == [
        (Anomaly.LEFT_OUT, "include: nonsense"),
        (Anomaly.LEFT_OUT, "goal_dimensions: energy"),
        (Anomaly.CONFIG_DIFFERS, "include: asked for conversation_quality_overall, got nothing"),
        (Anomaly.CONFIG_DIFFERS, "model: asked for inter-2, got inter-2-audio"),
    ]


async def test_a_config_that_is_not_answered(autojump_clock: MockClock) -> None:
    """A cloud that does not acknowledge the config gets its media all the same, and that is reported."""
    tape = Tape()
    end = await converse(Cloud.serve, Film([chunk(0, last=True)]), tape, wishes=WISHES)
    assert end == SessionEnd(EndCause.FINISHED, drained=True)
    assert tape.anomalies == [(Anomaly.CONFIG_UNANSWERED, "no session.updated in 10 s")]


LISTENING = SessionOptions(model="inter-2-audio", audio_only=True)
SAMPLES = structs.replace(LISTENING, pcm_rate=16_000)


async def test_samples_are_sent_once_they_are_declared(autojump_clock: MockClock) -> None:
    """Sent before `session.updated` they would be taken for a container."""
    sent_before: list[int] = []

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        with trio.move_on_after(5):
            await cloud.receive()
        sent_before.append(len(cloud.media))
        await cloud.send_message("session.updated", {"include": [], "goal_dimensions": None, "model": "inter-2-audio"})
        await cloud.hear_until_close()
        assert cloud.texts[0]["audio_format"] == {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
        await cloud.end()

    tape = Tape()
    await converse(act, Film([chunk(0, last=True)]), tape, wishes=SAMPLES)
    assert (sent_before, len(tape.chunks), tape.anomalies) == ([0], 1, [])


class Taken(NamedTuple):
    """What a cloud offers and makes of a config for audio alone, and what then becomes of the session."""

    wishes: SessionOptions
    offered: str
    updated: str | None
    reason: Reason
    sentence: str


UNDECLARED = "has not taken the config that declares the audio as PCM"


@pytest.mark.parametrize(
    "case",
    [
        Taken(LISTENING, "inter-2", None, Reason.BAD_REQUEST, "offers this API key inter-2"),
        Taken(LISTENING, "inter-2-audio", "inter-2", Reason.BAD_REQUEST, "has set inter-2"),
        Taken(SAMPLES, "inter-2-audio", None, Reason.PROTOCOL, UNDECLARED),
    ],
    ids=["not offered", "another set", "samples undeclared"],
)
async def test_audio_that_would_be_taken_for_something_else_is_not_sent(case: Taken, autojump_clock: MockClock) -> None:
    """The session ends before its first chunk, with what the cloud offers or has made of the config."""
    clouds: list[Cloud] = []

    async def act(cloud: Cloud) -> None:
        clouds.append(cloud)
        await cloud.ready(supported_session_config_options={"model": [case.offered]})
        while True:
            await cloud.receive()
            if case.updated:
                await cloud.send_message("session.updated", {"model": case.updated})

    with pytest.raises(Outage, match=case.sentence) as caught:
        await converse(act, Film([chunk(0)]), Tape(), wishes=case.wishes)
    assert caught.value.reason is case.reason
    assert clouds[0].media == []


async def test_malformed_frames_end_nothing(autojump_clock: MockClock) -> None:
    """Frames that are no messages are counted, and the events around them arrive."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        for rubbish in ("{", b"\x00", '{"type":"signal.detected","data":{"signal_type":7,"start":1}}', "[" * 9000):
            await cloud.websocket.send_message(rubbish)
        await cloud.send_message("signal.ended", {"signal_type": "stress", "end": 1.0})
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    await converse(act, Film([chunk(0, last=True)], every=1.0), tape)
    assert [anomaly for anomaly, _ in tape.anomalies] == [Anomaly.MALFORMED] * 4
    assert "signal.ended" in tape.types


async def test_a_signal_that_is_detected_twice(autojump_clock: MockClock) -> None:
    """The first is closed where the second starts, and the anomaly is reported."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 0.25})
        await cloud.send_message("signal.detected", {"signal_type": "stress", "start": 1.25})
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    await converse(act, Film([chunk(0), chunk(1, last=True)], every=1.0), tape)
    ends = [event for event in tape.events if event.type == "signal.ended"]
    assert [(event.synthetic, event.data["end"]) for event in ends] == [(True, 1.25), (True, 4.0)]
    assert [anomaly for anomaly, _ in tape.anomalies] == [Anomaly.OVERLAP]


async def test_unknown_messages_are_events(autojump_clock: MockClock) -> None:
    """What the API adds later arrives with its fields untouched."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.websocket.send_message(frame("mood.changed", {"start": 0.5, "depth": {"of": ["it"]}}))
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    await converse(act, Film([chunk(0, last=True)], every=1.0), tape)
    [mood] = [event for event in tape.events if event.type == "mood.changed"]
    assert mood.data == {"start": 0.5, "depth": {"of": ["it"]}}


async def test_a_second_ready_changes_nothing(autojump_clock: MockClock) -> None:
    """Only the first session.ready sets the limits."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.ready(max_segment_size_bytes=1)
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    await converse(act, Film([chunk(0, last=True)], every=1.0), tape)
    assert tape.types.count("session.ready") == 2
    assert tape.limits is not None
    assert tape.limits.max_segment_size == 32 << 20


async def test_a_recording_that_has_ended_is_not_finished_again(autojump_clock: MockClock) -> None:
    """The time to rotate may come while the session drains: then there is nothing to rotate."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready(session_max_duration_seconds=50)
        await cloud.hear_until_close()
        await cloud.send_message("session.closing", {"max_drain_seconds": 100})
        await trio.sleep(60)
        await cloud.send_message("session.ended")

    film = Film([chunk(0, last=True)])
    assert await converse(act, film, Tape()) == SessionEnd(EndCause.FINISHED, drained=True)
    assert film.finished == 0


@pytest.mark.parametrize(("asked", "given"), [(121, 120), (10**9, 120), (10**30, 30)])
async def test_a_drain_of_any_length_is_bounded(autojump_clock: MockClock, asked: float, given: float) -> None:
    """However long the cloud wants to drain, two minutes are the most that it gets; nonsense is as if it named none."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.hear_until_close()
        await cloud.send_message("session.closing", {"max_drain_seconds": asked})
        await cloud.receive()

    began = autojump_clock.current_time()
    assert await converse(act, Film([chunk(0, last=True)]), Tape()) == SessionEnd(EndCause.FINISHED, drained=False)
    assert autojump_clock.current_time() - began == pytest.approx(given, abs=0.1)
