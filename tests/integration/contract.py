"""Whether what is on the broker is what the AsyncAPI document says, and what no schema can say of events."""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache, reduce
from operator import getitem
from typing import Any, NamedTuple
from uuid import UUID

from jsonschema import Draft7Validator, FormatChecker

from generate.files import SCHEMA
from generate.vocabulary import KNOWN
from integration.helpers import GAP, Json
from publish.homeassistant import rules
from support.mosquitto import Received

DOCUMENT: Json = json.loads((SCHEMA / "asyncapi.json").read_text())
FORMATS = FormatChecker(formats=())


@FormatChecker.checks(FORMATS, "date-time", raises=ValueError)
def _is_utc(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).utcoffset() == timedelta(0)


class Channel(NamedTuple):
    """A channel of the document, with the operation that is ours on it."""

    name: str
    topic: re.Pattern[str]
    message: Json
    retain: bool
    is_ours: bool


@cache
def channels() -> tuple[Channel, ...]:
    """All of the document."""
    return tuple(map(_channel, DOCUMENT["operations"].values()))


def _channel(operation: Json) -> Channel:
    channel = _resolved(operation["channel"])
    [message] = (_resolved(message) for message in channel["messages"].values())
    defaults = {name: _resolved(parameter).get("default") for name, parameter in channel["parameters"].items()}
    levels = {name: "[^/]+" if word is None else re.escape(word) for name, word in defaults.items()}
    topic = re.compile(re.escape(channel["address"]).replace(r"\{", "{").replace(r"\}", "}").format(**levels))
    retain = operation["bindings"]["mqtt"]["retain"]
    return Channel(message["name"], topic, message, retain, operation["action"] == "send")


def _resolved(value: Json) -> Json:
    """What a reference in the document means."""
    return reduce(getitem, value["$ref"].removeprefix("#/").split("/"), DOCUMENT)


@cache
def _validator(schema: str) -> Draft7Validator:
    """Of a schema of the document, as JSON."""
    whole = {"allOf": [json.loads(schema)], "components": DOCUMENT["components"]}
    return Draft7Validator(whole, format_checker=FORMATS)


def assert_keeps(messages: Iterable[Received], box: str) -> None:
    """Every message of a box, and to it, is on exactly one channel, retained as it says, with what it says."""
    ids: set[str] = set()
    for message in messages:
        channel = channel_of(message.topic)
        _keeps(message, channel)
        if channel.name == "discovery":
            assert rules.problems(message.topic, message.payload) == []
        if "/event/" in message.topic:
            _keeps_event(message, box, ids)


def channel_of(topic: str) -> Channel:
    """The one channel that a topic is on."""
    found = [channel for channel in channels() if channel.topic.fullmatch(topic)]
    assert len(found) == 1, (topic, found)
    return found[0]


def _keeps(message: Received, channel: Channel) -> None:
    content = channel.message["contentType"]
    assert message.qos == 1
    if channel.is_ours:
        assert message.retained == channel.retain or not message.payload, message.topic
        assert faults(channel.message["headers"], properties(message)) == []
    if message.payload and content != "image/jpeg":  # else it is being cleared, or asks for everything
        payload = json.loads(message.payload) if content == "application/json" else message.payload.decode()
        assert faults(channel.message["payload"], payload) == [], message.topic


def faults(schema: Json, value: Any) -> list[str]:
    """What a schema of the document has against a value."""
    return [error.message for error in _validator(json.dumps(schema)).iter_errors(value)]


def _keeps_event(message: Received, box: str, ids: set[str]) -> None:
    event = json.loads(message.payload)
    camera, _, type_ = message.topic.split("/")[-3:]
    assert (event["box"], event["camera"], event["type"]) == (box, camera, type_)
    scope = event["id"].removeprefix(f"{box}/{camera}/").partition("/")[0]
    session = event["session"] and UUID(event["session"])
    assert UUID(scope) == session or event.get("synthetic") is True or type_ == GAP
    if type_ in KNOWN and not event.get("synthetic"):
        assert list(Draft7Validator(KNOWN[type_].schema).iter_errors(event["data"])) == []
    assert event["id"] not in ids
    ids.add(event["id"])
    assert properties(message) == {"schema": "1", "type": type_, "id": event["id"]}
    assert message.properties["ContentType"] == "application/json"
    assert message.properties["PayloadFormatIndicator"] == 1
    assert message.properties["MessageExpiryInterval"] > 0


def properties(message: Received) -> dict[str, str]:
    """The MQTT 5 user properties."""
    return dict(message.properties["UserProperty"])
