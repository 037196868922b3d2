"""What the analysis says and when, fed with reports by hand; the vendor's models judge the shapes."""

import json
from typing import Any

import pytest
from interhumanai.stream import parse_stream_event

from interhuman2mqtt.simulator import messages
from interhuman2mqtt.simulator.analysis import Analysis
from interhuman2mqtt.simulator.errors import CATALOGUE
from interhuman2mqtt.simulator.media import Report
from interhuman2mqtt.simulator.messages import Message, SessionConfig, Terms
from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, MODELS, Dialect, Settings, Version
from simulator.helpers import BOTH_FLAGS

V1 = Terms(version=Version.V1, model=None)
V2 = Terms(version=Version.V2, model="inter-2", entitled=MODELS)
CONFIG = SessionConfig(include=BOTH_FLAGS, goal_dimensions=("clarity",), model="inter-2")


def reports(seconds: int, skip: tuple[int, int] | None = None, gop: int = 1) -> list[Report]:
    """Media in pieces of a second, with a hole where `skip` says."""
    pieces = [second for second in range(seconds) if skip is None or not skip[0] <= second < skip[1]]
    return [
        Report(
            clock=second + 1.0,
            keyframes=(float(second),) if second % gop == 0 else (),
            skipped=((float(skip[0]), float(skip[1])),) if skip and second == skip[1] else (),
        )
        for second in pieces
    ]


def said(
    media: list[Report],
    settings: Settings | None = None,
    terms: Terms = V2,
    config: SessionConfig = CONFIG,
    session: int = 1,
) -> list[Message]:
    analysis = Analysis(settings or Settings(), terms, session)
    return [message for report in media for message in analysis.advance(report, config)] + analysis.finish()


def of(told: list[Message], *kinds: str) -> list[dict[str, Any]]:
    return [message.data for message in told if message.type in kinds]


def test_everything_said_is_understood_by_the_vendor() -> None:
    """Ten minutes of either version, with a jump and rare key frames, hold nothing that the SDK's models refuse."""
    for terms in (V1, V2):
        told = said(reports(300) + reports(600, (310, 330), gop=20)[300:], terms=terms)
        told += [messages.error(error) for error in CATALOGUE.values()]
        told.append(messages.ready(Settings(goal_dimensions=GOAL_DIMENSIONS), terms))
        kinds = set()
        for message in told:
            text = messages.envelope(message, "c")
            kinds.add(type(parse_stream_event(json.loads(text))).__name__)
        assert "UnknownEvent" not in kinds
        assert {
            "SignalUpdatedEvent",
            "CoverageDroppedEvent",
            "CoverageDegradedEvent",
            "FeedbackGeneratedEvent",
        } <= kinds


def test_first_words_come_soon() -> None:
    """The first window brings the engagement and a signal; nothing is said before it is complete."""
    analysis = Analysis(Settings(), V2, 1)
    first = reports(8)
    assert [analysis.advance(report, CONFIG) for report in first[:7]] == [[]] * 7
    assert {message.type for message in analysis.advance(first[7], CONFIG)} == {"engagement.updated", "signal.detected"}


def test_same_seed_same_words() -> None:
    """The same seed, session and media give the same messages; another seed or session gives others."""
    media = reports(120)
    assert said(media) == said(media)
    assert said(media) != said(media, Settings(seed=1))
    assert said(media) != said(media, session=2)


def test_pieces_do_not_matter() -> None:
    """Media in one large piece gives what it gives in small ones."""
    small = reports(60)
    large = [Report(clock=60.0, keyframes=tuple(key for report in small for key in report.keyframes))]
    assert said(large) == said(small)


def test_life_cycle_is_consistent() -> None:
    """A signal is detected once, updated only while active, ended after it began; engagement changes each time."""
    active: dict[str, float] = {}
    level = None
    for kind, data in said(reports(900)):
        if kind == "signal.detected":
            assert data["signal_type"] not in active
            active[data["signal_type"]] = data["start"]
        elif kind == "signal.updated":
            assert active[data["signal_type"]] == data["start"]
        elif kind == "signal.ended":
            assert data["end"] > active.pop(data["signal_type"])
        elif kind == "engagement.updated":
            assert data["state"] != level
            level = data["state"]
    assert not active


