"""`budget.json`: what was streamed, as a later life of the daemon has to know it. Everything here blocks."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta, Struct

from interhuman2mqtt import statefolder
from interhuman2mqtt.policy.usage import Usage, nothing

NAME = "budget.json"
DAMAGED = ".damaged-"
"""Between the name and the local day on which the file was found so."""

log = structlog.get_logger(__name__)


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal[1]
    day: date
    days: dict[date, dict[str, Annotated[float, Meta(ge=0, lt=1e12)]]]


class BudgetFile:
    """The file in the folder of the state, and what became of damaged ones."""

    def __init__(self, state: Path) -> None:
        self.path = state / NAME

    def load(self, today: date) -> Usage:
        """What was streamed; nothing where there is no file. One that is damaged is set aside. Raises OSError."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return nothing(today)
        try:
            kept = msgspec.json.decode(content, type=Kept)
        except (msgspec.MsgspecError, ValueError) as error:
            aside = self.path.with_name(f"{NAME}{DAMAGED}{today}")
            self.path.replace(aside)
            statefolder.sync_folder(aside.parent)
            log.error("the file of the budgets is damaged", set_aside=str(aside), detail=str(error))  # noqa: TRY400
            return nothing(today)
        return Usage(kept.day, kept.days).turn(today)

    def held(self, today: date) -> Path | None:
        """A damaged file that was set aside today: how much of the day's budgets it had counted nobody knows."""
        for aside in sorted(self.path.parent.glob(f"{NAME}{DAMAGED}*")):
            day = aside.name.removeprefix(f"{NAME}{DAMAGED}")
            if day >= today.isoformat():
                return aside
        return None

    def save(self, usage: Usage) -> None:
        """For good; raises OSError."""
        statefolder.replace(self.path, msgspec.json.encode(Kept(1, usage.day, usage.days)))
