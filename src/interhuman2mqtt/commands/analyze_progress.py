"""How far the analysis of a recording is: a bar on a terminal, elsewhere a line where it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.sanitize import clean, clean_lines
from interhuman2mqtt.upload.jobs import PartState, RecordingRecord
from interhuman2mqtt.upload.recording import Listener
from interhuman2mqtt.upload.split_ipc import Progress

if TYPE_CHECKING:
    from rich import progress as bars

DOING = {"reading": "read", "encoding": "encoded for the cloud", "cutting": "cut"}


@contextmanager
def progress(name: str, err: TextIO) -> Iterator[Listener]:
    """Yield the listener of the analysis of one recording."""
    name = clean(name, 40)
    if not err.isatty():
        yield _Lines(name, err)
        return
    try:
        from rich import console, progress  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError:
        yield _Lines(name, err)
        return
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
    )
    with progress.Progress(*columns, console=console.Console(file=err), transient=True) as bar:
        yield _Bar(name, bar)


class _Lines:
    """For a log: one line for each step."""

    def __init__(self, name: str, err: TextIO) -> None:
        self._name = name
        self._err = err
        self._last = ""

    def preparing(self, progress: Progress) -> None:
        self._print(f"is {DOING.get(progress.doing, progress.doing)}")

    def parts(self, record: RecordingRecord) -> None:
        self._print(_parts(record))

    def waiting(self, outage: Outage, pause: float) -> None:
        self._print(_waiting(outage, pause))

    def _print(self, text: str) -> None:
        if text != self._last:
            self._last = text
            print(clean_lines(f"{self._name}: {text}"), file=self._err, flush=True)


class _Bar:
    """For a terminal."""

    def __init__(self, name: str, bar: "bars.Progress") -> None:
        self._name = name
        self._bar = bar
        self._task = bar.add_task(name, total=None)

    def preparing(self, progress: Progress) -> None:
        self._show(f"is {DOING.get(progress.doing, progress.doing)}", progress.share, 1.0)

    def parts(self, record: RecordingRecord) -> None:
        self._show(_parts(record), _done(record), len(record.parts))

    def waiting(self, outage: Outage, pause: float) -> None:
        self._bar.console.print(clean_lines(f"{self._name}: {_waiting(outage, pause)}"), markup=False, highlight=False)

    def _show(self, text: str, done: float, total: float) -> None:
        self._bar.update(self._task, description=f"{self._name}: {text}", completed=done, total=total)


def _done(record: RecordingRecord) -> int:
    return sum(part.state is PartState.COMPLETED for part in record.parts)


def _parts(record: RecordingRecord) -> str:
    if len(record.parts) == 1:
        return "analysed" if _done(record) else "being analysed"
    return f"{_done(record)} of {len(record.parts)} parts analysed"


def _waiting(outage: Outage, pause: float) -> str:
    return f"{redact(outage.detail)}: tried again in {pause:g} s"
