"""What the page of a large fleet costs: 1,000 cameras, 20 events a second, a fortnight of history, a browser on it.

Beside it, on the same messages: `watch`, and Node-RED's dashboard where there is npm.
"""

import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx  # noqa: ASYNC127 - the SDK of the vendor brings it
import trio
from playwright.sync_api import Page

from bench.figures import Figure, percentile
from bench.kernel import cpu_seconds, family, pss_bytes
from bench.nodered import NodeRed, node_red
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.rows import CameraKey, EngagementRow, GapRow, QualityRow, ReceivedRow, Row, SignalRow
from support.processes import ChildProcess, running
from web.chromium import chromium, tab_of
from web.helpers import Site, ago, site

CAMERAS = [CameraKey(f"box-{number % 100:02}", f"cam{number:03}") for number in range(1000)]
RATE = 20
DAYS = 14
ROWS_A_DAY = 150
"""Of a camera; 2.1 million in all."""
PAGE, WATCH, DASHBOARD = "page", "`watch`", "Node-RED's dashboard"
LEVELS = ("engaged", "neutral", "disengaged")


async def page_of_a_fleet(folder: Path, seconds: float) -> list[Figure]:
    """CPU and memory of the page, beside `watch`; how late events are on it; and how long a first view takes."""
    await trio.to_thread.run_sync(fill, folder / "state" / "history.sqlite")
    async with site(folder) as page:
        for camera in CAMERAS:
            await say(page, camera, "status", {"state": "streaming", "since": ago(900)}, retain=True)
        for box in {camera.box for camera in CAMERAS}:
            await page.say(f"{box}/bridge/state", {"state": "online", "boot_id": "1", "since": ago(900)}, retain=True)
        await page.fleet(lambda fleet: len(fleet["cameras"]) == len(CAMERAS))
        async with peers(folder, page) as others:
            groups = {PAGE: page.process, **others.processes}
            pids = {name: family(process.process.pid) for name, process in groups.items()}
            await trio.sleep(5)
            before = {name: cpu_seconds(those) for name, those in pids.items()}
            began = trio.current_time()
            late = await follow_events(page, others.dashboard, seconds)
            took = trio.current_time() - began
            cpu = {name: 100 * (cpu_seconds(those) - before[name]) / took for name, those in pids.items()}
            memory = {name: pss_bytes(those) / 1e6 for name, those in pids.items()}
        views = [await timed(page, path) for path in paths()]
        seen = await trio.to_thread.run_sync(look, page)
    what = f"{len(CAMERAS):,} cameras, {RATE} events a second"
    beside = [peer for peer in cpu if peer != PAGE]
    return [
        *(Figure(f"CPU of the page, {what}", "% of a core", (cpu[PAGE],), peer, (cpu[peer],), 5) for peer in beside),
        *(Figure("its memory", "MB", (memory[PAGE],), peer, (memory[peer],), 5) for peer in beside),
        *(
            to_a_browser(late, name, share, most)
            for name, share, most in (("median", 0.5, 500), ("99th percentile", 0.99, 1000))
        ),
        Figure("answer: the fleet", "ms", (views[0],), "", (), 500),
        Figure("answer: a day of one camera", "ms", (views[1],), "", (), 200),
        Figure("answer: a fortnight of one camera by hour", "ms", (views[2],), "", (), 500),
        Figure("answer: a fortnight of all by hour", "ms", (views[3],), "", (), 15_000),
        Figure("Chromium: from the address to all tiles", "ms", (seen[0],), "", (), 3000),
        Figure("Chromium: a letter of the filter, the slowest of four", "ms", (seen[1],), "", (), 200),
        Figure("Chromium: from MQTT to a tile, twenty times", "ms", seen[3], "", (), 1000),
        Figure("Chromium: scrolling, the 95th percentile of the frames", "ms", (seen[2],), "", (), 50),
    ]


class Peers(NamedTuple):
    """What gets the same messages."""

    processes: dict[str, ChildProcess]
    dashboard: NodeRed | None


