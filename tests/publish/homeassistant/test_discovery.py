"""What Home Assistant is told of a box and its cameras."""

import json
from typing import Any

import pytest

from interhuman2mqtt import __version__
from interhuman2mqtt.config import Config, SecretRef
from interhuman2mqtt.events import State
from interhuman2mqtt.publish.homeassistant import entity as words
from interhuman2mqtt.publish.homeassistant.discovery import messages
from publish.homeassistant.helpers import TOPICS, a_camera, a_config
from publish.homeassistant.rendering import render
from publish.homeassistant.rules import Json, clashes, present, problems

V1: dict[str, Any] = {"url": "wss://api.interhuman.ai/v1/stream/analyze"}
FRONT = "homeassistant/device/interhuman_lobby-1_front/config"
BOX = "homeassistant/device/interhuman_lobby-1_bridge/config"
STATE, STATUS = "interhuman/lobby-1/bridge/state", "interhuman/lobby-1/front/status"

CONFIGS = {
    "usual": a_config(a_camera("front"), a_camera("desk")),
    "no scores": a_config(a_camera("front", include=())),
    "only sound": a_config(a_camera("front", model="inter-2-audio")),
    "v1": a_config(a_camera("front"), interhuman=V1),
    "read-only": a_config(a_camera("front"), requests="read-only"),
    "no requests": a_config(a_camera("front"), requests="off"),
    "odd names": a_config(a_camera("-_front_-", name='Ä "front" {{ 1 }} <b>')),
    "no cameras": a_config(),
}


def payloads(config: Config) -> dict[str, Json]:
    """The discovery payloads by their topics."""
    return {message.topic: json.loads(message.payload) for message in messages(config, TOPICS)}


def entities(config: Config, topic: str = FRONT) -> dict[str, Json]:
    """The entities of one device."""
    return present(payloads(config)[topic])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_rules_of_home_assistant(config: Config) -> None:
    """Whatever is configured, each payload keeps to the rules, and no two entities share an id."""
    told = messages(config, TOPICS)
    assert [problem for message in told for problem in problems(message.topic, message.payload)] == []
    assert clashes(message.payload for message in told) == []
    assert all(message.retain for message in told)


def test_one_device_for_each_camera_and_one_for_the_box() -> None:
    """Cameras are devices by way of the box's, named as people call them, each with its model and our version."""
    told = payloads(a_config(a_camera("front", name="Front desk")))
    assert list(told) == [BOX, FRONT]
    assert told[FRONT]["device"] == {
        "identifiers": ["interhuman_lobby-1_front"],
        "name": "Front desk",
        "manufacturer": "Interhuman",
        "model": "inter-2",
        "sw_version": __version__,
        "via_device": "interhuman_lobby-1_bridge",
    }
    assert told[BOX]["device"]["identifiers"] == ["interhuman_lobby-1_bridge"]
    assert told[FRONT]["origin"] == {"name": "interhuman2mqtt", "sw_version": __version__}


def test_ids_are_stable() -> None:
    """What people call a camera changes no id, and no other key does."""

    def ids(config: Config) -> list[tuple[str, str]]:
        return [(entity["unique_id"], entity["default_entity_id"]) for entity in entities(config).values()]

    renamed = a_config(a_camera("front", name="Elsewhere", priority=3, fps=5.0), interhuman={"chunk": 1.0})
    assert ids(CONFIGS["usual"]) == ids(renamed)
    assert ("interhuman_lobby-1_front_clarity", "sensor.interhuman_lobby_1_front_clarity") in ids(renamed)


def test_every_entity_of_a_camera() -> None:
    """Engagement, each signal, events, six scores, the camera's standing, its counters, and what can be asked of it."""
    found = {(entity["platform"], key) for key, entity in entities(CONFIGS["usual"]).items()}
    sensors = ["engagement", "signals", *words.SCORES, "state", "reason", "session"]
    counters = ["gaps", "reconnects", "media_sent", "seconds_sent"]
    assert found == {
        *(("sensor", key) for key in sensors + counters),
        *(("binary_sensor", f"signal_{kind}") for kind in words.SIGNALS),
        *[("binary_sensor", "audio_missing"), ("event", "event"), ("switch", "pause"), ("image", "snapshot")],
        *[("button", "restart"), ("button", "take_snapshot")],
    }


def test_what_is_available_when() -> None:
    """People's state needs bridge and streaming camera, both; the camera's own standing needs the bridge alone."""
    front = payloads(CONFIGS["usual"])[FRONT]
    assert (front["availability_mode"], [each["topic"] for each in front["availability"]]) == ("all", [STATE, STATUS])
    own = {key for key, entity in present(front).items() if "availability" in entity}
    of_people = {"engagement", "signals", *words.SCORES, *(f"signal_{kind}" for kind in words.SIGNALS)}
    assert set(present(front)) - own == of_people
    assert {each["topic"] for key in own for each in front["components"][key]["availability"]} == {STATE}
    box = payloads(CONFIGS["usual"])[BOX]
    assert [each["topic"] for each in box["availability"]] == [STATE]
    assert [key for key, entity in present(box).items() if entity.get("availability") == []] == ["state"]


