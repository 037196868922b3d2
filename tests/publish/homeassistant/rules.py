"""What Home Assistant demands of a device discovery payload; written from its documentation, not from our code.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, and the schemas of its integration.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

Json = dict[str, Any]

TOPIC = re.compile(r"(?P<prefix>.+)/device/(?P<object_id>[a-zA-Z0-9_-]+)/config")
ENTITY_ID = re.compile(r"(?!.+__)(?!_)(?P<platform>[\da-z_]+)(?<!_)\.(?!_)[\da-z_]+(?<!_)")
ROOT = {"device", "origin", "components", "availability", "availability_mode"}
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version", "via_device"}
COMMON = {
    "platform",
    "unique_id",
    "default_entity_id",
    "name",
    "qos",
    "availability",
    "entity_category",
    "enabled_by_default",
    "icon",
    "device_class",
}
ATTRIBUTES = {"json_attributes_topic", "json_attributes_template"}
FOLLOWS = {"state_topic", "value_template"}
PLATFORMS = {
    "sensor": FOLLOWS
    | ATTRIBUTES
    | {"options", "state_class", "unit_of_measurement", "suggested_display_precision", "expire_after"},
    "binary_sensor": FOLLOWS | ATTRIBUTES | {"expire_after"},
    "event": FOLLOWS | {"event_types"},
    "switch": FOLLOWS | {"command_topic", "retain"},
    "button": {"command_topic", "payload_press"},
    "image": {"image_topic", "content_type"},
}
NEEDS = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "switch": {"command_topic", "state_topic"},
    "button": {"command_topic"},
    "image": {"image_topic"},
}
CLASSES = {
    "sensor": {"enum", "duration", "data_size"},
    "binary_sensor": {"problem"},
    "button": {"restart"},
}
UNITS = {"duration": {"s"}, "data_size": {"B"}}
BLOCKED = {"state", "friendly_name", "device_class", "icon", "entity_picture", "unit_of_measurement", "available"}
"""Attributes that Home Assistant leaves out, because they are its own."""


def problems(topic: str, payload: bytes) -> list[str]:
    """What is wrong with one payload; nothing with an empty one, which removes the device."""
    found = TOPIC.fullmatch(topic)
    if not found:
        return [f"{topic} is no topic of a device"]
    return [f"{topic}: {problem}" for problem in _device(json.loads(payload))] if payload else []


def clashes(payloads: Iterable[bytes]) -> list[str]:
    """Ids that more than one entity has."""
    entities = [entity for payload in payloads for entity in present(json.loads(payload)).values()]
    ids = chain.from_iterable((entity["unique_id"], entity["default_entity_id"]) for entity in entities)
    return [name for name, count in Counter(ids).items() if count > 1]


def present(payload: Json) -> dict[str, Json]:
    """The entities of a device, without those that are to be removed."""
    components: dict[str, Json] = payload["components"]
    return {key: component for key, component in components.items() if set(component) != {"platform"}}


def _device(payload: Json) -> Iterator[str]:
    if unknown := set(payload) ^ ROOT:
        yield f"root keys missing or unknown: {unknown}"
    device = payload["device"]
    if not device.get("identifiers") or set(device) - DEVICE:
        yield f"device {device}"
    if not payload["origin"].get("name") or set(payload["origin"]) - {"name", "sw_version", "support_url"}:
        yield f"origin {payload['origin']}"
    if payload["availability_mode"] not in {"all", "any", "latest"}:
        yield f"availability_mode {payload['availability_mode']}"
    yield from _availability(payload)
    for key, component in payload["components"].items():
        if component.get("platform") not in PLATFORMS:
            yield f"{key}: platform {component.get('platform')}"
        elif len(component) > 1:
            yield from (f"{key}: {problem}" for problem in _entity(component, device["name"]))


def _availability(options: Mapping[str, Any]) -> Iterator[str]:
    for each in options.get("availability", []):
        if not each.get("topic") or set(each) - {"topic", "value_template"}:
            yield f"availability {each}"


def _entity(entity: Json, device: str) -> Iterator[str]:
    platform = entity["platform"]
    if unknown := set(entity) - COMMON - PLATFORMS[platform]:
        yield f"{unknown} are no options of {platform}"
    if missing := ({"unique_id", "default_entity_id", "name"} | NEEDS[platform]) - set(entity):
        yield f"{missing} are missing"
    found = ENTITY_ID.fullmatch(entity["default_entity_id"])
    if not found or found["platform"] != platform:
        yield f"default_entity_id {entity['default_entity_id']}"
    if device.casefold() in entity["name"].casefold():
        yield f"the name {entity['name']!r} repeats the device's"
    if entity.get("entity_category") not in {None, "config", "diagnostic"}:
        yield f"entity_category {entity['entity_category']}"
    if entity.get("entity_category") == "config" and platform in {"sensor", "binary_sensor"}:
        yield "what is only read configures nothing"
    if platform == "event" and "entity_category" in entity:
        yield "an event cannot have an entity_category"
    if entity.get("device_class") not in {None, *CLASSES.get(platform, set())}:
        yield f"device_class {entity['device_class']}"
    if entity.get("qos") not in {0, 1, 2}:
        yield f"qos {entity.get('qos')}"
    yield from _availability(entity)
    yield from _value(entity)


def _value(entity: Json) -> Iterator[str]:
    """A sensor is a number, one of some words, or a text."""
    is_enum = entity.get("device_class") == "enum"
    if is_enum != ("options" in entity) or (is_enum and not entity["options"]):
        yield "options and device_class enum need each other"
    if is_enum and {"state_class", "unit_of_measurement"} & set(entity):
        yield "an enum has neither a unit nor a state_class"
    if entity.get("state_class") not in {None, "measurement", "total", "total_increasing"}:
        yield f"state_class {entity['state_class']}"
    unit, wanted = entity.get("unit_of_measurement"), UNITS.get(entity.get("device_class", ""))
    if wanted and unit not in wanted:
        yield f"{unit} is no unit of {entity['device_class']}"
