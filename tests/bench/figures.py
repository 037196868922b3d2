"""One figure: ours and a peer's from the same run, several times, and whether the aim is met."""

from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """A row of the table."""

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: str
    """What was measured beside it."""
    peers: tuple[float, ...]
    """As many values as `ours`, each from the same moments; empty where there is no peer."""
    most: float
    """The aim: the ratio, or without a peer the value, that is still good. Of rates the least."""
    is_rate: bool = False
    """More is better."""
    by_difference: bool = False
    """The aim is for what is left when the peer's value is taken away, not for the ratio."""

    @property
    def results(self) -> list[float]:
        """Ours by the peer's, run by run."""
        if not self.peers:
            return list(self.ours)
        pairs = zip(self.ours, self.peers, strict=True)
        return [ours - peer if self.by_difference else ours / peer for ours, peer in pairs]

    @property
    def is_met(self) -> bool:
        """By the median of the runs."""
        return median(self.results) >= self.most if self.is_rate else median(self.results) <= self.most

    def row(self) -> str:
        """The figure as a row in Markdown."""
        sign = "at least" if self.is_rate else "at most"
        unit = f" {self.unit}" if self.by_difference or not self.peers else " times"
        cells = [
            self.what,
            f"{_spread(self.ours)} {self.unit}",
            f"{self.peer}: {_spread(self.peers)} {self.unit}" if self.peers else "",
            f"**{_spread(self.results)}**{unit}",
            f"{sign} {self.most:g}{unit}",
            "met" if self.is_met else "**missed**",
        ]
        return "| " + " | ".join(cells) + " |"


def _spread(values: list[float] | tuple[float, ...]) -> str:
    """The median, and least and most where there are several."""
    if len(values) == 1:
        return _short(values[0])
    return f"{_short(median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: list[float], share: float) -> float:
    """The least value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
