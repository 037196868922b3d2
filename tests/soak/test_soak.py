"""The soak itself: a short one passes, and its instruments see what is there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import trio

from interhuman2mqtt.publish.mqtt import throttle
from publish.helpers import Bench, an_event_message, until
from publish.helpers import running as publishing
from soak import process_monitor, report
from soak.__main__ import main, soak
from soak.archive import Archive, CloudSession, Scene, read_media
from soak.fault_plan import KINDS, plan
from soak.fault_runner import FAULTS
from soak.published_log import PublishedLog
from soak.relay import BrokerTap, CloudTap, Quota
from soak.subscriber import subscribing
from soak.testbed import CAMERAS
from support.clips import Clip
from support.mosquitto import mosquitto, subscribed
from support.netproxy import network
from support.processes import running
from support.rtsp import rtsp_server

SEED, MINUTES = 14, 0.6


async def test_a_short_soak(tmp_path: Path) -> None:
    """Through a handful of gentle faults every promise holds that so short a run can judge."""
    found = await soak(tmp_path, plan(SEED, MINUTES * 60, CAMERAS), SEED, MINUTES)
    assert found.ok, report.text(found)
    judged = {check.name for check in found.checks if check.ok}
    assert judged >= {"conservation", "order", "arrival", "liveness", "retained", "media", "growth", "no bug"}
    assert found.totals["events acknowledged by the broker"] > 50
    assert sum(found.faults.values()) >= 3
    assert msgspec.json.decode(msgspec.json.encode(report.as_json(found)))["ok"]


def test_every_fault_can_be_done() -> None:
    """There is a way to do each kind of fault that a plan may hold, and no other."""
    assert set(FAULTS) == set(KINDS)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says how it is used."""
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--seed" in capsys.readouterr().out


async def test_the_relay_sees_what_the_broker_took(tmp_path: Path) -> None:
    """An event that a real client publishes through the relay is in the log as acknowledged, and at the subscriber."""
    event = '{"id":"b/hall/s/1","camera":"hall","type":"t","session":"s","start_at":null,"data":{}}'
    async with mosquitto(tmp_path) as broker, subscribing(broker.port) as subscriber:
        log = PublishedLog(subscriber.on_ack)
        tap = BrokerTap(log)
        async with network(broker.port, tap.receive) as net, subscribed(broker) as seen:
            await trio.run_process([sys.executable, "-c", PUBLISH, str(net.port), event])
            await seen.wait_topic("event/t")
            with trio.fail_after(10):
                while not (subscriber.events and tap.breaks):  # noqa: ASYNC110 - what is counted wakes nobody
                    await trio.sleep(0.05)
    assert (log.counts["events"], log.violations, subscriber.missed) == (1, [], [])
    assert log.scopes["s"].rows[1].acked_at is not None


async def test_a_quota_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the broker says it has no room for is published again until it has, and the log holds no fault."""
    monkeypatch.setattr(throttle, "FIRST_S", 0.01)
    async with mosquitto(tmp_path) as broker, subscribing(broker.port) as subscriber:
        log, quota = PublishedLog(subscriber.on_ack), Quota()
        async with network(broker.port, BrokerTap(log, quota).receive) as net:
            net.alter = quota.alter
            quota.is_spent = True
            bench = Bench(f"mqtt://127.0.0.1:{net.port}")
            for n in range(1, 6):
                event = f'{{"id":"b/hall/s/{n}","camera":"hall","type":"t","session":"s","start_at":null,"data":{{}}}}'
                bench.publisher.publish(an_event_message("hall", n, event.encode()))
            async with publishing(bench):
                await until(lambda: log.counts["refused"] >= 3)
                quota.is_spent = False
                await until(lambda: bench.outbox.depth.rows == 0)
    assert (log.counts["events"], log.violations, subscriber.missed, bench.dropped) == (5, [], [], [])


PUBLISH = """
import sys
import paho.mqtt.publish as publish
publish.single("x/hall/event/t", sys.argv[2], qos=1, port=int(sys.argv[1]))
"""


def test_the_tap_knows_when_the_daemon_left_a_session() -> None:
    """The end of the connection that asked for a session is the daemon's end of it."""
    tap, name = CloudTap(), "0b0e7c1e-0000-4000-8000-000000000001"
    tap.receive(1, "up", b"GET /v2 HTTP/1.1\r\nX-Client-Req")
    tap.receive(1, "up", f"uest-Id: {name}\r\n\r\n".encode())
    tap.receive(2, "up", b"GET /v2 HTTP/1.1\r\n\r\n")
    tap.receive(1, "down", b"")
    assert tap.left == {}
    tap.receive(2, "up", b"")
    tap.receive(1, "up", b"")
    assert list(tap.left) == [name]


