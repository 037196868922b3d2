"""What Home Assistant makes of our messages: its templates, rendered with Jinja as it does, and what it then takes.

Stricter than Home Assistant in one thing: a variable that is not there is an error, not a line in the log.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from publish.homeassistant.rules import BLOCKED, Json, present

ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
UNKNOWN = "None"
SWITCHED = {"ON", "OFF", UNKNOWN}


class Rendered(NamedTuple):
    """One template of an entity on one message."""

    entity: Json
    option: str
    """Which template it was."""
    topic: str
    payload: bytes
    text: str


def render(template: str, payload: bytes) -> str:
    """A template on a payload; `value_json` is there only where the payload is JSON."""
    text = payload.decode()
    variables: dict[str, Any] = {"value": text}
    with suppress(ValueError):
        variables["value_json"] = json.loads(text)
    return ENVIRONMENT.from_string(template).render(variables)


def matches(wanted: str, topic: str) -> bool:
    """Whether a topic matches a filter; of the wildcards only `+` is known here."""
    levels, given = wanted.split("/"), topic.split("/")
    return len(levels) == len(given) and all(level in {"+", own} for level, own in zip(levels, given, strict=True))


def templates(device: Json, entity: Json) -> Iterator[tuple[str, str, str]]:
    """The templates of an entity: option, topic, template. Those of its availability are its device's or its own."""
    for option, topic in (("value_template", "state_topic"), ("json_attributes_template", "json_attributes_topic")):
        if option in entity:
            yield option, entity[topic], entity[option]
    own: list[Json] = (entity if "availability" in entity else device)["availability"]
    for each in own:
        yield "availability", each["topic"], each["value_template"]


def rendered(payloads: Iterable[bytes], messages: Iterable[tuple[str, bytes]]) -> list[Rendered]:
    """Every template of these discovery payloads on every message that it is for."""
    said = list(messages)
    return [
        Rendered(entity, option, topic, payload, render(template, payload))
        for device in map(json.loads, payloads)
        for entity in present(device).values()
        for option, wanted, template in templates(device, entity)
        for topic, payload in said
        if matches(wanted, topic)
    ]


def refused(each: Rendered) -> str | None:
    """Why Home Assistant would not take what a template came to; None: it does."""
    good = _takes(each)
    return None if good else f"{each.entity['default_entity_id']}: {each.option} on {each.topic}: {each.text!r}"


def _takes(each: Rendered) -> bool:
    match each.option, each.entity["platform"]:
        case "availability", _:
            return each.text in {"online", "offline"}
        case "json_attributes_template", _:
            attributes = json.loads(each.text)
            return isinstance(attributes, dict) and not BLOCKED & set(attributes) and len(each.text) < 16384
        case _, "binary_sensor" | "switch":
            return each.text in SWITCHED
        case _, "event":
            return not each.text or json.loads(each.text)["event_type"] in each.entity["event_types"]
    return _takes_state(each.entity, each.text)


def _takes_state(sensor: Json, text: str) -> bool:
    if "options" in sensor:
        return text in {*sensor["options"], UNKNOWN}
    if "state_class" in sensor:
        return text == UNKNOWN or float(text) >= 0
    return 0 < len(text) <= 255
