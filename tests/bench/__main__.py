"""`make bench`: measure everything, and write `tests/bench/results.md` and the plots beside it.

Run it on a machine that does nothing else. `--quick` is a fifth of it, to see that it works; `--only NAME` a part,
which is printed and written nowhere.
"""

import argparse
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

import trio

from bench import presets
from bench.backfilling import beside_backfill
from bench.capacity import Capacity, capacity, table
from bench.copying import copied_camera
from bench.encoding import encoded_camera
from bench.events import RATES, backlog, latency, throughput
from bench.figures import Figure
from bench.many import COUNTS, Point, many_cameras, many_starts
from bench.moments import capture_to_sent, starting
from bench.page import page_of_a_fleet
from bench.plots import draw
from bench.smallbox import Small, small_box

HERE = Path(__file__).parent
MISSED = HERE / "missed.md"
"""What is known of the aims that are missed, by hand."""
HEADER = "| what | ours | peer, in the same run | result | aim | |\n|---|---|---|---|---|---|"


class Suite:
    """What was found so far.

    Args:
        folder: For what the daemons keep.
        share: Of the full lengths.
    """

    def __init__(self, folder: Path, share: float) -> None:
        self.figures: list[Figure] = []
        self.points: list[Point] = []
        self.rates: list[list[Figure]] = []
        self.small: list[Small] = []
        self.capacity: list[Capacity] = []
        self.presets: list[presets.Encoded] = []
        self.missing: list[str] = []
        """What did not end in time."""
        self._folder = folder
        self._share = share
        self._runs = 3 if share == 1 else 1
        self._naive_mb = math.nan

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What it measures, by name, in its order."""
        runs = self._runs
        return {
            "copied": self._copy,
            "encoded": self._add(lambda folder: encoded_camera(folder, 20 * self._share, runs)),
            "sent": self._add(lambda folder: capture_to_sent(folder, 60 * self._share)),
            "start": self._add(lambda folder: starting(folder, runs)),
            "starts": self._add(lambda folder: many_starts(folder, round(COUNTS[-1] * self._share))),
            "latency": self._add(lambda folder: latency(folder, 12 * self._share, runs)),
            "throughput": self._add(lambda folder: throughput(folder, round(20_000 * self._share), runs)),
            "backlog": self._add(lambda folder: backlog(folder, round(100_000 * self._share))),
            "backfill": self._add(lambda folder: beside_backfill(folder, 30 * self._share, max(3, runs))),
            "rates": self._grow_events,
            "cameras": self._grow_cameras,
            "small": self._shrink,
            "capacity": self._fill,
            "presets": self._compare_presets,
            "page": self._add(lambda folder: page_of_a_fleet(folder, 600 * self._share)),
        }

    def _add(self, measure: Callable[[Path], Awaitable[list[Figure]]]) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            self.figures += await measure(self._new_folder())

        return run

    async def _copy(self) -> None:
        figures, self._naive_mb = await copied_camera(self._new_folder(), 40 * self._share, self._runs)
        self.figures += figures

    async def _grow_events(self) -> None:
        for rate in RATES:
            self.rates.append(await latency(self._new_folder(), max(5 * self._share, 15 / rate), 1, rate))

    async def _grow_cameras(self) -> None:
        figures, self.points = await many_cameras(self._new_folder(), 60 * self._share, self._naive_mb)
        self.figures += figures

    async def _shrink(self) -> None:
        self.small = await small_box(self._new_folder(), 20 * self._share)

    async def _fill(self) -> None:
        self.capacity = await capacity(self._new_folder(), 20 * self._share, self._runs)

    async def _compare_presets(self) -> None:
        self.presets = await presets.presets(self._new_folder(), 10 * self._share)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))

    def text(self) -> str:
        """All of it in Markdown."""
        lines = [HEADER, *(figure.row() for figure in self.figures), ""]
        lines += [f"Not measured, since it did not end in time: {', '.join(self.missing)}.", ""] if self.missing else []
        if self.small:
            lines += ["On a quarter of a core and 256 MiB (control groups, from the start on), the same cameras:", ""]
            lines += [
                "| cameras | of them streaming | latest chunk late by | processes restarted | daemon |",
                "|---|---|---|---|---|",
            ]
            lines += [
                f"| {s.cameras} | {s.streaming} | {s.late:.1f} s | {s.restarts} | {'up' if s.is_up else '**down**'} |"
                for s in self.small
            ]
        if self.capacity:
            lines += ["", *table(self.capacity)]
        if self.presets:
            lines += ["", *presets.table(self.presets)]
        return "\n".join(lines).rstrip() + "\n"

    def draw(self) -> None:
        """The plots."""
        if self.points:
            along = [point.cameras for point in self.points]
            cpu = {"ours": [p.cpu for p in self.points], "ffmpeg -c copy": [p.peer_cpu for p in self.points]}
            memory = {"ours, rings of 10 s included": [p.memory for p in self.points]}
            late = {"ours": [p.late for p in self.points], "ffmpeg -c copy": [p.peer_late for p in self.points]}
            title = "1080p30 cameras at 3 Mbit/s, copied"
            panels = [("cameras", "% of a core", along, cpu), ("cameras", "MB", along, memory)]
            draw(HERE / "cameras.svg", title, [*panels, ("cameras", "latest chunk, s", along, late)])
        if self.rates:
            figures = [figure for pair in self.rates for figure in pair]
            lines = {
                f"{who}, {name}": [median(getattr(figure, field)) for figure in figures[first::4]]
                for who, field, row in (("ours", "ours", 0), ("aiomqtt alone", "peers", 0), ("relay", "peers", 2))
                for name, first in (("median", row), ("99 %", row + 1))
            }
            draw(HERE / "events.svg", "from the cloud's frame to a subscriber", [("events/s", "ms", RATES, lines)])


def machine() -> str:
    """In words."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, Python "
        f"{platform.python_version()}; load average at the start {os.getloadavg()[0]:.1f}"
    )


async def measure(suite: Suite, names: list[str]) -> None:
    """The parts of these names, or all."""
    for name, run in suite.parts().items():
        if not names or name in names:
            began, before = time.monotonic(), len(suite.figures)
            try:
                await run()
            except trio.TooSlowError:  # one that does not end costs no other
                suite.missing.append(name)
            sys.stdout.write("\n".join([f"-- {name}, {time.monotonic() - began:.0f} s", *_rows(suite, before)]) + "\n")
            sys.stdout.flush()


def _rows(suite: Suite, before: int) -> list[str]:
    return [figure.row() for figure in suite.figures[before:]]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="a fifth of it")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a part; may be repeated")
    options = parser.parse_args()
    about = machine()
    sys.stdout.write(f"{about}\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        suite = Suite(Path(folder), 0.2 if options.quick else 1.0)
        trio.run(partial(measure, suite, options.only))
    if not options.only:
        said = f"Measured on {time.strftime('%Y-%m-%d')}: {about}."
        (HERE / "results.md").write_text(
            f"# What it costs, beside its peers\n\n{said}\n\n{suite.text()}\n{MISSED.read_text()}"
        )
        suite.draw()
    else:
        sys.stdout.write(suite.text())


if __name__ == "__main__":
    main()
