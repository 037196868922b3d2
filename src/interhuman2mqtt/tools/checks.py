"""What `doctor` looks at, one by one: values, and how they are told."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import TextIO

import msgspec
from msgspec import Struct

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.tools.remedies import remedy


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not always."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be looked at; the detail says why."""


class Check(Struct, frozen=True):
    """One link of the chain."""

    check: str
    status: Status
    detail: str
    remedy: str | None = None


def ok(check: str, detail: str) -> Check:
    """It is as it should be."""
    return Check(check, Status.OK, redact(detail))


def failed(check: str, detail: str, what_to_do: str) -> Check:
    """It is not."""
    return Check(check, Status.FAILED, redact(detail), what_to_do)


def down(check: str, outage: Outage) -> Check:
    """It is not, as an outage of the daemon's own words says."""
    return failed(check, f"{outage.reason.value}: {outage.detail}", remedy(outage))


def warning(check: str, detail: str, what_to_do: str) -> Check:
    """It is, with a reservation."""
    return Check(check, Status.WARNING, redact(detail), what_to_do)


def skipped(check: str, detail: str) -> Check:
    """Nobody looked."""
    return Check(check, Status.SKIPPED, redact(detail))


def is_well(checks: Iterable[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.status is not Status.FAILED for check in checks)


def tell(checks: list[Check], out: TextIO, *, as_json: bool) -> None:
    """All of them, a line each, the remedy below it."""
    if as_json:
        print(json.dumps({"ok": is_well(checks), "checks": msgspec.to_builtins(checks)}), file=out)
        return
    width = max(len(check.check) for check in checks)
    for check in checks:
        print(f"{check.status.value:8}{check.check:{width}}  {clean_lines(check.detail)}", file=out)
        if check.remedy:
            print(f"{'':8}{'':{width}}  -> {_indented(clean_lines(check.remedy), 8 + width + 5)}", file=out)


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)
