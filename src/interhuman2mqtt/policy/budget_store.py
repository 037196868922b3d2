"""`budget.json`: the seconds that were streamed, by local day and account, as a later life has to know them. Blocks.

`Usage` is pure: days and seconds in, days and seconds out.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, TypedDict

import msgspec
import structlog
from msgspec import Meta, Struct, structs

from interhuman2mqtt.runtime import format_versions, state_dir

BOX = "all"
"""The account of all cameras together; no camera may be called so."""
# One number for "today" would do if days only came once. A clock without a battery starts in the past, steps to the
# present and may be set back again; with one number each step would begin an empty day.
DAYS_KEPT = 14
"""So many days are remembered, those around the present one."""

Counts = dict[str, float]
"""Seconds by account: a camera's id, or BOX."""


class Account(TypedDict):
    """The budget of one camera, or of the box, as it stands today."""

    used: float
    """seconds"""
    per_day: float | None
    """Seconds; None: no limit."""
    warned: bool
    """Whether most of it is used."""


class BudgetTable(TypedDict):
    """All budgets as they stand today, as `bridge/health` publishes them."""

    day: str
    box: Account
    cameras: Mapping[str, Account]
    warnings: int
    """How often one was nearly spent, since the start."""
    trouble: str | None
    """Why it cannot be counted now, in one sentence."""


class Usage(Struct, frozen=True):
    """The seconds that were streamed, by day.

    The past is kept because clocks step back: who comes to a day again finds what was counted then, and beside it
    what was counted since, so that no day is ever given twice.
    """

    day: date
    days: dict[date, Counts]

    @property
    def today(self) -> Counts:
        """Of the present day."""
        return self.days.get(self.day, {})

    def used(self, account: str) -> float:
        """Seconds on the present day."""
        return self.today.get(account, 0.0)

    def add(self, camera: str, seconds: float) -> "Usage":
        """So many seconds more, of a camera and so of the box."""
        return self.put({account: self.used(account) + seconds for account in (camera, BOX)})

    def put(self, counts: Counts) -> "Usage":
        """Other counts for some accounts on the present day."""
        return structs.replace(self, days={**self.days, self.day: {**self.today, **counts}})

    def move(self, counts: Counts, old: date, new: date) -> "Usage":
        """Move what was counted on one day to the day on which it was used."""
        less = {account: max(0.0, used - counts.get(account, 0.0)) for account, used in self.days.get(old, {}).items()}
        return structs.replace(self, days={**self.days, old: less, new: _sum([self.days.get(new, {}), counts])})

    def merge(self, days: Mapping[date, Counts]) -> "Usage":
        """Return it with what was counted in another file as well."""
        return structs.replace(
            self, days={day: _sum([self.days.get(day, {}), days.get(day, {})]) for day in {**self.days, **days}}
        )

    def turn(self, day: date) -> "Usage":
        """Begin another day, as the clock shows."""
        if day == self.day:
            return self
        today = self.days.get(day, {})
        if day < self.day:
            since = [counts for other, counts in self.days.items() if day < other <= self.day]
            today = _sum([today, *since])
        near = sorted(self.days, key=lambda other: abs(other - day))[:DAYS_KEPT]
        return Usage(day, {**{other: self.days[other] for other in near}, day: today})


def nothing(day: date) -> Usage:
    """Return the usage of a box that has streamed nothing yet."""
    return Usage(day, {})


def _sum(all_counts: list[Counts]) -> Counts:
    accounts = {account for counts in all_counts for account in counts}
    return {account: sum(counts.get(account, 0.0) for counts in all_counts) for account in accounts}


NAME = "budget.json"

log = structlog.get_logger(__name__)


FORMAT: Final = 1


class _Format(Struct, frozen=True):
    schema: int


class KeptUsage(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal[1]
    day: date
    days: dict[date, dict[str, Annotated[float, Meta(ge=0, lt=1e12)]]]


class BudgetFile:
    """The file in the folder of the state, and what became of those that could not be read."""

    def __init__(self, state: Path) -> None:
        self.path = state / NAME

    def load(self, today: date) -> Usage:
        """Return what was streamed; nothing where there is no file. A damaged one is quarantined. Raises OSError."""
        kept = self._read(self.path, today)
        usage = nothing(today) if kept is None else Usage(kept.day, kept.days)
        for file in format_versions.all_set_aside(self.path, FORMAT):
            if earlier := self._read(file.path, today):
                usage = usage.merge(earlier.days)
                self.save(usage)  # first: what is counted twice, after a power cut here, is no day given twice
                format_versions.remove(file)
                log.info("what a newer version counted for the budgets is taken in again", file=file.path.name)
        return usage.turn(today)

    def _read(self, file: Path, today: date) -> KeptUsage | None:
        """Return what a file says; one that is damaged, or of a newer version, is moved out of the way."""
        try:
            content = file.read_bytes()
            version = msgspec.json.decode(content, type=_Format).schema
            if version > FORMAT:
                moved = format_versions.set_aside(file, version, str(today))
                log.warning("budgets of a newer version", detail=format_versions.sentence(file, version, moved))
                return None
            return msgspec.json.decode(content, type=KeptUsage)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            moved = state_dir.quarantine(file, str(today))
            log.error("the file of the budgets is damaged", quarantined=str(moved), detail=str(error))  # noqa: TRY400
            return None

    def held(self, today: date) -> Path | None:
        """Return a file that was moved out of the way today: how much of the budgets it had counted nobody knows."""
        for file, day in sorted(self._moved()):
            if day >= today.isoformat():
                return file
        return None

    def _moved(self) -> Iterator[tuple[Path, str]]:
        """Yield what was moved out of the way, and the local day of that."""
        for file in self.path.parent.glob(f"{NAME}*{state_dir.DAMAGED}*"):
            yield file, file.name.rpartition(state_dir.DAMAGED)[2]
        for aside in format_versions.all_set_aside(self.path, sys.maxsize):
            yield aside.path, aside.stamp

    def save(self, usage: Usage) -> None:
        """Write it for good; raises OSError."""
        state_dir.replace(self.path, msgspec.json.encode(KeptUsage(FORMAT, usage.day, usage.days)))