@pytest.mark.parametrize(
    ("terms", "config", "count"),
    [(V1, CONFIG, 12), (V2, CONFIG, 10), (V2, SessionConfig(model="inter-2-audio"), 6)],
)
def test_types_of_each_model(terms: Terms, config: SessionConfig, count: int) -> None:
    """v1 knows twelve types of signals, v2 ten, and the model that only listens six."""
    told = of(said(reports(2000), terms=terms, config=config), "signal.detected")
    assert len({data["signal_type"] for data in told}) == count


@pytest.mark.parametrize("flag", BOTH_FLAGS)
def test_quality_has_what_was_asked_for(flag: str) -> None:
    """Each part of the conversation quality comes only with its flag, and none without any."""
    (data, *_) = of(said(reports(30), config=SessionConfig(include=(flag,))), "conversation_quality.updated")
    assert list(data) == [flag.rpartition("_")[2]]
    assert not of(said(reports(30), config=SessionConfig()), "conversation_quality.updated", "feedback.generated")


def test_overall_counts_what_nobody_asked_for() -> None:
    """`overall` is cumulative from the beginning, also where it was asked for late."""
    analysis = Analysis(Settings(), V2, 1)
    media = reports(22)
    for report in media[:15]:
        analysis.advance(report, SessionConfig(model="inter-2"))
    late = [message for report in media[15:] for message in analysis.advance(report, CONFIG)]
    assert of(late, "conversation_quality.updated") == of(said(media), "conversation_quality.updated")[1:]


def test_jump_is_told_and_nothing_is_seen_inside() -> None:
    """A skipped range is `coverage.dropped`, exactly; no other event lies inside it, and times after it are true."""
    told = said(reports(90, (20, 50)))
    assert of(told, "coverage.dropped") == [{"ranges": [{"start": 20, "end": 50}]}]
    assert not of(told, "coverage.degraded")
    times = [
        data[name]
        for data in of(told, "signal.detected", "signal.ended", "engagement.updated")
        for name in ("start", "end")
        if name in data
    ]
    assert not [at for at in times if 20 < at < 50]
    assert max(times) > 50
    periods = [data["timeline"][0]["start"] for data in of(told, "conversation_quality.updated")]
    assert periods == [0, 11, 44, 55, 66, 77]


def test_jump_over_a_lifetime_costs_nothing() -> None:
    """A clock that jumps by three hundred years is one dropped range, not a million windows."""
    far = 1e10
    told = said([*reports(10), Report(clock=far + 10, skipped=((10.0, far),))])
    assert len(told) < 40
    assert of(told, "coverage.dropped") == [{"ranges": [{"start": 10, "end": far}]}]


def test_rare_key_frames_degrade() -> None:
    """A window without a key frame is `coverage.degraded`; the model that only listens does not care."""
    media = reports(60, gop=20)
    ranges = [data["ranges"][0] for data in of(said(media), "coverage.degraded")]
    assert {"start": 3.0, "end": 11.0} in ranges
    assert all(not any(span["start"] <= key < span["end"] for key in (0, 20, 40)) for span in ranges)
    assert not of(said(media, config=SessionConfig(model="inter-2-audio")), "coverage.degraded")


def test_interval_dialect() -> None:
    """Signals as closed intervals, window by window; engagement with an end; no life cycle."""
    told = said(reports(60), Settings(dialect=Dialect.INTERVAL))
    assert not of(told, "signal.updated", "signal.ended")
    assert all(data["start"] < data["end"] for data in of(told, "signal.detected", "engagement.updated"))
    assert {"signal_type", "probability", "rationale"} <= set(of(told, "signal.detected")[0])


def test_codealong_dialect() -> None:
    """Signals as a list, window by window."""
    told = said(reports(60), Settings(dialect=Dialect.CODEALONG))
    lists = of(told, "signal.detected")
    assert all(list(data) == ["signals"] and data["signals"] for data in lists)
    assert list(lists[0]["signals"][0]) == ["type", "start", "end", "probability", "rationale"]


def test_unknown_events_are_sprinkled() -> None:
    """With unknown events on, known ones have more fields and unknown types come between them."""
    told = said(reports(60), Settings(unknown_events=True))
    assert of(told, "gaze.updated")
    assert all("x_confidence" in data for data in of(told, "signal.detected", "engagement.updated"))
