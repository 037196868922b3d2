"""`make soak MINUTES=n SEED=s`: run the soak, print its report; exit status 1 where a promise did not hold."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from soak import report, storm
from soak.course import Course
from soak.report import Report
from soak.site import CAMERAS, site
from soak.verdict import verdict


def main(words: list[str] | None = None) -> int:
    """The command."""
    options = _options(words)
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{options.seed}-"))
    plan = storm.plan(options.seed, options.minutes * 60, CAMERAS)
    _say(f"soak of {options.minutes:g} minutes, seed {options.seed}, in {folder}")
    _say("\n".join(["     at  fault              target                                   s", *map(str, plan)]))
    found = trio.run(soak, folder, plan, options.seed, options.minutes)
    _say(report.text(found))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report.as_json(found))))
    if found.ok and not options.keep:
        shutil.rmtree(folder)
    else:
        _say(f"what is left of it: {folder}")
    return 0 if found.ok else 1


async def soak(folder: Path, plan: tuple[storm.Happening, ...], seed: int, minutes: float) -> Report:
    """One run."""
    async with site(folder) as everything:
        course = Course(everything, plan, minutes * 60, _say)
        await course.run()
        return verdict(everything, course, seed, minutes, time.time())


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="A daemon in a storm, and what came of it.")
    parser.add_argument("--minutes", type=float, default=10.0, help="the calm at the end included; default 10")
    parser.add_argument("--seed", type=int, default=1, help="the same seed and length is the same storm; default 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too, for machines")
    parser.add_argument("--keep", action="store_true", help="keep log and records of a run that passed too")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
