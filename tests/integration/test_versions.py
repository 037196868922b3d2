"""A box whose program changes: the files that 0.1.0 left when it was killed, through upgrade, downgrade and upgrade.

`support/state_of_0_1_0` was written by it (commit 027714f): two cameras streamed for ten seconds
without a broker, and one of them was paused.
"""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from cameras.test_coverage import Life as CoverageLife
from integration.helpers import box, run_peers
from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.coverage_file import STAMP
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.policy.budget_store import BOX, BudgetFile
from interhuman2mqtt.policy.pauses import PauseOrigin, Pauses
from interhuman2mqtt.runtime import state_dir
from publish.helpers import an_event_message
from publish.lives import Life
from support.clocks import Clocks

WRITTEN = Path(__file__).parents[1] / "support" / "state_of_0_1_0"
SOURCE = Path(__file__).parents[2] / "src" / "interhuman2mqtt"
KILLED = datetime(2026, 11, 28, 11, 4, 15, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN, tmp_path / "state"))


def ids_in(file: Path) -> list[str]:
    """The events in a store, in their order, as version 0.1.0 reads them, which knows two of its tables."""
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        rows = db.execute("SELECT payload FROM events ORDER BY key").fetchall()
        db.execute("SELECT topic, checksum FROM retained")
    return [msgspec.json.decode(payload)["id"] for (payload,) in rows]


def lived(state: Path, *numbers: int) -> list[str]:
    """The events that a life of the present version has in its outbox, with those of these numbers."""
    life = Life(state / "outbox.sqlite").open()
    for n in numbers:
        life.outbox.put(an_event_message("front", n, msgspec.json.encode({"id": str(n)})))
    life.commit()
    life.store.close()
    assert life.lost == []
    return [msgspec.json.decode(message.payload)["id"] for message in life.messages]


def test_no_event_is_lost_between_versions(state: Path) -> None:
    """0.1.0, now, 0.1.0, now: the outbox is one file for both, and each finds all that the other left, in order."""
    before = ids_in(state / "outbox.sqlite")
    assert len(before) == 23
    assert lived(state, 1, 2) == [*before, "1", "2"]
    assert ids_in(state / "outbox.sqlite") == [*before, "1", "2"]
    with closing(sqlite3.connect(state / "outbox.sqlite")) as db, db:  # what 0.1.0 does once the broker has taken one
        db.execute("DELETE FROM events WHERE key = 1")
    assert lived(state) == [*before[1:], "1", "2"]


def test_a_pause_holds_through_versions(state: Path) -> None:
    """A pause that 0.1.0 wrote holds, with who made it and when; and one that we write has the form that it reads."""
    pauses = Pauses(state)
    pauses.prepare()
    pauses.tend()
    assert pauses.read().pauses["table"].origin is PauseOrigin.COMMAND
    pauses.pause("front", PauseOrigin.REQUEST)
    content = msgspec.json.decode((state / "paused" / "front").read_bytes())
    assert content.keys() == {"origin", "at"}
    assert content["origin"] == "request"
    assert datetime.fromisoformat(content["at"]).tzinfo is not None
    names = [file.name for file in (state / "paused").iterdir()]
    assert sorted(name for name in names if not name.startswith(".")) == ["front", "table"]  # as 0.1.0 reads the folder


def test_budgets_go_through_versions(state: Path) -> None:
    """What 0.1.0 counted counts on, in a file that it reads."""
    before = (state / "budget.json").read_bytes()
    file = BudgetFile(state)
    usage = file.load(date(2026, 11, 28))
    assert usage.today == {"front": 48.0, "table": 18.0, BOX: 66.0}
    file.save(usage)
    assert (state / "budget.json").read_bytes().replace(b" ", b"") == before


async def test_gaps_go_through_versions(state: Path) -> None:
    """The time between each two lives is published by the newer, though 0.1.0 cannot read what it wrote."""
    file = state / "coverage.json"
    old = file.read_bytes()
    clocks = Clocks(KILLED)
    clocks.boottime = clocks.monotonic = 1000.0
    clocks.run(60)
    upgraded = CoverageLife(state, clocks, "front", "table")
    assert {camera: (gap.reason, gap.end_at) for camera, gap in upgraded.published} == {
        "front": (Reason.POWER_CUT, datetime.fromtimestamp(clocks.realtime, UTC)),
        "table": (Reason.POWER_CUT, datetime.fromtimestamp(clocks.realtime, UTC)),
    }
    assert {camera: len(signals) for camera, signals in upgraded.left.items()} == {"front": 2, "table": 1}
    assert (state / "coverage.json.format-1").read_bytes() == old
    for camera in ("front", "table"):
        upgraded.delivers(10, camera)
        upgraded.coverage.set_reason(camera, Reason.STOPPED)
    await upgraded.coverage.save()
    stopped = datetime.fromtimestamp(clocks.realtime, UTC)
    clocks.run(30)
    downgraded = datetime.fromtimestamp(clocks.realtime, UTC)
    file.rename(state / "coverage.json.damaged")  # which is what 0.1.0 does with it, and writes its own
    renamed = (state / "coverage.json.damaged").stat().st_ctime_ns
    state_dir.keep_private(state)
    assert (state / "coverage.json.damaged").stat().st_ctime_ns == renamed
    file.write_bytes(old.replace(b"2026-11-28T11:04:1", f"{downgraded:%Y-%m-%dT%H:%M:1}".encode()))
    clocks.run(600)
    again = CoverageLife(state, clocks, "front", "table")
    [gap] = [gap for camera, gap in again.published if camera == "table" and gap.reason is Reason.STOPPED]
    assert gap.start_at == stopped
    assert not (state / "coverage.json.damaged").exists()
    assert f"{gap.end_at:{STAMP}}" >= f"{stopped:{STAMP}}"


def formats_in(state: Path) -> dict[str, int]:
    """The version of the format of each file that a daemon has left, but for pauses; its absence is an error."""
    found = {}
    for file in [*state.glob("*.json"), *state.glob("*.sqlite")]:
        if file.suffix == ".json":
            found[file.name] = msgspec.json.decode(file.read_bytes())["schema"]
        else:
            with closing(sqlite3.connect(file)) as db:
                [found[file.name]] = db.execute("PRAGMA user_version").fetchone()
    return found


async def test_a_program_that_is_replaced_while_it_runs(tmp_path: Path) -> None:
    """`pip install` over a running daemon: the first capture process of another version ends it in order, with 75.

    systemd starts it anew then; the camera has its last status, and no event is lost.
    """
    installed = tmp_path / "site" / "interhuman2mqtt"
    shutil.copytree(SOURCE, installed, ignore=shutil.ignore_patterns("__pycache__"))
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {"source": "test:", "size": "160x96", "fps": 10, "budget": {"per_day": "6h"}}})
        async with box(tmp_path, config, env={"PYTHONPATH": str(installed.parent)}) as daemon:
            await peers.wait_status("front", "streaming")
            init = installed / "__init__.py"
            init.write_text(init.read_text().replace(__version__, "9.8.7"))
            [worker] = daemon.workers()
            os.kill(worker, signal.SIGKILL)
            line = await daemon.wait_log("stopping: the program was replaced")
            assert (line["running"], line["installed"]) == (__version__, "9.8.7")
            assert await daemon.wait() == 75
            assert "was replaced by 9.8.7 while it ran: start it again" in daemon.output[-1]
            await peers.wait_status("front", "stopped", "stopped")
    assert formats_in(tmp_path) == {"budget.json": 1, "coverage.json": 2, "outbox.sqlite": 1}
