"""Cost as the work grows, as pictures: drawn from the points of the same run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "interhuman2mqtt"  # the same points give the same file
from matplotlib import pyplot as plt  # noqa: E402 - only now that it needs no screen

Lines = Mapping[str, Sequence[float]]


def draw(file: Path, title: str, panels: Sequence[tuple[str, str, Sequence[float], Lines]]) -> None:
    """One panel beside the other: what is on its axes, the values along, and a line for each name."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.2), squeeze=False)
    for axis, (along, up, values, lines) in zip(axes[0], panels, strict=True):
        for name, heights in lines.items():
            axis.plot(values, heights, marker="o", markersize=3, label=name)
        axis.set_xlabel(along)
        axis.set_ylabel(up)
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
