"""What the documents say of the cloud's events is what the cloud says, and forbids nothing that is new."""

from typing import Any

import pytest
from interhumanai import stream
from interhumanai.types import Probability, SignalType
from jsonschema import Draft7Validator

from generate import events, vocabulary
from interhuman2mqtt.publish.homeassistant import entity

SCHEMA = events.document()
KNOWN = pytest.mark.parametrize("type_", vocabulary.KNOWN)


def an_event(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event as it is published."""
    at = "2026-11-22T10:00:12Z"
    empty: dict[str, Any] = dict.fromkeys(("session", "correlation_id", "timestamp", "start_at", "end_at"))
    ids = {"id": "lobby-1/front/7c1e/1", "box": "lobby-1", "camera": "front"}
    clock = {"received_at": at, "clock": "synced", "replayed": False, "late": False, "origin": "stream"}
    return {"schema": 1, "type": type_, "data": data, **ids, **clock, **empty}


def of_the_vendor(type_: str) -> Any:
    """The class of the vendor's own client for `data` of a type."""
    return getattr(stream, f"{''.join(map(str.title, type_.replace('.', '_').split('_')))}Data")


@KNOWN
def test_an_example_is_what_the_vendors_client_reads(type_: str) -> None:
    """Each example is read by the vendor's own class for it, and every field that we name is one of that class."""
    known = vocabulary.KNOWN[type_]
    of_the_vendor(type_).model_validate(known.example)
    assert Draft7Validator(known.schema).is_valid(known.example)
    assert known.properties.keys() <= of_the_vendor(type_).model_fields.keys()


def test_the_words_are_the_vendors() -> None:
    """Signals and bands are those of the vendor's client, all of them."""
    assert set(entity.SIGNALS) == {word.value for word in SignalType}
    assert set(vocabulary.PROBABILITIES) == {word.value for word in Probability}


@KNOWN
def test_what_is_new_is_not_forbidden(type_: str) -> None:
    """A field, a word or a shape that nobody has seen yet is no fault of the event, for it passes as it came."""
    known = vocabulary.KNOWN[type_]
    validator = Draft7Validator(SCHEMA)
    unforeseen = dict.fromkeys(known.properties, 0.87)
    for data in (known.example, {**known.example, "brand_new": 1}, unforeseen, {}):
        assert validator.is_valid(an_event(type_, data))
    assert validator.is_valid(an_event("brand.new", {"any": "thing"}))


@KNOWN
def test_a_typed_schema_says_something(type_: str) -> None:
    """Values of another type are not what is described: generators of code get types that mean something."""
    known = vocabulary.KNOWN[type_]
    assert not Draft7Validator(known.schema).is_valid(dict.fromkeys(known.properties, object()))


def test_every_event_of_home_assistants_is_described() -> None:
    """What the event entity lists is described, or our own."""
    assert set(entity.EVENTS) - {"coverage.gap"} <= vocabulary.KNOWN.keys()
