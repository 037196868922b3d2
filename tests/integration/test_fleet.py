"""A box as those see it who look after many: Prometheus, Grafana, and somebody at a terminal."""

import json
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from integration.helpers import BOX, Box, Json, Peers, box, run_peers
from support.clips import Clip
from support.mosquitto import free_port
from support.processes import ChildProcess, running

DASHBOARD = Path(__file__).parents[2] / "config" / "deploy" / "grafana" / "interhuman2mqtt.json"
WATCH = [sys.executable, "-m", "interhuman2mqtt", "watch"]
PREFIX = "interhuman2mqtt_"
FRONT = {"source": f"file:{Clip().path()}"}
GONE = {"source": "rtsp://127.0.0.1:1/nothing"}
STAGES = {
    "capture_packets_total": {"camera": "front", "track": "video"},
    "ring_bytes": {"camera": "front"},
    "uplink_chunks_delivered_total": {"camera": "front"},
    "uplink_bytes_sent_total": {"camera": "front"},
    "server_events_total": {"camera": "front", "type": "signal.detected"},
    "coverage_delivered_seconds_total": {"camera": "front"},
    "capture_failures_total": {"camera": "gone", "reason": "unreachable"},
    "camera_reason": {"camera": "gone", "reason": "unreachable"},
    "capture_to_sent_seconds_count": {"camera": "front"},
    "sent_to_event_seconds_count": {"camera": "front"},
    "event_to_puback_seconds_count": {"camera": "front"},
    "broker_acknowledged_messages_total": {"kind": "event"},
    "broker_connected": {},
    "outbox_max_bytes": {},
}
"""A sample of each stage that must be above nought."""
WORD = re.compile(r"[a-z_][a-z0-9_]*")


class Scrape:
    """What Prometheus got."""

    def __init__(self, text: str) -> None:
        self.families = list(parse(text))
        self.names = {name for line in text.splitlines() if line.startswith("# TYPE ") for name in [line.split()[2]]}

    def value(self, name: str, labels: Json) -> float:
        """Of one sample; 0 where there is none."""
        samples = (sample for family in self.families for sample in family.samples)
        return sum(s.value for s in samples if s.name == f"{PREFIX}{name}" and labels.items() <= s.labels.items())

    def labels(self, name: str) -> set[str]:
        """The values of a label, over all samples."""
        return {s.labels[name] for family in self.families for s in family.samples if name in s.labels}


async def get(port: int, path: str, accept: str = "text/plain") -> str:
    """What is answered; raises where it is not 200."""

    def fetch() -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    return await trio.to_thread.run_sync(fetch)


async def scraped(port: int) -> Scrape:
    """As it is now."""
    await trio.sleep(1.1)  # for so long an answer is given again
    return Scrape(await get(port, "/metrics"))


class Running(NamedTuple):
    """A daemon with metrics, and what is around it."""

    peers: Peers
    daemon: Box
    port: int


async def test_a_box_is_seen(tmp_path: Path) -> None:
    """Metrics of every stage are served, and the dashboard uses no other; `watch` shows box, broker and losses of both.

    A port in use costs the metrics for as long as it is, and nothing else; a camera that is removed vanishes.
    """
    async with run_peers(tmp_path) as peers:
        port = free_port()
        config = peers.config({"front": FRONT, "gone": GONE}, metrics={"listen": f"127.0.0.1:{port}"})
        other = socket.create_server(("127.0.0.1", port))
        async with box(tmp_path, config) as daemon, running([*WATCH, "--broker", peers.broker.url]) as watch:
            seen = Running(peers, daemon, port)
            with other:
                await port_is_in_use(seen)
            await metrics_are_told(seen)
            await watch_shows(seen, watch)
            await a_removed_camera_vanishes(seen)
            await broker_and_box_are_lost(seen, watch)


async def port_is_in_use(seen: Running) -> None:
    """The error names the port and what to do, and the camera streams; once the port is free, metrics are served."""
    told = await seen.daemon.wait_log("metrics are not served")
    assert told["detail"] == (
        f"metrics.listen: 127.0.0.1:{seen.port}: another program listens there: "
        "end it, or choose another port and restart"
    )
    await seen.peers.wait_status("front", "streaming")


