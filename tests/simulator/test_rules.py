"""Who may come in and what a configuration may say: the rules without a network."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.simulator.admission import Admission, Applicant, TurnedAway, read_request
from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.messages import Close, ConfigRules, SessionConfig, Terms
from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, MODELS, Key, Settings, Version

V1 = Terms(version=Version.V1, model=None)
V2 = Terms(version=Version.V2, model="inter-2", entitled=MODELS)
FEEDBACK = Settings(goal_dimensions=GOAL_DIMENSIONS)
KEYS = ("type", "include", "goal_dimensions", "model", "audio_format", "encoding", "sample_rate", "channels")
PCM = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}


def applicant(
    credential: str | None = "k",
    version: Version = Version.V2,
    model: str | None = None,
    subprotocol: str | None = None,
) -> Applicant:
    return Applicant(version, model, credential, subprotocol, None)


def turned_away(settings: Settings, who: Applicant) -> tuple[str, bool]:
    with pytest.raises(TurnedAway) as caught:
        Admission(settings).admit(who, 0.0)
    return caught.value.error.code, caught.value.upgrade


def configured(
    frame: object,
    now: SessionConfig | None = None,
    *,
    settings: Settings = FEEDBACK,
    terms: Terms = V2,
    media: bool = False,
) -> SessionConfig | Close:
    rules = ConfigRules(settings, terms)
    return rules.read(json.dumps(frame), now or rules.initial(), media_sent=media)


def test_request_is_read() -> None:
    """Version, model, credential and the client's id come from path, query and headers."""
    headers = [(b"authorization", b"bearer  ih_live_x "), (b"X-Client-Request-Id", b"front-1")]
    read = read_request("/v2/stream/analyze?ih_sdk=python&model=inter-2-audio", headers, ())
    assert read == Applicant(Version.V2, "inter-2-audio", "ih_live_x", None, "front-1")
    assert read_request("/v0/stream/analyze", headers, ()) is None


@pytest.mark.parametrize(
    ("subprotocols", "credential"),
    [
        (("access_token", "ih_live_x"), "ih_live_x"),
        (("ih_live_x",), None),
        (("token", "ih_live_x"), None),
        (("access_token", "a", "b"), None),
    ],
)
def test_credential_as_subprotocol(subprotocols: tuple[str, ...], credential: str | None) -> None:
    """Only the pair of access_token and the credential counts, not the older bare key."""
    read = read_request("/v1/stream/analyze", [(b"authorization", b"Basic abc")], subprotocols)
    assert read is not None
    assert read.credential == credential


def test_any_key_is_good_unless_keys_are_named() -> None:
    """Without --key any non-empty key opens any model; with it only those keys do."""
    assert Admission(Settings()).admit(applicant("anything"), 0.0) == V2
    assert turned_away(Settings(), applicant(None)) == ("ih2002", True)
    assert turned_away(Settings(keys=(Key("a"),)), applicant("b")) == ("ih2001", True)
    assert Admission(Settings(keys=(Key("a"), Key("b")))).admit(applicant("b", Version.V1), 0.0) == V1


@pytest.mark.parametrize(
    ("who", "models", "expected"),
    [
        pytest.param(applicant(model="inter-9"), MODELS, ("ih4005", False), id="unknown model"),
        pytest.param(applicant(model="inter-2-deep"), MODELS, ("ih4005", False), id="upload model"),
        pytest.param(applicant(version=Version.V1, model="inter-2"), MODELS, ("ih4005", False), id="model on v1"),
        pytest.param(applicant(model="inter-2-audio"), ("inter-2",), ("ih1003", False), id="no backend"),
        pytest.param(applicant(model="inter-9", subprotocol="access_token"), MODELS, ("ih4005", True), id="quirk"),
    ],
)
def test_models_at_the_door(who: Applicant, models: tuple[str, ...], expected: tuple[str, bool]) -> None:
    """A model that cannot be had is refused after the upgrade, or by it under subprotocol authentication."""
    assert turned_away(Settings(models=models), who) == expected


def test_scopes() -> None:
    """No scope of ours: ih2003. An older scope is good for its own model only, and session.ready says so."""
    assert turned_away(Settings(keys=(Key("k", ()),)), applicant()) == ("ih2003", False)
    legacy = Settings(keys=(Key("k", ("interhumanai.stream.inter-2-audio",)),))
    assert turned_away(legacy, applicant()) == ("ih2003", False)
    terms = Admission(legacy).admit(applicant(model="inter-2-audio"), 0.0)
    assert terms.entitled == ("inter-2-audio",)


def test_places_are_counted_per_key() -> None:
    """So many sessions per key, and a place that was given back is free again."""
    door = Admission(Settings(concurrency=1))
    door.admit(applicant("a"), 0.0)
    door.admit(applicant("b"), 0.0)
    with pytest.raises(TurnedAway) as caught:
        door.admit(applicant("a"), 0.0)
    assert (caught.value.error.code, caught.value.error.close) == ("ih3002", 1001)
    door.leave(applicant("a"), 0.0, cut=False)
    door.admit(applicant("a"), 0.0)