def test_what_is_not_asked_for_is_removed() -> None:
    """A score that is not asked for, and a request that is not handled, is no entity; one from before is removed."""
    scoreless = payloads(CONFIGS["no scores"])[FRONT]
    assert not words.SCORES.keys() & present(scoreless).keys()
    assert all(scoreless["components"][key] == {"platform": "sensor"} for key in words.SCORES)
    asking = {"pause", "restart", "take_snapshot", "snapshot"}
    assert asking & entities(CONFIGS["read-only"]).keys() == set()
    assert asking & entities(CONFIGS["no requests"]).keys() == set()
    assert {"pause", "resume", "restart", "reload"} & entities(CONFIGS["no requests"], BOX).keys() == set()
    keys = {config: list(payloads(CONFIGS[config])[FRONT]["components"]) for config in ("usual", "no scores", "v1")}
    assert keys["usual"] == keys["no scores"] == keys["v1"]


def test_missing_audio_is_a_problem() -> None:
    """It is on while silence is sent in place of audio, with why; where no audio is wanted there is no such entity."""
    entity = entities(CONFIGS["usual"])["audio_missing"]
    why = {"reason": "busy", "detail": "held by another program", "since": "2026-11-28T08:00:00Z"}
    on = json.dumps({"audio_missing": why}).encode()
    shown = [render(entity["value_template"], payload) for payload in (on, b'{"audio_missing": null}', b"")]
    assert shown == ["ON", "OFF", "None"]
    told = [render(entity["json_attributes_template"], payload) for payload in (on, b'{"audio_missing": null}', b"")]
    assert list(map(json.loads, told)) == [why, {}, {}]
    for audio in ("none", "silence"):
        silent = payloads(a_config(a_camera("front", audio=audio)))[FRONT]
        assert silent["components"]["audio_missing"] == {"platform": "binary_sensor"}


def test_a_microphone_has_no_picture() -> None:
    """Of audio alone there is no snapshot, and nothing that streams on without it."""
    heard = payloads(CONFIGS["only sound"])[FRONT]["components"]
    assert [key for key in ("snapshot", "take_snapshot", "audio_missing") if len(heard[key]) > 1] == []
    assert heard["pause"]["icon"] == "mdi:microphone-off"
    assert list(heard) == list(payloads(CONFIGS["usual"])[FRONT]["components"])


def test_signals_that_the_model_does_not_tell() -> None:
    """Every signal type is there; those that the model is not known to tell are not shown at first."""

    def shown(config: Config) -> set[str]:
        found = {key: entity for key, entity in entities(config).items() if key.startswith("signal_")}
        assert set(found) == {f"signal_{kind}" for kind in words.SIGNALS}
        return {key.removeprefix("signal_") for key, entity in found.items() if entity.get("enabled_by_default", True)}

    assert shown(CONFIGS["usual"]) == set(words.SIGNALS_V2)
    assert shown(CONFIGS["only sound"]) == set(words.SIGNALS_AUDIO)
    assert shown(CONFIGS["v1"]) == {*words.SIGNALS_V2, "engagement", "disengagement"}


def test_the_words_of_a_state() -> None:
    """The states and reasons that an automation can choose from are all that there are."""
    found = entities(CONFIGS["usual"])
    assert found["state"]["options"] == [state.value for state in State]
    assert {"none", "unauthorized", "paused"} <= set(found["reason"]["options"])


def test_what_buttons_and_switches_publish() -> None:
    """A camera's switch and buttons are about that camera alone, and the broker repeats none of them."""
    front, box = entities(CONFIGS["usual"]), entities(CONFIGS["usual"], BOX)
    assert front["pause"]["command_topic"] == "interhuman/lobby-1/front/pause/set"
    assert front["pause"]["retain"] is False
    for key, command in (("restart", "restart"), ("take_snapshot", "snapshot")):
        assert front[key]["command_topic"] == f"interhuman/lobby-1/bridge/request/{command}"
        assert json.loads(front[key]["payload_press"]) == {"camera": "front"}
    assert {json.dumps(json.loads(box[key]["payload_press"])) for key in ("pause", "resume", "reload")} == {"{}"}


def test_no_secret_and_nothing_of_the_source() -> None:
    """Nothing of where a camera is, of who looks at it, or of where secrets are kept."""
    camera = a_camera(
        "front", source="rtsp://10.0.0.5/x", username="viewer", password=SecretRef(file="/etc/interhuman2mqtt/f.pw")
    )
    mqtt: Json = {"url": "mqtt://broker.example", "username": "edge", "password": SecretRef(credential="mqtt-password")}
    told = b"".join(message.payload for message in messages(a_config(camera, **mqtt), TOPICS))
    for word in (b"10.0.0.5", b"viewer", b"f.pw", b"broker.example", b"edge", b"mqtt-password"):
        assert word not in told


def test_switched_off() -> None:
    """With `mqtt.discovery = false` nothing is announced."""
    assert messages(a_config(a_camera("front"), discovery=False), TOPICS) == ()