@asynccontextmanager
async def peers(folder: Path, page: Site) -> AsyncIterator[Peers]:
    """Yield them, running."""
    watch = [sys.executable, "-m", "interhuman2mqtt", "watch", "--broker", page.broker.url]
    async with running(watch) as other, node_red(folder, page.broker) as dashboard:
        processes = {WATCH: other} | ({DASHBOARD: dashboard.process} if dashboard is not None else {})
        yield Peers(processes, dashboard)


def to_a_browser(late: dict[str, list[float]], name: str, share: float, most: float) -> Figure:
    """Return how late events are, beside the dashboard: the page gathers them for a quarter of a second."""
    what, ours = f"from MQTT to a browser, {name}", (percentile(late[PAGE], share),)
    if DASHBOARD not in late:
        return Figure(what, "ms", ours, "", (), most)
    return Figure(what, "ms", ours, DASHBOARD, (percentile(late[DASHBOARD], share),), most, by_difference=True)


def fill(file: Path) -> None:
    """Write a fortnight of the fleet."""
    file.parent.mkdir()
    history, now, dice = History(file), time.time(), random.Random(7)
    history.write([ReceivedRow(now - DAYS * 86400, now)])
    for camera in CAMERAS:
        history.write(rows(camera, now, dice))
    history.close()


def rows(camera: CameraKey, now: float, dice: random.Random) -> Iterator[Row]:
    """Yield what was seen of a camera: levels, signals and scores in equal parts, and a gap a day."""
    step = 86400 / ROWS_A_DAY
    for number in range(DAYS * ROWS_A_DAY):
        at = now - DAYS * 86400 + number * step
        if number % 3 == 0:
            yield EngagementRow(camera, at, dice.choice(LEVELS))
        elif number % 3 == 1:
            yield SignalRow(camera, f"s/{number}", "stress", at, at + 20, "high", None)
        else:
            yield QualityRow(camera, at, (61.0, 60.0, 58.0, 66.0, 63.0, 59.0))
        if number % ROWS_A_DAY == 0:
            yield GapRow(camera, at, at + 600, "unreachable")


async def say(page: Site, camera: CameraKey, topic: str, payload: dict[str, object], *, retain: bool) -> None:
    """Publish below a camera."""
    await page.say(f"{camera.box}/{camera.name}/{topic}", payload, retain=retain)


async def follow_events(page: Site, dashboard: NodeRed | None, seconds: float) -> dict[str, list[float]]:
    """Publish events, and return how many milliseconds later each came to a browser of each."""
    sent: dict[str, float] = {}
    number = (await page.client.get("/api/fleet")).json()["number"]
    sources: dict[str, Callable[[Callable[[list[str]], None]], Awaitable[None]]] = {PAGE: partial(follow, page, number)}
    if dashboard is not None:
        sources[DASHBOARD] = dashboard.follow
    late: dict[str, list[float]] = {name: [] for name in sources}
    async with trio.open_nursery() as nursery:
        for name, source in sources.items():
            nursery.start_soon(source, partial(receive, sent, set(), late[name]))
        began = trio.current_time()
        for count in range(int(seconds * RATE)):
            await trio.sleep_until(began + count / RATE)
            camera = CAMERAS[count * 7 % len(CAMERAS)]
            kind = f"kind-{count}"
            sent[kind] = trio.current_time()
            nursery.start_soon(publish, page, camera, kind)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    for name, values in late.items():
        assert len(values) > 0.9 * len(sent), f"{len(values)} of {len(sent)} came to {name}"
    return late


async def publish(page: Site, camera: CameraKey, kind: str) -> None:
    """Publish an event, and the state that it changes, as a box does."""
    at = datetime.now(UTC).isoformat()
    event = {
        "id": f"{camera.box}/{camera.name}/{kind}/1",
        "type": "signal.detected",
        "session": kind,
        "received_at": at,
    }
    data = {"signal_type": kind, "probability": "high"}
    await say(page, camera, "event/signal.detected", {**event, "start_at": at, "data": data}, retain=False)
    await say(page, camera, "state/signals", {"at": at, "signals": {kind: {}}}, retain=True)


