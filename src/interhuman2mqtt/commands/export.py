"""The command `export`: what the page's history holds, for a spreadsheet or a script."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands.moments import parse_moment
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.web.export import ExportRow, rows, write_csv, write_jsonl
from interhuman2mqtt.web.history import NAME, STATE, History, HistoryError
from interhuman2mqtt.web.rows import CameraKey
from interhuman2mqtt.web.timeline import Span


class Options(NamedTuple):
    """The options of the command line."""

    camera: str | None
    start: str | None
    end: str | None
    form: Literal["csv", "jsonl"]


class NotExported(Exception):  # noqa: N818 - it names what happened
    """There is nothing to export, or it cannot be read; the text says why."""


def main(options: Options, out: TextIO, err: TextIO) -> int:
    """Write the history to `out`; return the exit status."""
    write = write_csv if options.form == "csv" else write_jsonl
    try:
        with closing(open_history()) as history:
            span = span_of(options.start, options.end, history)
            write(_all(history, cameras_of(history, options.camera), span), None, out)
    except NotExported as error:
        print(error, file=err)
        return exit_codes.UNAVAILABLE
    return 0


def history_path() -> Path:
    """Return where a page on this machine has its history."""
    return state_dir.find(system=STATE) / NAME


def open_history() -> History:
    """Open the history of the page on this machine, which may be running; raises NotExported."""
    path = history_path()
    try:
        if not path.exists():
            raise NotExported(f"there is no history at {path}: run this where the page runs, with its STATE_DIRECTORY")
        return History(path)
    except PermissionError as error:
        raise NotExported(f"{path}: only the page's own user and root may read it: sudo interhuman2mqtt ...") from error
    except (OSError, HistoryError) as error:
        raise NotExported(str(error)) from error


def cameras_of(history: History, named: str | None) -> list[CameraKey]:
    """Return the cameras of a name, of every box unless it names one; raises NotExported where there is none."""
    if named is None:
        return history.cameras()
    box, slash, name = named.rpartition("/")
    found = [camera for camera in history.cameras() if camera.name == name and (not slash or camera.box == box)]
    if not found:
        known = ", ".join("/".join(camera) for camera in history.cameras()[:20]) or "nothing at all"
        raise NotExported(f"the history has nothing of {named}: it has {known}")
    return found


def span_of(start: str | None, end: str | None, history: History) -> Span:
    """Return the range that is asked for, all that there is by default; raises NotExported."""
    oldest, newest = history.bounds()
    now = time.time()
    try:
        low = oldest if start is None else parse_moment(start, now)
        high = newest if end is None else parse_moment(end, now)
    except BadValueError as error:
        raise NotExported(f"--from and --to: {error}") from error
    if low >= high:
        raise NotExported("--from has to be before --to")
    return low, high


def _all(history: History, cameras: list[CameraKey], span: Span) -> Iterator[ExportRow]:
    for camera in cameras:
        yield from rows(history, camera, span)
