"""Problems of a configuration, each with its place: gathered, never raised one by one, so that people see all of them.

Where a word is not known, the known one that was probably meant is suggested.
"""

import json
import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.errors import ConfigError

SYNONYMS = {
    "bitrate": ("video_bitrate",),
    "broker": ("url",),
    "device": ("source",),
    "framerate": ("fps",),
    "host": ("url", "source"),
    "input": ("source",),
    "key": ("api_key", "key_file"),
    "mic": ("microphone",),
    "pass": ("password",),
    "path": ("source",),
    "pwd": ("password",),
    "resolution": ("size",),
    "server": ("url",),
    "token": ("api_key",),
    "topic": ("base_topic",),
    "tz": ("timezone",),
    "uri": ("url", "source"),
    "url": ("source",),
    "user": ("username",),
}
"""What other programs call the same thing; the first that is known in the place is meant."""


def nearest(word: str, known: Collection[str], likeness: float = 0.7) -> str | None:
    """Return the known word that was probably meant, if one is near; 1 is the same word, 0 has nothing in common."""
    lowered = {name.lower(): name for name in known}
    synonyms = (name for name in SYNONYMS.get(word.lower(), ()) if name in known)
    swapped = (name for name in known if sorted(name.lower()) == sorted(word.lower()))
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=likeness)
    return next(synonyms, None) or next(swapped, None) or next((lowered[match] for match in close), None)


def did_you_mean(word: str, known: Collection[str], likeness: float = 0.7) -> str:
    """`; did you mean "source"?`, or nothing."""
    meant = nearest(word, known, likeness)
    return f'; did you mean "{meant}"?' if meant else ""


KeyPath = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and numbers of list items from 0."""

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Severity(StrEnum):
    """The gravity of a problem: an error keeps the service from starting."""

    ERROR = "error"
    WARNING = "warning"


class Location(NamedTuple):
    """The place of a problem; None for both: on the command line."""

    file: Path | None
    line: int | None


class Problem(NamedTuple):
    """One thing that is wrong, for a person to mend."""

    file: Path | None
    line: int | None
    key: str
    """Dotted, such as `cameras.front.source`; empty where the whole file is meant."""
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """One line: `FILE:LINE: key: message`."""
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        mark = "warning" if self.severity is Severity.WARNING else ""
        return ": ".join(part for part in (where, self.key, mark, self.message) if part)


class ConfigFileError(ConfigError):
    """The configuration files cannot be used; `problems` says all that is wrong with them, `str()` one line each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class BadValueError(ValueError):
    """A value that cannot be used; its text goes on after the key: `must be ...`.

    The text never holds a value in which a secret may stand.
    """


class ProblemReport:
    """Gathers problems of some files; the same one is said once."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._problems: dict[Problem, None] = {}

    def error(self, place: Location, key: KeyPath, message: str) -> None:
        """Something that must be mended before the service can start."""
        self.add(Severity.ERROR, place, key, message)

    def warning(self, place: Location, key: KeyPath, message: str) -> None:
        """Something that works and is probably not meant."""
        self.add(Severity.WARNING, place, key, message)

    def add(self, severity: Severity, place: Location, key: KeyPath, message: str) -> None:
        """Either of the two."""
        self._problems[Problem(place.file, place.line, dotted(key), message, severity)] = None

    def extend(self, problems: Sequence[Problem]) -> None:
        """Take over what another report has gathered."""
        self._problems |= dict.fromkeys(problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, file by file and from top to bottom; those of the command line come last."""
        order: dict[Path | None, int] = {file: index for index, file in enumerate((*self._files, None))}
        return tuple(sorted(self._problems, key=lambda problem: (order[problem.file], problem.line or 0)))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that keep the service from starting."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def dotted(key: KeyPath) -> str:
    """Return a key as TOML writes it, `cameras."Front desk".source`; numbers of list items are left to the line."""
    return ".".join(_part(part) for part in key if isinstance(part, str))


def _part(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else shown(name)


def shown(text: str) -> str:
    """Return a piece of the user's text in quotes, on one line and short; hidden where it might hold credentials."""
    if "@" in text or "://" in text or "=" in text or text.startswith("ih_"):
        return '"***"'
    short = text if len(text) <= 40 else text[:37] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def unreadable(error: OSError) -> str:
    """Return why a file of the configuration cannot be read, and what to do."""
    remedy = "; use sudo, or let this user read it" if isinstance(error, PermissionError) else ""
    return f"cannot be read: {error.strerror}{remedy}"
