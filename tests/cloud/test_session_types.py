"""What we say to the cloud: the config within its limits, and whether the answer fits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.played import OPTIONS, READY
from interhuman2mqtt.cloud.session_types import SessionLimits, SessionOptions, config_frame, differences, negotiate

WISHES = SessionOptions(
    include=("conversation_quality_overall", "nonsense"), goal_dimensions=("energy", "rapport"), model="inter-2"
)


def test_the_limits_of_production() -> None:
    """What production sent in June 2026 is read as it stands."""
    assert SessionLimits.from_data(READY) == SessionLimits(
        idle_timeout=300.0,
        max_duration=3600.0,
        max_segment_duration=None,
        min_segment_size=1,
        max_segment_size=33554432,
        options={
            "include": ("conversation_quality_overall", "conversation_quality_timeline"),
            "model": ("inter-2", "inter-2-audio"),
        },
    )


@pytest.mark.parametrize("nonsense", [None, 0, -1, True, "300", [], {}, 1e300, 10**400])
def test_limits_that_make_no_sense_have_defaults(nonsense: object) -> None:
    """A limit that is absent or nonsense is what the documentation says it is."""
    assert SessionLimits.from_data(dict.fromkeys(READY, nonsense)) == SessionLimits()
    assert SessionLimits.from_data({}) == SessionLimits()


def test_older_and_stranger_options() -> None:
    """Options that are no lists are not offered, and of a list only words count."""
    limits = SessionLimits.from_data(
        {"supported_session_config_options": {"include": "all", "goal_dimensions": ["energy", 7], "other": ["x"]}}
    )
    assert limits.options == {"goal_dimensions": ("energy",)}


values = st.none() | st.floats() | st.integers() | st.lists(st.text(max_size=3), max_size=2)


@given(st.dictionaries(st.sampled_from([*READY, *OPTIONS]), values))
def test_no_limits_raise(data: dict[str, Any]) -> None:
    """Whatever session.ready says, there are limits to work with."""
    limits = SessionLimits.from_data(data)
    assert limits.idle_timeout > 0
    assert limits.max_duration > 0
    assert limits.max_segment_size >= 0


def test_only_what_is_offered_is_asked_for() -> None:
    """The config holds the offered values, and the others are named."""
    config, left_out = negotiate(WISHES, SessionLimits.from_data(READY))
    assert config == {"include": ["conversation_quality_overall"], "model": "inter-2"}
    assert left_out == ("include: nonsense", "goal_dimensions: energy", "goal_dimensions: rapport")
    assert config_frame(config) == '{"include":["conversation_quality_overall"],"model":"inter-2"}'


def test_a_model_that_is_not_offered() -> None:
    """An endpoint with other models is not asked for ours, and that is reported; one without a choice is not asked."""
    assert negotiate(SessionOptions(model="inter-3"), SessionLimits.from_data(READY)) == ({}, ("model: inter-3",))
    assert negotiate(SessionOptions(model="inter-2"), SessionLimits()) == ({}, ())
    assert negotiate(SessionOptions(), SessionLimits.from_data(READY)) == ({}, ())


def test_differences() -> None:
    """Order is no difference; a missing value, another one, and a surplus are."""
    config = {"include": ["a", "b"], "goal_dimensions": ["energy"], "model": "inter-2"}
    assert differences(config, {"include": ["b", "a"], "goal_dimensions": ["energy"], "model": "inter-2"}) == ()
    assert differences(config, {"include": [], "goal_dimensions": ["energy", "clarity"]}) == (
        "include: asked for a, b, got nothing",
        "goal_dimensions: asked for energy, got energy, clarity",
        "model: asked for inter-2, got nothing",
    )


@pytest.mark.parametrize("models", [["inter-2", "inter-2-audio"], None])
def test_audio_alone_is_asked_for(models: list[str] | None) -> None:
    """With the format of its samples, and also where no choice is offered: what will be sent is of no other use."""
    wishes = SessionOptions(model="inter-2-audio", audio_only=True, pcm_rate=16_000)
    limits = SessionLimits.from_data({"supported_session_config_options": {"model": models}})
    audio_format = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    assert negotiate(wishes, limits) == ({"model": "inter-2-audio", "audio_format": audio_format}, ())
    assert differences({"audio_format": audio_format}, {"model": "inter-2-audio"}) == ()
