"""The way of one event: the page that describes it names what a real event enters, and nothing else."""

import json
import re
import sys
from itertools import chain
from pathlib import Path

import trio

from integration.helpers import Box, run_peers
from support.processes import start_process

ROOT = Path(__file__).parents[2]
TRACER = Path(__file__).with_name("event_tracer.py")
CAMERA = {"source": "test:", "size": "160x96", "fps": 10}
MOST = 14
"""Modules between the frame's arrival and the bytes on the broker's socket."""
HELPERS = {"runtime/clock.py", "runtime/redaction.py", "runtime/histogram.py", "runtime/notifier.py"}
"""Dates, hides, counts and wakes for everybody; no event is handed to them, and none goes on from there."""


def documented() -> list[tuple[str, str]]:
    """Return the rows of the table: file and function."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = re.search(r"<!-- event way -->(.*?)<!-- end -->", page, re.DOTALL)
    assert table
    return re.findall(r"^\| *\d+ *\| `([^`]+)` \| `([^`]+)` \|", table[1], re.MULTILINE)


async def traced(folder: Path) -> list[list[tuple[str, str]]]:
    """Return what each of some events entered on its way: file and function, in their order."""
    out = folder / "ways.json"
    async with run_peers(folder) as peers:
        file = Box(folder, peers.config({"front": CAMERA})).file
        environment = Box(folder, peers.config({"front": CAMERA})).environment
        command = [sys.executable, str(TRACER), str(out), "run", "--config", str(file)]
        service = await start_process(command, environment)
        try:
            await peers.wait_event("front", "signal.detected", count=2)
        finally:
            with trio.move_on_after(10, shield=True):
                await service.kill()
    return [[(file, name) for file, name in way] for way in json.loads(out.read_text())]


async def test_the_way_of_one_event(tmp_path: Path) -> None:
    """From the cloud's frame to the broker's socket an event enters the documented modules, at most 14, in that order.

    Beside them the few helpers of `runtime` that date, hide, count and wake.
    """
    ways = await traced(tmp_path)
    rows = documented()
    files = [file for file, _ in rows]
    assert len(files) <= MOST
    for way in ways:
        entered = list(dict.fromkeys(file for file, _ in way))
        assert [file for file in entered if file not in HELPERS] == files
    assert set(rows) <= set(chain.from_iterable(ways))
