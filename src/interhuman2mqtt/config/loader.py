"""The loader: finds the files, reads, merges and validates them, and writes the effective configuration back as TOML.

`config_hash` is of the effective configuration: it changes when this box does something else, and differs from box to
box. `files_hash` is of what the files say: it is the same on all boxes that were given the same files, whichever
cameras they take out of them. `box.id` does not count, so that each box may say who it is in a drop-in of its own; nor
do comments, the order of keys, and how the keys are spread over the files.
"""

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from msgspec import Struct

from interhuman2mqtt.config import boxes as boxes_module
from interhuman2mqtt.config import merge, urls
from interhuman2mqtt.config.model import Config, Interhuman
from interhuman2mqtt.config.parser import INLINE_TABLES, INVALID, Entries, Entry, entries, is_list, keys_of, kind_of
from interhuman2mqtt.config.problems import BadValueError, ConfigFileError, Location, Problem, ProblemReport, unreadable
from interhuman2mqtt.config.toml_reader import read_document
from interhuman2mqtt.config.validation import check_files, check_rules
from interhuman2mqtt.config.value_types import NAME, RESERVED_NAMES

# Two hashes, because two questions are asked. "Do all boxes run the files that I rolled out?" is answered by one that
# is the same everywhere; "did this box change?" by one that also sees its drop-in, its profile and our defaults. A hash
# of the files' bytes would answer neither: comments and the order of keys would count, and defaults not.
DIGITS = 12


