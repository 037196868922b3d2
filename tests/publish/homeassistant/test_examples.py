"""The blueprint and the dashboard that are shipped for Home Assistant."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml
from jinja2.meta import find_undeclared_variables

from interhuman2mqtt.publish.homeassistant.discovery import messages
from interhuman2mqtt.publish.payloads import Signal
from publish.homeassistant.helpers import TOPICS, a_camera, a_config
from publish.homeassistant.rendering import ENVIRONMENT
from publish.homeassistant.rules import ENTITY_ID, present

FOLDER = Path(__file__).parents[3] / "config" / "examples" / "home-assistant"
CARDS = {"entities", "entity-filter", "glance", "picture-entity", "gauge", "history-graph", "logbook"}
"""Those of the dashboard; all are among Home Assistant's own."""
RESERVED = {"trigger", "this", "context"}
"""Variables that automations have by themselves."""


class Input(str):
    """A place in a blueprint that is filled by who uses it."""

    __slots__ = ()


class Loader(yaml.SafeLoader):
    """YAML with Home Assistant's `!input`."""


def an_input(_: Loader, node: yaml.Node) -> Input:
    """How `!input NAME` is read."""
    return Input(node.value)


Loader.add_constructor("!input", an_input)


@pytest.fixture(scope="module")
def blueprint() -> dict[str, Any]:
    """The blueprint as it is read."""
    loaded: dict[str, Any] = yaml.load((FOLDER / "signal-begins.yaml").read_text(), Loader)
    return loaded


def strings(value: Any) -> Iterator[str]:
    """All texts in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def cards(value: Any) -> Iterator[str]:
    """The types of all cards in a dashboard."""
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        yield value["type"]
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from cards(part)


def test_every_entity_of_the_dashboard_exists() -> None:
    """The dashboard has cards of Home Assistant's own, and names only entities that are announced and shown."""
    dashboard = yaml.safe_load((FOLDER / "dashboard.yaml").read_text())
    assert set(cards(dashboard)) == CARDS
    told = [msgspec.json.decode(message.payload) for message in messages(a_config(a_camera("front")), TOPICS)]
    shown = {
        entity["default_entity_id"]
        for payload in told
        for entity in present(payload).values()
        if entity.get("enabled_by_default", True)
    }
    named = {text for text in strings(dashboard["views"]) if ENTITY_ID.fullmatch(text)}
    assert len(named) > 30
    assert named - shown == set()


def test_the_blueprint_is_one(blueprint: dict[str, Any]) -> None:
    """Every input is used and every one used is declared; what its templates name is declared or Home Assistant's."""
    assert set(blueprint) == {"blueprint", "mode", "max", "triggers", "variables", "conditions", "actions"}
    head = blueprint["blueprint"]
    assert (head["domain"], set(head) - {"homeassistant"}) == ("automation", {"name", "description", "domain", "input"})
    used = {
        text for text in strings([blueprint[key] for key in blueprint if key != "blueprint"]) if type(text) is Input
    }
    assert used == set(head["input"])
    said = " ".join(strings([blueprint["variables"], blueprint["conditions"], head["input"]["actions"]["default"]]))
    for expression in re.findall(r"\{\{(.*?)\}\}", said, re.DOTALL):
        taken = find_undeclared_variables(ENVIRONMENT.parse(f"{{{{{expression}}}}}"))
        assert taken <= blueprint["variables"].keys() | RESERVED


def test_the_blueprint_follows_what_is_announced(blueprint: dict[str, Any]) -> None:
    """Its trigger and its words are attributes that a signal's entity has, and its selector finds such an entity."""
    attributes = {field.name for field in msgspec.structs.fields(Signal)}
    text = " ".join(strings(blueprint["variables"]))
    assert {blueprint["triggers"][0]["attribute"], *re.findall(r"attributes\.(\w+)", text)} <= attributes
    [selected] = blueprint["blueprint"]["input"]["signal"]["selector"]["entity"]["filter"]
    [_, front] = messages(a_config(a_camera("front")), TOPICS)
    signal = msgspec.json.decode(front.payload)["components"]["signal_hesitation"]
    assert selected == {"integration": "mqtt", "domain": signal["platform"]}


@pytest.mark.parametrize(
    ("before", "after", "least", "runs"),
    [
        (("off", None), ("on", "high"), "medium", True),
        (("off", None), ("on", "medium"), "medium", True),
        (("off", None), ("on", "low"), "medium", False),
        (("on", "low"), ("on", "high"), "medium", True),
        (("on", "medium"), ("on", "high"), "medium", False),
        (("on", "high"), ("on", "low"), "low", False),
        (("on", "high"), ("off", None), "low", False),
        (("unavailable", None), ("on", "high"), "low", False),
        (("unknown", None), ("on", "high"), "low", False),
        (None, ("on", "high"), "low", False),
        (("on", "high"), None, "low", False),
        (("off", None), ("on", "a new word"), "low", False),
    ],
)
def test_when_the_blueprint_runs(
    blueprint: dict[str, Any],
    before: tuple[str, str | None] | None,
    after: tuple[str, str | None] | None,
    least: str,
    runs: bool,  # noqa: FBT001 - pytest's own way
) -> None:
    """It runs when a signal begins with the probability or reaches it, and for nothing that was there before."""
    trigger = SimpleNamespace(from_state=a_state(before), to_state=a_state(after))
    variables: dict[str, Any] = {"least": least, "trigger": trigger}
    for name, value in blueprint["variables"].items():
        variables.setdefault(name, render(value, variables) if isinstance(value, str) else value)
    said = [render(condition["value_template"], variables) for condition in blueprint["conditions"]]
    assert (said == ["True", "True"]) is runs


def a_state(said: tuple[str, str | None] | None) -> SimpleNamespace | None:
    """A state of Home Assistant's; None: the entity was not there."""
    if said is None:
        return None
    state, probability = said
    attributes = {"probability": probability, "rationale": "..."} if probability else {}
    return SimpleNamespace(state=state, attributes=attributes, name="Front desk Signal hesitation")


def render(template: str, variables: dict[str, Any]) -> str:
    """A template of an automation."""
    return ENVIRONMENT.from_string(template.strip()).render(variables)
