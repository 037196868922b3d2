"""The AsyncAPI document is right by the official parser, and has every channel."""

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft7Validator

from generate import events
from generate.channels import channels
from generate.files import SCHEMA
from publish.helpers import an_event
from support import npm

ONLY_NEWS = {"asyncapi-latest-version"}
"""That there is a newer version of AsyncAPI, which fewer tools can read."""


def test_the_official_parser_takes_it() -> None:
    """The parser finds no error, no warning, and all channels."""
    folder, file = npm.installed("@asyncapi/parser"), SCHEMA / "asyncapi.json"
    command: list[str | Path] = ["node", Path(__file__).parent / "asyncapi.mjs", folder, file]
    said: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [found for found in said["diagnostics"] if found["code"] not in ONLY_NEWS] == []
    assert said["channels"] == len(list(channels()))


def test_the_schema_of_events_is_one() -> None:
    """It is right by draft 7, takes an event of the contract, and refuses one with a key of no meaning."""
    Draft7Validator.check_schema(events.document())
    validator = Draft7Validator(events.document())
    event = json.loads(msgspec.json.encode(an_event()))
    assert list(validator.iter_errors(event)) == []
    assert not validator.is_valid({**event, "more": 1})
    assert not validator.is_valid({**event, "type": "coverage.gap"})