def test_rate_is_limited_per_key_and_minute() -> None:
    """The third handshake within a minute is refused by the upgrade where two are allowed; later it is not."""
    door = Admission(Settings(rate_limit=2))
    door.admit(applicant(), 0.0)
    door.admit(applicant(), 30.0)
    with pytest.raises(TurnedAway) as caught:
        door.admit(applicant(), 59.0)
    assert (caught.value.error.code, caught.value.error.status, caught.value.upgrade) == ("ih3001", 429, True)
    door.admit(applicant(), 60.0)


def test_configuration_replaces_all_but_the_model() -> None:
    """Both include and goal_dimensions fall back to nothing where they are left out; the model stays."""
    first = configured(
        {"include": ["conversation_quality_overall"], "goal_dimensions": ["energy"], "model": "inter-2-audio"}
    )
    assert first == SessionConfig(
        include=("conversation_quality_overall",), goal_dimensions=("energy",), model="inter-2-audio"
    )
    assert isinstance(first, SessionConfig)
    assert configured({}, first) == SessionConfig(goal_dimensions=(), model="inter-2-audio")


def test_feedback_may_be_disabled() -> None:
    """Where feedback is disabled goal_dimensions is null, and asking for it is refused."""
    assert configured({}, settings=Settings()) == SessionConfig(model="inter-2")
    with pytest.raises(Answer, match="not available"):
        configured({"goal_dimensions": ["energy"]}, settings=Settings())


def test_close_is_a_message_of_its_own() -> None:
    """session.close is no configuration."""
    assert configured({"type": "session.close"}) == Close()


@pytest.mark.parametrize(
    ("frame", "terms", "code"),
    [
        pytest.param([], V2, "ih6001", id="a list"),
        pytest.param({"include": "all"}, V2, "ih6001", id="wrong type"),
        pytest.param({"include": ["signals"]}, V2, "ih6001", id="unknown flag"),
        pytest.param({"includes": []}, V2, "ih6001", id="unknown key"),
        pytest.param({"goal_dimensions": ["speed"]}, V2, "ih6001", id="unknown dimension"),
        pytest.param({"type": "transcript.updated"}, V2, "ih6001", id="another type"),
        pytest.param({"model": "inter-2"}, V1, "ih6001", id="model on v1"),
        pytest.param({"model": "inter-2-deep"}, V2, "ih6001", id="upload model"),
        pytest.param(
            {"model": "inter-2-audio"},
            Terms(version=Version.V2, model="inter-2", entitled=("inter-2",)),
            "ih2003",
            id="not entitled",
        ),
        pytest.param({"audio_format": PCM}, V2, "ih6001", id="pcm for a model that sees"),
        pytest.param({"model": "inter-2-audio", "audio_format": PCM | {"sample_rate": 8000}}, V2, "ih6001", id="rate"),
        pytest.param({"model": "inter-2-audio", "audio_format": PCM | {"channels": 2}}, V2, "ih6001", id="stereo"),
    ],
)
def test_configurations_that_are_refused(frame: object, terms: Terms, code: str) -> None:
    """Each mistake is answered with its id, and nothing of the frame comes into force."""
    with pytest.raises(Answer) as caught:
        configured(frame, terms=terms)
    assert caught.value.error.code == code


def test_text_that_is_no_json() -> None:
    """Text that is no JSON is ih6001."""
    rules = ConfigRules(Settings(), V2)
    with pytest.raises(Answer, match="not valid"):
        rules.read("{", rules.initial(), media_sent=False)


def test_model_and_audio_format_are_fixed_by_the_first_media() -> None:
    """After media neither model nor audio format may change, but naming what is in force is no change."""
    heard = configured({"model": "inter-2-audio", "audio_format": PCM})
    assert isinstance(heard, SessionConfig)
    assert heard.pcm_rate == 16000
    assert configured({"model": "inter-2-audio"}, heard, media=True) == heard
    assert configured({"audio_format": PCM}, heard, media=True) == heard
    with pytest.raises(Answer, match="fixed"):
        configured({"audio_format": PCM | {"sample_rate": 24000}}, heard, media=True)
    with pytest.raises(Answer, match="before the first media"):
        configured({"model": "inter-2"}, heard, media=True)
    assert configured({"model": "inter-2"}, heard) == SessionConfig(goal_dimensions=(), model="inter-2")


def test_keys_do_not_print_themselves() -> None:
    """A key's value is not in the text of the settings."""
    assert "ih_live_x" not in repr(Settings(keys=(Key("ih_live_x"),)))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from([*MODELS, *GOAL_DIMENSIONS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_a_configuration_or_has_an_answer(text: str) -> None:
    """Whatever a client says is either taken or answered."""
    rules = ConfigRules(FEEDBACK, V2)
    with suppress(Answer):
        assert isinstance(rules.read(text, rules.initial(), media_sent=False), SessionConfig | Close)