def receive(sent: dict[str, float], seen: set[str], late: list[float], kinds: list[str]) -> None:
    """Note when each signal comes first."""
    new = [kind for kind in kinds if kind in sent and kind not in seen]
    seen.update(new)
    late += [1000 * (trio.current_time() - sent[kind]) for kind in new]


async def follow(page: Site, number: int, receive: Callable[[list[str]], None]) -> None:
    """Hand on the signals of each change of a camera after the one of a number, as the page's own script gets it."""
    async with (
        httpx.AsyncClient(base_url=page.client.base_url, timeout=None) as client,
        client.stream("GET", f"/api/events?after={number}") as stream,
    ):
        async for line in stream.aiter_lines():
            if line.startswith("data: {") and '"signals":[' in line:
                receive(json.loads(line[6:])["signals"])


def paths() -> Iterator[str]:
    """Yield what a browser asks for: the fleet, a day of a camera, a fortnight of it, and of all."""
    now = time.time()
    camera = CAMERAS[500]
    yield "/api/fleet"
    yield f"/api/camera/{camera.box}/{camera.name}?from={now - 86400}&to={now}"
    yield f"/api/fortnight?zone=UTC&box={camera.box}&camera={camera.name}"
    yield "/api/fortnight?zone=UTC"


async def timed(page: Site, path: str) -> float:
    """Return how many milliseconds an answer takes."""
    began = trio.current_time()
    answer = await page.client.get(path, timeout=120)
    assert answer.status_code == 200
    return 1000 * (trio.current_time() - began)


FRAMES = """() => new Promise((resolve) => {
  const gaps = []; let last = performance.now(); const ends = last + 3000;
  const step = (now) => {
    gaps.push(now - last); last = now; scrollBy(0, 60);
    now < ends ? requestAnimationFrame(step) : resolve(gaps);
  };
  requestAnimationFrame(step);
})"""
FILTER = """(text) => new Promise((resolve) => {
  const input = document.querySelector("input[type=search]"), began = performance.now();
  input.value = text; input.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
})"""


async def show(page: Site, kind: str) -> None:
    """Publish a signal of the camera whose tile is looked at."""
    await say(page, CAMERAS[0], "state/signals", {"at": ago(0), "signals": {kind: {}}}, retain=True)


def look(page: Site) -> tuple[float, float, float, tuple[float, ...]]:
    """Look at the fleet in Chromium. Blocks, in a thread.

    Returns:
        Milliseconds to all tiles, of the slowest letter of a filter, of the frames while it scrolls (95 %), and of
        twenty signals from the publisher to the tile.
    """
    with chromium() as browser, tab_of(browser, "about:blank", viewport={"width": 1280, "height": 900}) as (tab, _):
        began = time.monotonic()
        tab.goto(str(page.client.base_url))
        tab.wait_for_selector(f"#sees > .tile:nth-child({len(CAMERAS)})", state="attached", timeout=60_000)
        shown = 1000 * (time.monotonic() - began)
        tab.wait_for_timeout(1000)
        letters = [number(tab, FILTER, text) for text in ("b", "bo", "box-4", "")]
        frames = [float(one) for one in tab.evaluate(FRAMES)]
        changes = [changed(tab, page, f"signal-{count}") for count in range(20)]
    return shown, max(letters), percentile(frames, 0.95), tuple(changes)


def changed(tab: Page, page: Site, kind: str) -> float:
    """Return how many milliseconds a signal takes from the publisher to the tile."""
    tile = f".tile[data-key='{CAMERAS[0].box}/{CAMERAS[0].name}']"
    began = time.monotonic()
    trio.from_thread.run(show, page, kind)
    tab.wait_for_selector(f"{tile} >> text={kind}", state="attached")
    return 1000 * (time.monotonic() - began)


def number(tab: Page, script: str, argument: str) -> float:
    """Return what a script comes to."""
    return float(tab.evaluate(script, argument))
