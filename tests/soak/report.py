"""The report of a run: what was done to the daemon, what came of it, and whether each promise held; no I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from soak.fault_plan import PlannedFault
from soak.oracle import Check, Comeback, Growth

SHOWN = 5
"""Pieces of evidence that are printed."""


class Recovery(Struct, frozen=True):
    """How long cameras took to stream again after a kind of fault, in seconds."""

    fault: str
    times: int
    """Undisturbed comebacks, of all cameras together."""
    p50: float
    p95: float
    longest: float


class Report(Struct, frozen=True, kw_only=True):
    """All that a run has to say."""

    seed: int
    minutes: float
    version: str
    faults: dict[str, int]
    """How often each was done."""
    not_done: list[str]
    totals: dict[str, float]
    recoveries: list[Recovery]
    growth: list[Growth]
    checks: list[Check]
    ended_early: str = ""

    @property
    def ok(self) -> bool:
        """Whether every promise held that was judged."""
        return not self.ended_early and all(check.ok is not False for check in self.checks)


def recoveries(found: Iterable[Comeback]) -> list[Recovery]:
    """The comebacks by kind of fault."""
    times: dict[str, list[float]] = defaultdict(list)
    for comeback in found:
        if comeback.seconds is not None:
            times[comeback.fault].append(comeback.seconds)
    return [
        Recovery(fault, len(each), quantile(each, 0.5), quantile(each, 0.95), round(max(each), 1))
        for fault, each in sorted(times.items())
    ]


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of the values is not above."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1)


def by_kind(plan: Iterable[PlannedFault]) -> dict[str, int]:
    """How many faults there are of each kind."""
    return dict(sorted(Counter(planned.kind for planned in plan).items()))


def text(report: Report) -> str:
    """The report as it is printed."""
    lines = [f"interhuman2mqtt {report.version}: soak of {report.minutes:g} minutes, seed {report.seed}", ""]
    lines += ["faults", *_wrapped(f"{count} {fault}" for fault, count in report.faults.items())]
    lines += [f"  not done: {sentence}" for sentence in report.not_done]
    lines += ["", "totals", *(f"  {name:<44} {value:>10,.10g}" for name, value in report.totals.items())]
    lines += ["", "streaming again after (s)                 n    p50    p95    max"]
    lines += [f"  {r.fault:<38} {r.times:>3} {r.p50:>6.1f} {r.p95:>6.1f} {r.longest:>6.1f}" for r in report.recoveries]
    lines += ["", "between faults, early and late", *(_grown(growth) for growth in report.growth)]
    lines += ["", "promises", *(line for check in report.checks for line in _checked(check))]
    if report.ended_early:
        lines.append(f"  the run ended early: {report.ended_early}")
    lines += ["", "PASSED" if report.ok else "FAILED"]
    return "\n".join(lines)


def _wrapped(words: Iterable[str]) -> list[str]:
    lines = ["  "]
    for word in words:
        if len(lines[-1]) + len(word) > 110:
            lines.append("  ")
        lines[-1] += word + ", "
    return [line.rstrip(", ") for line in lines]


def _grown(growth: Growth) -> str:
    unit, name = (1e6, "MB") if growth.figure == "memory" else (1.0, growth.figure)
    return f"  {f'{growth.role}, {name}':<44} {growth.early / unit:>10.1f} -> {growth.late / unit:.1f}"


def _checked(check: Check) -> list[str]:
    word = {True: "pass", False: "FAIL", None: "not judged"}[check.ok]
    lines = [f"  {word:<10} {check.name}: {check.says}"]
    lines += [f"             - {sentence}" for sentence in check.evidence[:SHOWN]]
    if len(check.evidence) > SHOWN:
        lines.append(f"             - and {len(check.evidence) - SHOWN} more")
    return lines


def as_json(report: Report) -> dict[str, Any]:
    """For machines."""
    return {**to_builtins(report), "ok": report.ok}
