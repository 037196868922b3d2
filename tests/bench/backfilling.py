"""The live path beside a back-fill: the same daemon, in turn with an upload of its spool beside it and without."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trio

from bench.events import result, subscribing
from bench.figures import Figure, percentile
from bench.moments import CHUNK_S, delays, newest_media, pieces_of_chunks
from bench.scene import Cloud, configuration, daemon, pouring, quiet_broker
from interhuman2mqtt.capture.spooler import segment_name
from interhuman2mqtt.runtime.clock import read_clocks
from support.rtsp import FULL_HD_MOUNT, rtsp_server

RATE = 20
"""Events a second."""
BITS = 2_000_000
"""A second: `backfill_rate` by default."""
EVENTS = "interhuman/bench/hall/event/signal.updated"
WITHOUT = "without it, in turn"
MOST = 1.25


class Timed(NamedTuple):
    """A value that belongs to a moment."""

    at: float
    value: float


async def beside_backfill(folder: Path, seconds: float, windows: int) -> list[Figure]:
    """Capture to sent, and the cloud's frame to a subscriber."""
    count = round(RATE * (2 * seconds + 8) * windows) + RATE
    async with (
        rtsp_server(FULL_HD_MOUNT) as camera,
        quiet_broker(folder) as broker,
        pouring(folder, "--save", str(folder), "--events", str(count), "--rate", str(RATE)) as cloud,
        subscribing(broker, EVENTS, count - 1) as subscriber,
    ):
        hall = {"source": camera.url("/full-hd"), "backfill": "2GiB"}
        async with daemon(folder, configuration(folder, cloud, broker, {"hall": hall}), ("bench.spooled",)):
            await subscriber.wait_line(lambda line: line == "first")
            first_at = time.time()
            media = newest_media(camera)
            await trio.sleep(2 * CHUNK_S)
            beside, alone = await _take_turns(folder, cloud, seconds, windows)
            ages = (await result(subscriber, 120)).latencies
        events = [Timed(first_at + number / RATE, age) for number, age in enumerate(ages)]
        pieces = pieces_of_chunks(folder, cloud)
        chunks = [Timed(piece.at, delay) for piece in pieces for delay in delays(camera, [piece], media)]
    return [
        *_figures("capture to sent", chunks, beside, alone, 0.9),
        *_figures(f"cloud's frame to subscriber, {RATE} events/s", events, beside, alone, 0.99),
    ]


async def _take_turns(
    folder: Path, cloud: Cloud, seconds: float, windows: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return when something was uploaded, and when not."""
    alone: list[tuple[float, float]] = []
    segments = [_written(folder / f"{number}.part", bytes(round(seconds * BITS / 8))) for number in range(windows)]
    for done, segment in enumerate(segments):
        began = time.time()
        await trio.sleep(seconds)
        alone.append((began, time.time()))
        _spool(folder, segment)
        with trio.fail_after(4 * seconds + 30):
            while len(_uploads(cloud)) <= done:  # noqa: ASYNC110 - lines of another process
                await trio.sleep(0.05)
    return _uploads(cloud), alone


def _uploads(cloud: Cloud) -> list[tuple[float, float]]:
    lines = [line.split()[1:] for line in cloud.process.lines if line.startswith("uploaded ")]
    return [(float(began), float(ended)) for began, ended in lines]


def _written(path: Path, content: bytes) -> Path:
    """Write a segment, and all of it to the disk: what of it is written later would be measured too."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _spool(folder: Path, segment: Path) -> None:
    """Put a segment where the capture process would."""
    segment.rename(folder / "spool" / "hall" / "segments-1" / segment_name(read_clocks().monotonic - 60, 30))


def _figures(
    what: str,
    values: Sequence[Timed],
    beside: Sequence[tuple[float, float]],
    alone: Sequence[tuple[float, float]],
    high: float,
) -> list[Figure]:
    ours, peers = ([_within(values, span) for span in spans] for spans in (beside, alone))
    return [
        Figure(f"{what} beside a back-fill, {name}", "ms", _ms(ours, share), WITHOUT, _ms(peers, share), MOST)
        for name, share in (("median", 0.5), (f"{high:.0%} of all", high))
    ]


def _within(values: Sequence[Timed], span: tuple[float, float]) -> list[float]:
    return [timed.value for timed in values if span[0] <= timed.at < span[1]]


def _ms(windows: Sequence[list[float]], share: float) -> tuple[float, ...]:
    return tuple(1000 * percentile(values, share) for values in windows)
