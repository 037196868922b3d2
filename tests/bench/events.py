"""From the cloud's frame to a subscriber: how late, how many a second, and how fast what waited goes out."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import trio

from bench.figures import Figure, percentile
from bench.moments import SUBSCRIBER
from bench.scene import configuration, daemon, pouring, quiet_broker
from interhuman2mqtt import config
from publish.helpers import an_event_message
from publish.lives import Life
from support.clips import Clip
from support.mosquitto import Broker
from support.processes import ChildProcess, running

EVENTS = "interhuman/bench/+/event/signal.updated"
SMALL = Clip(size=(192, 108), seconds=8, fps=15, gop=15)
RATE = 100
TOPIC = "plain/event/signal.updated"
RELAYED = "relayed/event/signal.updated"
RELAY = "`websockets` to aiomqtt, nothing kept"
AT_ONCE = 20
"""What aiomqtt has on its way at once: as much as most brokers take."""
RATES = (1, 10, 100, 500, 1000, 2000)


class Arrivals(NamedTuple):
    """What a subscriber measured."""

    seconds: float
    """From the first message to the last."""
    latencies: list[float]
    """Seconds from the sending of each to its arrival."""


async def latency(folder: Path, seconds: float, runs: int, rate: int = RATE) -> list[Figure]:
    """Of events that come one by one, the outbox durable."""
    ours: list[list[float]] = []
    plain: list[list[float]] = []
    relayed: list[list[float]] = []
    count = round(seconds * rate)
    async with quiet_broker(folder) as broker:
        for run in range(runs):
            here = folder / f"{rate}-{run}"
            here.mkdir()
            ours.append((await _pour(here, broker, count, rate)).latencies)
            plain.append((await _publish(broker, count, rate, 1)).latencies)
            relayed.append((await _relay(here, broker, count, rate)).latencies)
    what = f"cloud's frame to subscriber, {rate} events/s"
    return [
        Figure(f"{what}, {name}", "ms", _ms(ours, share), peer, _ms(theirs, share), most)
        for peer, theirs in (("aiomqtt alone", plain), (RELAY, relayed))
        for name, share, most in (("median", 0.5, 1.5), ("99th percentile", 0.99, 2.0))
    ]


def _ms(runs: list[list[float]], share: float) -> tuple[float, ...]:
    return tuple(1000 * percentile(values, share) for values in runs)


async def throughput(folder: Path, count: int, runs: int) -> list[Figure]:
    """Of as many events as the cloud can send."""
    ours, plain, relayed = [], [], []
    async with quiet_broker(folder) as broker:
        for run in range(runs):
            here = folder / f"most-{run}"
            here.mkdir()
            ours.append(count / (await _pour(here, broker, count, 0)).seconds)
            plain.append(count / (await _publish(broker, count, 0, AT_ONCE)).seconds)
            relayed.append(count / (await _relay(here, broker, count, 0)).seconds)
    what = "events a second, sustained, durable"
    return [
        Figure(what, "events/s", tuple(ours), peer, tuple(theirs), 1.0, is_rate=True)
        for peer, theirs in (
            (f"aiomqtt alone, QoS 1, {AT_ONCE} at once", plain),
            (f"{RELAY}, {AT_ONCE} at once", relayed),
        )
    ]


async def backlog(folder: Path, count: int) -> list[Figure]:
    """What waited through an outage, against mosquitto_pub with the same payloads."""
    payload = json.dumps({"id": "bench/front/7c1e/1", "late": False, "data": {"rationale": "x" * 400}}).encode()
    waiting = await trio.to_thread.run_sync(_wait, folder, payload, count)
    lines = "\n".join([payload.decode()] * count)
    async with quiet_broker(folder) as broker, pouring(folder) as cloud:
        limits = {"path": str(waiting), "max_size": "1GiB"}
        file = configuration(folder, cloud, broker, {"front": {"source": "test:", "enabled": False}}, outbox=limits)
        async with subscribing(broker, "interhuman/lobby-1/#", count) as subscriber, daemon(folder, file):
            ours = (await result(subscriber, 300)).seconds
        # its stdin stays open: at its end it goes, whether what is on its way has been delivered or not
        command = ["mosquitto_pub", "-p", str(broker.port), "-V", "5", "-q", "1", "-t", TOPIC, "-l"]
        async with subscribing(broker, TOPIC, count) as subscriber, running(command) as peer:
            await peer.write_line(lines)
            theirs = (await result(subscriber, 300)).seconds
    return [Figure(f"draining {count:,} waiting events", "s", (ours,), "`mosquitto_pub -l`, QoS 1", (theirs,), 1.5)]


def _wait(folder: Path, payload: bytes, count: int) -> Path:
    life = Life(folder / "waiting" / "outbox.sqlite", limits=config.Outbox(max_size=1 << 30)).open()
    for n in range(count):
        life.outbox.put(an_event_message("front", n, payload))
        if n % 500 == 499:
            life.commit()
    life.commit()
    return life.crash(folder / "left")


async def _pour(folder: Path, broker: Broker, count: int, rate: float) -> Arrivals:
    """Through the daemon."""
    options = ["--events", str(count)] + (["--rate", str(rate)] if rate else [])
    async with (
        pouring(folder, *options) as cloud,
        subscribing(broker, EVENTS, count - 1) as subscriber,
    ):
        file = configuration(folder, cloud, broker, {"front": {"source": f"file:{SMALL.path()}"}})
        async with daemon(folder, file):
            return await result(subscriber, 300)


async def _relay(folder: Path, broker: Broker, count: int, rate: float) -> Arrivals:
    """From the same cloud, by a script."""
    options = ["--events", str(count)] + (["--rate", str(rate)] if rate else [])
    async with pouring(folder, *options) as cloud, subscribing(broker, RELAYED, count) as subscriber:
        command = [sys.executable, "-m", "bench.relay", cloud.url, str(broker.port), RELAYED, str(AT_ONCE)]
        async with running(command):
            return await result(subscriber, 300)


async def _publish(broker: Broker, count: int, rate: float, at_once: int) -> Arrivals:
    """By aiomqtt."""
    command = [sys.executable, "-m", "bench.plain", str(broker.port), TOPIC, str(rate), str(count), str(at_once)]
    async with subscribing(broker, TOPIC, count) as subscriber, running(command) as plain:
        await plain.write_line(PAYLOAD)
        return await result(subscriber, 300)


@asynccontextmanager
async def subscribing(broker: Broker, topic: str, count: int) -> AsyncIterator[ChildProcess]:
    """A subscriber that is in place."""
    async with running([*SUBSCRIBER, str(broker.port), topic, str(count)]) as process:
        await process.wait_line(lambda line: line == "subscribed")
        yield process


async def result(subscriber: ChildProcess, within: float) -> Arrivals:
    """What it measured."""
    line = await subscriber.wait_line(lambda line: line.startswith("["), within)
    return msgspec.json.decode(line, type=Arrivals)


PAYLOAD = json.dumps(
    {
        "schema": 1,
        "id": "lobby-1/front/7c1e1c2e-8f5a-4c57-9f0e-0d8f4a4a2f11/42",
        "box": "lobby-1",
        "camera": "front",
        "type": "signal.updated",
        "session": "7c1e1c2e-8f5a-4c57-9f0e-0d8f4a4a2f11",
        "correlation_id": "550e8400-e29b-41d4-a716-446655440000",
        "timestamp": "2026-11-22T10:00:12.345678Z",
        "received_at": "2026-11-22T10:00:12.402113Z",
        "start_at": "2026-11-22T10:00:03.120Z",
        "end_at": None,
        "clock": "synced",
        "replayed": False,
        "late": False,
        "data": {
            "signal_type": "hesitation",
            "start": 1.0,
            "probability": "medium",
            "rationale": "Brows drawn together after the explanation, gaze averted, and a pause before the answer.",
            "sent_ns": 0,
        },
    }
)
