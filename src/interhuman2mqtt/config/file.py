"""The configuration files: found, read, merged, judged, and written back as what they mean together."""

import hashlib
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from msgspec import Struct

from interhuman2mqtt.config import effective, urls
from interhuman2mqtt.config.keys import Config
from interhuman2mqtt.config.kinds import NAME, RESERVED_NAMES
from interhuman2mqtt.config.presence import check_files
from interhuman2mqtt.config.problems import BadValueError, ConfigFileError, Place, Problem, Report
from interhuman2mqtt.config.rules import check_rules
from interhuman2mqtt.config.tables import INLINE_TABLES, INVALID, Entries, Entry, entries, is_list, keys_of, kind_of
from interhuman2mqtt.config.tomlfile import read_document

DEFAULT_FILE = Path("/etc/interhuman2mqtt/interhuman2mqtt.toml")


def find(arguments: Sequence[Path]) -> list[Path]:
    """The files to read, in order: each one given (or the default), then `conf.d/*.toml` beside it in name order.

    No file is named twice. Raises ConfigFileError where a `conf.d` cannot be looked into.
    """
    files: dict[Path, None] = {}
    for file in arguments or [DEFAULT_FILE]:
        for found in (file, *_drop_ins(file.parent / "conf.d")):
            files.setdefault(found)
    return list(files)


def load(paths: Sequence[Path], box: str | None = None) -> Config:
    """The effective configuration of this box, or of the one named by `box`; reads exactly these files.

    Raises:
        ConfigFileError: with every error in them. Secrets are not read, so that none of them can be missing.
    """
    found, report, _ = _read(paths, box)
    if report.errors:
        raise ConfigFileError(report.errors)
    return effective.build(found)


def check(paths: Sequence[Path], box: str | None = None) -> list[Problem]:
    """Everything that is wrong or doubtful, file by file; looks at the files of secrets and of TLS as well."""
    found, report, whole = _read(paths, box)
    if whole:
        check_files(found, report)
    return list(report.problems)


def effective_toml(config: Config) -> str:
    """A configuration as a TOML file that means the same on its own; of secrets it says where they are."""
    sections = {
        name: _written(getattr(config, name)) for name in ("box", "interhuman", "mqtt", "outbox", "privacy", "log")
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
    return hashlib.sha256(effective_toml(config).encode()).hexdigest()[:12]


def default_box_id(host: str) -> str:
    """The name of a host made fit for topics: `Lobby 1.example.org` gives lobby-1-example-org."""
    name = re.sub(r"[^a-z0-9_-]+", "-", host.lower()).strip("-")[:64]
    return f"box-{name}".rstrip("-") if not name or name in RESERVED_NAMES else name


def _drop_ins(directory: Path) -> list[Path]:
    try:
        names = sorted(path for path in directory.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigFileError((Problem(directory, None, "", f"cannot be read: {error.strerror}"),)) from error
    return names


def _read(paths: Sequence[Path], box: str | None) -> tuple[Entries, Report, bool]:
    """What the files say together, what is wrong with it, and whether all of them could be read."""
    report = Report(paths)
    documents = [read_document(path, report) for path in paths]
    found = effective.merge(entries(document, report) for document in documents if document)
    _settle_box(found, box, report)
    whole = None not in documents
    if whole:  # else much would be missed that stands in the file that cannot be read
        check_rules(found, report)
    return found, report, whole


def _settle_box(found: Entries, box: str | None, report: Report) -> None:
    """Puts `box.id` in its place: as it was asked for, else as the files have it, else by the host's name."""
    nowhere = Place(None, None)
    if box is not None:
        try:
            found["box", "id"] = Entry(NAME.read(box), nowhere)
        except BadValueError as error:
            report.error(nowhere, ("--box",), str(error))
            found["box", "id"] = Entry(INVALID, nowhere)
    found.setdefault(("box", "id"), Entry(default_box_id(socket.gethostname()), nowhere))


def _written(struct: Struct) -> dict[str, Any]:
    """A table as TOML; what is None is left out. A camera's name and source come first."""
    values = {key: (getattr(struct, key), hint) for key, hint in keys_of(type(struct)).items()}
    ordered = sorted(values, key=lambda key: key not in ("name", "source"))
    return {key: _value(*values[key]) for key in ordered if values[key][0] is not None}


def _value(value: Any, hint: Any) -> Any:
    if hint in INLINE_TABLES:
        return _written(value)
    if is_list(hint):
        return [kind_of(hint.__args__[0]).write(item) for item in value]
    return kind_of(hint).write(value)
