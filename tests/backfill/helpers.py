"""Parts of the tests of back-fill: segments on a disk, and what stands around an uploader."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import trio

from cameras.helpers import CLOCK, RecordingPublisher, a_camera
from interhuman2mqtt.backfill.spool import CameraSpool, SpoolBounds
from interhuman2mqtt.backfill.uploader import UploadContext, Uploader
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.capture.spooler import segment_name
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.runtime.clock import read_clocks
from interhuman2mqtt.supervisor import Health
from interhuman2mqtt.upload.client import UploadClient
from simulator.helpers import clip
from support.processes import PATIENCE_S

BOUNDS = SpoolBounds(1 << 30, 3600.0)
SECONDS = 4


class Live:
    """A live session whose health the test decides."""

    def __init__(self) -> None:
        self.trouble = trio.Event()

    async def wait_well(self) -> None:
        """It is well."""
        await trio.lowlevel.checkpoint()

    async def wait_unwell(self) -> str:
        """Wait for the test's word."""
        await self.trouble.wait()
        return "the test says so"


class Bench:
    """A spool, and an uploader of it."""

    def __init__(self, folder: Path, client: UploadClient, version: int = 2, **keys: Any) -> None:
        self.folder = folder / "front"
        self.spool = CameraSpool("front", self.folder, CLOCK)
        self.published = RecordingPublisher()
        self.counters = Counters()
        self.live = Live()
        self.budgets = Budgets(Meter(folder, None), None)
        around = UploadContext(
            box="lobby-1",
            redact=frozenset({"rationale"}),
            clock=CLOCK,
            live=self.live,
            budgets=self.budgets,
            publisher=self.published,
            counters=self.counters,
            new_client=lambda: (client, version),
        )
        camera = a_camera(backfill=1 << 30, backfill_rate=1_000_000_000, **keys)
        self.uploader = Uploader(camera, self.spool, around)

    async def step(self) -> bool:
        """What a supervisor calls again and again."""
        with trio.fail_after(PATIENCE_S):
            return await self.uploader.run(Health())

    def names(self) -> list[str]:
        """The segments on the disk, oldest first."""
        return sorted((path.name for path in self.folder.rglob("*.mp4")), key=lambda name: int(name.split("-")[1]))

    async def tend(self, until: Callable[[], object], bounds: SpoolBounds = BOUNDS) -> None:
        """Keep the spool, until it is so."""
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tend, bounds)
                while not until():  # noqa: ASYNC110 - files
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()

    async def _tend(self, bounds: SpoolBounds) -> None:
        while True:
            await self.spool.tend(bounds, self.counters)


def put_segment(folder: Path, ago: float, seconds: float = SECONDS, content: bytes | None = None) -> Path:
    """A segment of a camera, captured so long ago."""
    media = max((folder / "front").glob("segments-*"), default=folder / "front" / "segments-1")
    media.mkdir(parents=True, exist_ok=True)
    path = media / segment_name(read_clocks().monotonic - ago, seconds)
    path.write_bytes(clip(SECONDS) if content is None else content)
    return path


def uptime(event_time: datetime) -> float:
    """A date on the clock that segments are named by."""
    now = CLOCK.instant()
    return event_time.timestamp() - now.wall + now.uptime


def ago(seconds: float) -> float:
    """So long ago, on BOOTTIME."""
    return CLOCK.instant().uptime - seconds