async def metrics_are_told(seen: Running) -> None:
    """Every stage has its numbers, in both formats, and the dashboard needs no others."""
    await seen.daemon.wait_log("metrics are served")
    for type_ in ("signal.detected", "conversation_quality.updated"):
        await seen.peers.wait_event("front", type_)
    assert await get(seen.port, "/health") == "everything moves\n"
    scrape = await scraped(seen.port)
    nought = [name for name, labels in STAGES.items() if scrape.value(name, labels) <= 0]
    assert nought == []
    assert scrape.labels("camera") == {"front", "gone"}
    assert scrape.value("info", {"box": BOX}) == 1
    assert scrape.value("camera_state", {"camera": "gone"}) == 1
    assert scrape.value("camera_state", {"camera": "gone", "state": "offline"}) == 1
    text = await get(seen.port, "/metrics", "application/openmetrics-text; version=1.0.0")
    openmetrics = {family.name for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert openmetrics >= {f"{PREFIX}info", f"{PREFIX}capture_to_sent_seconds"}
    assert dashboard_names() - scrape.names == set()
    assert {name for name in scrape.names if name.startswith(PREFIX)} - dashboard_names() == set()


def dashboard_names() -> set[str]:
    """The metrics that the dashboard asks for, of histograms the family's name."""
    found: set[str] = set()
    for expression in expressions(json.loads(DASHBOARD.read_text())):
        assert expression.count("(") == expression.count(")")
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", "", expression)
        found |= {name for name in WORD.findall(bare) if name.startswith((PREFIX, "process_"))}
    assert len(found) > 30
    return {name.removesuffix("_bucket") for name in found}


def expressions(value: object) -> Iterable[str]:
    """All `expr` in a dashboard, and the metrics of its variables."""
    match value:
        case {"expr": str(expression)}:
            yield expression
        case {"type": "query", "query": str(query)}:
            yield query
        case dict():
            for inner in value.values():
                yield from expressions(inner)
        case list():
            for inner in value:
                yield from expressions(inner)


async def watch_shows(seen: Running, watch: ChildProcess) -> None:
    """As lines in a pipe, as a table of 80 columns, and as JSON; what the marks are is what `check` says."""
    await watch.wait_line(lambda line: f"{BOX}/front" in line and "streaming - h264" in line)
    await watch.wait_line(lambda line: f"{BOX}/gone" in line and "offline - unreachable" in line)
    await watch.wait_line(lambda line: f"{BOX}/front" in line and "quality" in line)
    assert not any("\x1b" in line for line in watch.lines)
    once = await output([*WATCH, "--config", str(seen.daemon.file), "--once"])
    assert "1 of 1 boxes online, 1 of 2 cameras streaming" in once
    assert re.search(r"^  gone +offline unreachable", once, re.MULTILINE)
    assert max(map(len, once.splitlines())) <= 80
    told = json.loads(await output([*WATCH, "--broker", seen.peers.broker.url, "--once", "--json"]))
    assert told["boxes"][BOX]["cameras"]["front"]["status"]["state"] == "streaming"
    checked = await output([sys.executable, "-m", "interhuman2mqtt", "check", "--config", str(seen.daemon.file)])
    info = told["boxes"][BOX]["info"]
    assert f"(configuration {info['config_hash']}, files {info['files_hash']})" in checked
    assert told["files_hash"] == info["files_hash"]


async def output(command: list[str]) -> str:
    """What a command prints that ends with 0."""
    ended = await trio.run_process(command, capture_stdout=True, check=True)
    return ended.stdout.decode()


async def a_removed_camera_vanishes(seen: Running) -> None:
    """After a reload without it, nothing is told of a camera any more."""
    seen.daemon.configure(seen.peers.config({"front": FRONT}, metrics={"listen": f"127.0.0.1:{seen.port}"}))
    seen.daemon.send(signal.SIGHUP)
    await seen.daemon.wait_log("configuration reloaded")
    assert (await scraped(seen.port)).labels("camera") == {"front"}


async def broker_and_box_are_lost(seen: Running, watch: ChildProcess) -> None:
    """Both are said, and that the broker is back; SIGINT ends with 0, also where there is no broker."""
    before = len(watch.lines)
    await seen.peers.broker.restart()
    await watch.wait_line(lambda line: line.startswith("not connected: "))
    await watch.wait_line(lambda line: line.startswith("connected: ") and line in watch.lines[before:])
    await watch.wait_line(lambda line: "box online" in line and line in watch.lines[before:])
    await seen.daemon.kill()
    await watch.wait_line(lambda line: line.endswith("box offline"))
    watch.process.send_signal(signal.SIGINT)
    assert await watch.process.wait() == 0
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    async with running([*WATCH, "--broker", nobody, "--json"]) as other:
        told = json.loads(await other.wait_line(lambda line: '"broker"' in line))
        assert told["broker"] == "not connected"
        assert "nothing listens at" in told["detail"]
        other.process.send_signal(signal.SIGINT)
        assert await other.process.wait() == 0
    ended = await trio.run_process([*WATCH, "--broker", nobody, "--once"], check=False, capture_stderr=True)
    assert (ended.returncode, ended.stderr.startswith(b"nothing listens at")) == (69, True)
