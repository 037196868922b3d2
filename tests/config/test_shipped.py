"""The configuration file that is shipped: every key, its default, and a sentence."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from interhuman2mqtt.config import CameraTable, Config, File
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.merge import SHARED_KEYS
from interhuman2mqtt.config.parser import keys_of
from interhuman2mqtt.config.problems import KeyPath

SHIPPED = Path(__file__).parents[2] / "config" / "interhuman2mqtt.toml"
EXAMPLE = re.compile(r"^#(?=\[|[a-z_]+ = )", re.MULTILINE)
KEY = re.compile(r"#?([a-z_]+) = ")


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """The shipped file with all its examples in force."""
    file = tmp_path / "interhuman2mqtt.toml"
    file.write_text(EXAMPLE.sub("", SHIPPED.read_text()))
    return file


def documented(file: Path) -> set[KeyPath]:
    """The keys in a file, by table; those for cameras may stand in any table that takes them."""
    keys: set[KeyPath] = set()
    for section, table in tomllib.loads(file.read_text()).items():
        tables = table.values() if section in ("cameras", "profiles") else [table]
        name = "camera" if section in ("cameras", "profiles", "defaults") else section
        keys |= {(name, key) for table in tables for key in table}
    return keys


def existing() -> set[KeyPath]:
    """The keys that the types know."""
    sections = {name: hint for name, hint in keys_of(File).items() if get_origin(hint) is not dict}
    sections["camera"] = sections.pop("defaults")
    return {(name, key) for name, struct in sections.items() for key in keys_of(struct)}


def test_every_key_is_documented_and_every_documented_key_exists(uncommented: Path) -> None:
    """With the examples in force the file holds exactly the keys of the types."""
    assert existing() == documented(uncommented)


def test_the_examples_are_right(uncommented: Path) -> None:
    """With all examples in force the file loads, and its camera has what the examples say."""
    config = configfile.load([uncommented])
    assert (config.box.id, config.cameras["front"].fps, config.cameras["front"].video_bitrate) == (
        "lobby-1",
        15,
        2_000_000,
    )


def test_the_file_as_shipped_is_the_defaults(tmp_path: Path) -> None:
    """Loading the file gives what loading nothing gives, for the box and for a camera alike."""
    camera = tmp_path / "camera.toml"
    camera.write_text('[cameras.front]\nsource = "test:"\napi_key = { credential = "key" }\n')
    assert configfile.load([SHIPPED, camera]) == configfile.load([camera])


def test_every_default_is_shown() -> None:
    """A key with a default that can be written stands in the file, in force, with that default."""
    shown = documented(SHIPPED)
    with_default = {
        ("camera" if struct is CameraTable else section, field.name)
        for section, struct in keys_of(File).items()
        if get_origin(struct) is not dict
        for field in msgspec.structs.fields(struct)
        if field.default not in (None, msgspec.NODEFAULT)
    }
    shared = {("camera", key) for key in ("include", "goal_dimensions", "model", "framing")}  # these are [interhuman]'s
    assert with_default - shared == shown


def test_every_key_has_its_sentence() -> None:
    """Above each key, in force or not, is a comment of one line, but where keys of above are shown in use again."""
    before, _, after = SHIPPED.read_text().partition("#[profiles.meeting]")
    lines = (before + after.partition("#[cameras.front]")[2]).splitlines()
    alone = [match[1] for above, line in pairwise(lines) if (match := KEY.match(line)) and not above.startswith("# ")]
    assert SHARED_KEYS.issuperset(alone)
    assert all(len(line) <= 120 for line in lines)


def test_the_shipped_file_passes_check() -> None:
    """The only thing to say of it is that it has no camera yet."""
    assert [str(problem) for problem in configfile.check([SHIPPED])] == [
        "cameras: warning: there is none: nothing will be streamed"
    ]


def test_the_effective_configuration_has_every_key(uncommented: Path) -> None:
    """With all examples in force `config` prints every key but the three that are used up in loading."""
    printed: dict[str, Any] = tomllib.loads(configfile.effective_toml(configfile.load([uncommented])))
    for section, hint in keys_of(Config).items():
        table = printed[section]["front"] if section == "cameras" else printed[section]
        struct = get_args(hint)[1] if section == "cameras" else hint
        assert set(keys_of(struct)) - {"id"} == set(table) - {"id"}
