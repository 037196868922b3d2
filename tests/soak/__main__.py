"""`make soak MINUTES=n SEED=s`: run the soak, print its report; exit status 1 where a promise did not hold."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from soak import fault_plan, report
from soak.checks import build_report
from soak.report import Report
from soak.run import SoakRun
from soak.testbed import CAMERAS, testbed


def main(words: list[str] | None = None) -> int:
    """The command."""
    options = _options(words)
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{options.seed}-"))
    plan = fault_plan.plan(options.seed, options.minutes * 60, CAMERAS)
    _print(f"soak of {options.minutes:g} minutes, seed {options.seed}, in {folder}")
    _print("\n".join(["     at  fault              target                                   s", *map(str, plan)]))
    found = trio.run(soak, folder, plan, options.seed, options.minutes)
    _print(report.text(found))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report.as_json(found))))
    if found.ok and not options.keep:
        shutil.rmtree(folder)
    else:
        _print(f"what is left of it: {folder}")
    return 0 if found.ok else 1


async def soak(folder: Path, plan: tuple[fault_plan.PlannedFault, ...], seed: int, minutes: float) -> Report:
    """One run."""
    async with testbed(folder) as bed:
        run = SoakRun(bed, plan, minutes * 60, _print)
        await run.execute()
        return build_report(bed, run, seed, minutes, time.time())


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Run the daemon under random faults, and judge it.")
    parser.add_argument("--minutes", type=float, default=10.0, help="the quiet time at the end included; default 10")
    parser.add_argument("--seed", type=int, default=1, help="the same seed and length make the same plan; default 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too, for machines")
    parser.add_argument("--keep", action="store_true", help="keep log and records of a run that passed too")
    return parser.parse_args(words)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