def test_the_archive_is_read_as_it_grows(tmp_path: Path) -> None:
    """Lines are taken once they are whole, and a session that a kill left open is over."""
    line = {"at": "2026-01-01T00:00:00+00:00", "session": 1, "request_id": "r", "what": "opened", "correlation_id": "c"}
    chunk = {**line, "what": "chunk", "index": 1, "size": 9}
    text = msgspec.json.encode(line) + b"\n" + msgspec.json.encode(chunk) + b"\n"
    archive = Archive(tmp_path)
    archive.read()
    for end in (40, len(text) - 1, len(text)):
        (tmp_path / "sessions.jsonl").write_bytes(text[:end])
        archive.read()
    session = archive.sessions["r"]
    assert (session.correlation_id, list(session.chunks), session.closed_at) == ("c", [1], None)
    archive.on_killed()
    assert session.closed_at is not None
    (tmp_path / "1-r.mp4").write_bytes(b"")
    assert archive.files(session) == [tmp_path / "1-r.mp4"]
    archive.forget(session)
    assert archive.files(CloudSession("r", 0.0)) == []


def test_frames_are_dated() -> None:
    """A whole clip, as if it had just been seen, covers its length, and ends when it was seen."""
    clip = Clip(seconds=8, size=(160, 96), fps=10, gop=10)
    media = read_media([clip.path()], Scene(10, 80, live=True), 1008.0 - 0.05)
    assert (media.frames, media.troubles, media.doubtful) == (80, [], [])
    assert [(round(span.start, 1), round(span.end, 1)) for span in media.seen] == [(1000.0, 1008.0)]
    twice = read_media([clip.path(), clip.path()], Scene(10, 80, live=True), 1008.0 - 0.05)
    assert "came after" in twice.doubtful[0]
    film = read_media([clip.path()], Scene(10, 80, live=False), 0.0)
    assert (film.frames, film.zero_at, film.film_s, film.seen) == (80, None, 0.0, [])


async def test_a_live_camera_shows_the_time(tmp_path: Path) -> None:
    """The frame that a live camera sends is the one of now, on every connection."""
    clip = Clip(seconds=16, size=(160, 96), fps=10, gop=10)
    async with rtsp_server({"/view": clip}, transport="tcp", live=1.0) as server:
        for number in range(2):
            file = tmp_path / f"{number}.mp4"
            record = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", server.url("/view"), "-t", "2"]
            await trio.run_process([*record, "-c", "copy", str(file)])
            now = time.time()
            media = read_media([file], Scene(10, clip.frames, live=True), now)
            assert media.troubles == []
            assert media.frames >= 15
            assert now - media.seen[-1].end < 8.0


async def test_a_worker_without_its_daemon() -> None:
    """A capture process is known by the mark in its environment, and missed by none but its parent."""
    command = [sys.executable, "-m", "interhuman2mqtt.capture"]
    async with running(command, {**os.environ, "TMPDIR": "/nowhere/soak"}) as worker:
        pid = worker.process.pid
        with trio.fail_after(10):
            while pid not in process_monitor.orphans("TMPDIR=/nowhere/soak", None):  # noqa: ASYNC110 - /proc wakes nobody
                await trio.sleep(0.05)
        assert process_monitor.orphans("TMPDIR=/nowhere/soak", os.getpid()) == []
        assert process_monitor.workers(os.getpid()).count(pid) == 1
        taken = process_monitor.sample(pid, "worker")
        assert taken is not None
        assert taken.memory > 1e6
        assert taken.threads >= 1


def test_a_zombie() -> None:
    """A child that has ended and that nobody reaped is seen until it is reaped."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.pid in process_monitor.zombies(os.getpid())
    child.wait()
    assert child.pid not in process_monitor.zombies(os.getpid())
