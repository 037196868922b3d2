"""The command `forget`: what is known of people before a camera, wherever this machine can reach it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple, TextIO

from interhuman2mqtt import exit_codes
from interhuman2mqtt.backfill.spools import forget_without_daemon
from interhuman2mqtt.commands.export import NotExported, cameras_of, history_path, open_history
from interhuman2mqtt.commands.moments import parse_moment
from interhuman2mqtt.commands.restart import NotAsked, ask
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.errors import ConfigError, Outage
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.upload.jobs import RecordStore, find_folder

ELSEWHERE = (
    "not reached by this: what the cloud keeps (ask Interhuman), what other subscribers of the broker have stored, "
    "events that still wait for a broker that is away, backups, and files that were set aside beside the history"
)


EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Options(NamedTuple):
    """The options of the command line."""

    camera: str
    start: str | None
    end: str | None
    config: Sequence[Path]


class Outcome(Enum):
    """Outcome at one place where something may be known."""

    DONE = auto()
    NOT_HERE = auto()
    FAILED = auto()


class Step(NamedTuple):
    """A place where something may be known, what came of it, and a sentence."""

    outcome: Outcome
    says: str


class Range(NamedTuple):
    """From and to in seconds of UTC, as far as they are given."""

    start: float | None
    end: float | None


def main(options: Options, out: TextIO, err: TextIO) -> int:
    """Forget, and say what was reached and what was not; return 0 where something was and nothing failed."""
    now = time.time()
    try:
        span = Range(*(None if text is None else parse_moment(text, now) for text in (options.start, options.end)))
    except BadValueError as error:
        print(f"--from and --to: {error}", file=err)
        return exit_codes.UNAVAILABLE
    steps = [_forget_in_history(options, span), _ask_daemon(options, span), *_forget_recordings(options, span)]
    for step in steps:
        print(clean_lines(step.says), file=out if step.outcome is Outcome.DONE else err)
    print(ELSEWHERE, file=out)
    outcomes = {step.outcome for step in steps}
    return 0 if Outcome.DONE in outcomes and Outcome.FAILED not in outcomes else exit_codes.UNAVAILABLE


def _forget_in_history(options: Options, span: Range) -> Step:
    if not history_path().exists():
        return Step(Outcome.NOT_HERE, f"no page has a history on this machine ({history_path()})")
    try:
        with closing(open_history()) as history:
            found = cameras_of(history, options.camera)
            if len(found) > 1:
                names = ", ".join("/".join(camera) for camera in found)
                return Step(Outcome.FAILED, f"there are several: name one of {names}")
            count = history.forget(found[0], span.start or 0.0, float("inf") if span.end is None else span.end)
            return Step(Outcome.DONE, f"the page's history: {count} rows of {'/'.join(found[0])} are gone")
    except NotExported as error:
        return Step(Outcome.FAILED, str(error))


def _ask_daemon(options: Options, span: Range) -> Step:
    box, slash, camera = options.camera.rpartition("/")
    if slash and box != (here := _box_here(options.config)):
        return Step(Outcome.NOT_HERE, f"what the broker retains is cleared on {box} (this is {here}), or by the page")
    moments = {"since": span.start, "until": span.end}
    fields = {name: datetime.fromtimestamp(at, UTC).isoformat() for name, at in moments.items() if at is not None}
    try:
        answer = ask(state_dir.find(), {"command": "forget", "camera": camera, **fields})
    except NotAsked as error:
        if not isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return Step(Outcome.FAILED, f"what the broker retains stays: {error}")
        return _forget_spool(camera, span, f"what the broker retains stays: {error}")
    if answer["status"] != "ok":
        return Step(Outcome.FAILED, f"what the broker retains stays: {answer['error']}")
    data = answer["data"]
    spooled = f"{data['spooled_segments']} files of {data['spooled_seconds']:g} s were spooled, and are gone"
    return Step(Outcome.DONE, f"at the broker: {', '.join(data['cleared'])} are empty; {spooled}")


def _forget_spool(camera: str, span: Range, why_not_asked: str) -> Step:
    """Delete what a daemon that does not run has spooled."""
    start, end = (None if at is None else datetime.fromtimestamp(at, UTC) for at in span)
    folder = state_dir.find() / "spool"
    try:
        gone = forget_without_daemon(folder, camera, start, end)
    except OSError as error:
        return Step(Outcome.FAILED, f"{why_not_asked}; {folder} cannot be deleted: {error.strerror}")
    if not gone.segments:
        return Step(Outcome.NOT_HERE, why_not_asked)
    spooled = f"{gone.segments} files of {gone.seconds:g} s were spooled, and are gone"
    return Step(Outcome.DONE, f"{spooled}; {why_not_asked}")


def _forget_recordings(options: Options, span: Range) -> Iterator[Step]:
    """Delete what `analyze` found in recordings of the camera, as far as who runs this keeps it."""
    box, slash, camera = options.camera.rpartition("/")
    folder = find_folder()
    if not folder.exists() or (slash and box != _box_here(options.config)):
        return
    start, end = (edge if at is None else datetime.fromtimestamp(at, UTC) for at, edge in zip(span, EVER, strict=True))
    try:
        count = RecordStore(folder).forget(camera, start, end)
    except Outage as outage:
        yield Step(Outcome.FAILED, f"what was found in its recordings stays ({folder}): {outage.detail}")
        return
    if count:
        yield Step(Outcome.DONE, f"what was found in {count} of its recordings is gone ({folder})")


def _box_here(files: Sequence[Path]) -> str:
    try:
        return configfile.load(configfile.find(files)).box.id
    except ConfigError:
        return "no box"