def of_text(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_files(tables: Iterable[Mapping[str, Any]]) -> str:
    """Return the hash of parsed files, in the order in which they are merged."""
    merged: dict[str, Any] = {}
    for table in tables:
        merged = _merged(merged, table)
    if isinstance(box := merged.get("box"), dict):
        merged["box"] = {key: value for key, value in box.items() if key != "id"}
    filled = {name: table for name, table in merged.items() if table != {}}
    return of_text(json.dumps(filled, sort_keys=True, default=str))


def _merged(below: Any, above: Any) -> Any:
    """Tables key by key, and of anything else the later."""
    if not (isinstance(below, dict) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


DEFAULT_FILE = Path("/etc/interhuman2mqtt/interhuman2mqtt.toml")


class Loaded(NamedTuple):
    """The configuration that a box runs by, and its hash."""

    config: Config
    files_hash: str
    """See `fingerprint`."""


class _Reading(NamedTuple):
    """The content of some files."""

    found: Entries
    """All of them together, with `box.id`."""
    report: ProblemReport
    whole: bool
    """Whether all of them could be read."""
    elsewhere: bool
    """Whether they were read for another box than the one that reads them."""
    tables: list[dict[str, Any]]


def find(arguments: Sequence[Path]) -> list[Path]:
    """Return the files to read, in order: each one given (or the default), then `conf.d/*.toml` beside it by name.

    No file is named twice. Raises ConfigFileError where a `conf.d` cannot be looked into.
    """
    files: dict[Path, None] = {}
    for file in arguments or [DEFAULT_FILE]:
        for found in (file, *_drop_ins(file.parent / "conf.d")):
            files.setdefault(found)
    return list(files)


def load(paths: Sequence[Path], box: str | None = None) -> Config:
    """Return the effective configuration of this box, or of the one named by `box`; reads exactly these files.

    Raises:
        ConfigFileError: with every error in them. Secrets are not read, so that none of them can be missing.
    """
    return load_marked(paths, box).config


def load_marked(paths: Sequence[Path], box: str | None = None) -> Loaded:
    """Return the effective configuration with the hash of the files; raises as `load` does."""
    reading = _read(paths, box)
    if reading.report.errors:
        raise ConfigFileError(reading.report.errors)
    return Loaded(merge.build(reading.found), of_files(reading.tables))


def check(paths: Sequence[Path], box: str | None = None) -> list[Problem]:
    """Return everything that is wrong or doubtful, by file; looks at the files of secrets and of TLS as well.

    Those of another box are seldom on this machine: one warning then stands for all that are not.
    """
    reading = _read(paths, box)
    report = reading.report
    if reading.whole and reading.elsewhere:
        _check_elsewhere(reading, paths)
    elif reading.whole:
        check_files(reading.found, report)
    if reading.whole:
        _check_shared(reading)
    return list(report.problems)


class FleetConfig(NamedTuple):
    """The configurations that some boxes run by the same files."""

    problems: tuple[Problem, ...]
    cameras: tuple[str, ...]
    """All that the files name."""
    boxes: dict[str, tuple[str, ...]]
    """The cameras that each runs."""


def check_boxes(paths: Sequence[Path], boxes: Sequence[str]) -> FleetConfig:
    """Return everything that is wrong or doubtful on any of these boxes; files of secrets are not looked at."""
    report, runs = ProblemReport(paths), dict[str, tuple[str, ...]]()
    every: dict[str, merge.Layers] = {}
    found: Entries = {}
    for box in boxes:
        reading = _read(paths, box)
        if reading.whole and not reading.report.errors:
            found = reading.found
            every = {name: merge.camera_layers(found, name) for name in merge.camera_names(found)}
            runs[box] = _check_shared(reading)
        report.extend(reading.report.problems)
    if len(runs) == len(boxes):
        boxes_module.check_unused(every, {name for names in runs.values() for name in names}, found, report)
    return FleetConfig(report.problems, tuple(every), runs)


def _check_shared(reading: _Reading) -> tuple[str, ...]:
    """Return the cameras of the box that was read for, after a look at what they share."""
    ours = merge.our_cameras(reading.found)
    boxes_module.check_shared(str(reading.found["box", "id"].value), ours, reading.found, reading.report)
    return tuple(ours)


def effective_toml(config: Config) -> str:
    """Return a configuration as a TOML file that means the same on its own; of secrets it says where they are."""
    sections = {
        name: _written(getattr(config, name))
        for name in ("box", "interhuman", "mqtt", "outbox", "privacy", "log", "metrics", "web")
    }
    cameras = {name: _written(camera) for name, camera in config.cameras.items()}
    for camera in cameras.values():
        del camera["id"]
    if urls.api_version(config.interhuman.url) == 1:
        for table in (sections["interhuman"], *cameras.values()):
            del table["model"]  # which /v1 does not know
    return tomli_w.dumps({**sections, "cameras": cameras})


def config_hash(config: Config) -> str:
    """Twelve hex digits that change when the effective configuration does."""
    return of_text(effective_toml(config))


def default_box_id(host: str) -> str:
    """Return the name of a host made fit for topics: `Lobby 1.example.org` gives lobby-1-example-org."""
    name = re.sub(r"[^a-z0-9_-]+", "-", host.lower()).strip("-")[:64]
    return f"box-{name}".rstrip("-") if not name or name in RESERVED_NAMES else name


def _drop_ins(directory: Path) -> list[Path]:
    try:
        names = sorted(path for path in directory.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigFileError((Problem(directory, None, "", unreadable(error)),)) from error
    return names


def _check_elsewhere(reading: _Reading, paths: Sequence[Path]) -> None:
    aside = ProblemReport(paths)
    check_files(reading.found, aside)
    if missing := len(aside.errors):
        what = "1 secret or certificate" if missing == 1 else f"{missing} secrets and certificates"
        message = f"{what} of this box cannot be read on this machine: only `check` on the box itself can look at them"
        reading.report.warning(Location(None, None), ("--box",), message)


def _read(paths: Sequence[Path], box: str | None) -> _Reading:
    report = ProblemReport(paths)
    documents = [read_document(path, report) for path in paths]
    read = [document for document in documents if document]
    found = merge.merge(entries(document, report) for document in read)
    elsewhere = _settle_box(found, box, report)
    whole = None not in documents
    if whole:  # else much would be missed that stands in the file that cannot be read
        check_rules(found, report)
    return _Reading(found, report, whole, elsewhere, [document.table for document in read])


def _settle_box(found: Entries, box: str | None, report: ProblemReport) -> bool:
    """Put `box.id` in its place: as it was asked for, else as the files have it, else by the host's name.

    Whether another box was asked for than that of the files or of this host.
    """
    nowhere = Location(None, None)
    found.setdefault(("box", "id"), Entry(default_box_id(socket.gethostname()), nowhere))
    own = found["box", "id"].value
    if box is not None:
        try:
            found["box", "id"] = Entry(NAME.read(box), nowhere)
        except BadValueError as error:
            report.error(nowhere, ("--box",), str(error))
            found["box", "id"] = Entry(INVALID, nowhere)
    return box is not None and found["box", "id"].value != own


def _written(struct: Struct) -> dict[str, Any]:
    """Return a table as TOML; what is None is left out. A camera's name and source come first."""
    values = {key: (getattr(struct, key), hint) for key, hint in keys_of(type(struct)).items()}
    ordered = sorted(values, key=lambda key: key not in ("name", "source"))
    return {key: _value(*values[key]) for key in ordered if values[key][0] is not None}


def _value(value: Any, hint: Any) -> Any:
    if hint in INLINE_TABLES:
        return _written(value)
    if is_list(hint):
        return [kind_of(hint.__args__[0]).write(item) for item in value]
    return kind_of(hint).write(value)


def cloud_proxy(interhuman: Interhuman) -> str | None:
    """Return the proxy on the way to the cloud: the configured one, else the environment's; an empty one is none."""
    if interhuman.proxy is not None:
        return interhuman.proxy or None
    if interhuman.url.startswith("ws:"):
        return None
    return os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or None
