"""The schema of the configuration: it refuses nothing that is right, and what an editor can see of what is wrong."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from jsonschema import Draft4Validator, Draft7Validator

from config.test_broken import CASES, name
from config.test_merge import FILES, consistent
from config.test_shipped import EXAMPLE, SHIPPED
from generate.configuration import document
from generate.files import SCHEMA as FOLDER
from support import npm

SCHEMA = document()
VALIDATOR = Draft7Validator(SCHEMA)
"""As Taplo does, for it knows most of draft 4, and some of what came later."""
UNSEEN = {
    "cloud_url_v0",
    "newer_than_us",  # only warnings
    # what other keys, or other files, have to say
    "broker_certificate_by_halves",
    "broker_tls_port_without_tls",
    "chunk_longer_than_buffer",
    "missing_api_key",
    "missing_source",
    "model_on_v1",
    "no_camera_for_this_box",
    "password_for_a_device",
    "password_without_username",
    "profile_of_a_profile",
    "profile_unknown",
    "replay_longer_than_buffer",
    "standalone_with_short_chunks",
    # what a regular expression cannot tell
    "cloud_url_without_tls",
    "durations_out_of_range",
    "password_in_the_query",
    "timezone_by_its_city",
    "timezone_that_is_a_folder",
    "timezone_unknown",
}
"""Broken files that only `check` sees through, beside those in several parts, and those that are not TOML."""


def faults(table: dict[str, Any]) -> list[str]:
    """What the schema has against a file."""
    return [error.message for error in VALIDATOR.iter_errors(table)]


def test_it_is_a_schema_for_old_and_new() -> None:
    """It is right by draft 4 and by draft 7, and means the same in both: it has no keyword that only one knows."""
    Draft4Validator.check_schema(SCHEMA)
    Draft7Validator.check_schema(SCHEMA)
    newer = {
        "const",
        "contains",
        "propertyNames",
        "if",
        "examples",
        "exclusiveMinimum",
        "unevaluatedProperties",
        "$defs",
    }
    assert [word for word in newer if f'"{word}":' in json.dumps(SCHEMA)] == []


def test_the_shipped_file_passes() -> None:
    """The shipped file is right, as it is and with all its examples in force."""
    text = SHIPPED.read_text()
    assert faults(tomllib.loads(text)) == []
    assert faults(tomllib.loads(EXAMPLE.sub("", text))) == []


@given(FILES.map(consistent))
def test_what_loads_passes(table: dict[str, Any]) -> None:
    """Whatever a valid file says, the schema has nothing against it."""
    assert faults(table) == []


def test_an_editor_sees_what_is_wrong() -> None:
    """Of the broken files the schema refuses all but those that are named above, with the reason why it cannot."""
    tables = {name(case): tomllib.loads(case.read_text()) for case in CASES if is_one_toml(case)}
    assert {case for case, table in tables.items() if not faults(table)} == UNSEEN


def is_one_toml(case: Path) -> bool:
    """Whether a broken file is broken neither by its syntax nor by what stands beside it."""
    return not name(case).startswith(("toml_", "spanning_"))


def test_every_key_is_explained() -> None:
    """Each table and key has a sentence for who hovers over it, and no two sentences run into each other."""
    found = list(properties(SCHEMA))
    assert [key for key, schema in found if not schema.get("description", "").endswith((".", ")"))] == []
    assert len(found) > 70


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys, at any depth, with their schemas."""
    for key, inner in schema.get("properties", {}).items():
        yield key, inner
        yield from properties(inner)
    for inner in schema.get("definitions", {}).values():
        yield from properties(inner)


def test_taplo_takes_it(tmp_path: Path) -> None:
    """Taplo finds the schema by the first line of the shipped file, and nothing but the mistake that we put there."""
    taplo = npm.installed("@taplo/cli") / "node_modules" / ".bin" / "taplo"
    installed = "/usr/share/interhuman2mqtt/config.schema.json"
    right, wrong = tmp_path / "right.toml", tmp_path / "wrong.toml"
    right.write_text(EXAMPLE.sub("", SHIPPED.read_text()).replace(installed, str(FOLDER / "config.json"), 1))
    wrong.write_text(right.read_text().replace('chunk = "2s"', 'chunk = "2 seconds"'))
    said = subprocess.run([taplo, "check", right, wrong], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "right.toml" not in said.stderr
    assert set(re.findall(r'^error: ("[^"]*")', said.stderr, re.MULTILINE)) == {'"2 seconds"'}
