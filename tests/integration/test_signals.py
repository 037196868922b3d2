"""The life of the daemon: what it tells systemd, how it reloads, and how it ends."""

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from integration.helpers import QUICK, Json, Peers, box, cloud, configuration, run_peers
from integration.notify_socket import notify_socket
from support.clips import Clip
from support.mosquitto import Broker, subscribed
from support.processes import PATIENCE_S, processes

FILE = {"source": f"file:{Clip().path()}"}


async def no_process_of(*pids: int) -> bool:
    """Whether these processes are all gone, at the latest when a test has waited long enough."""
    with trio.move_on_after(PATIENCE_S):
        while alive := set(pids) & set(processes()):
            assert alive
            await trio.sleep(0.05)
        return True
    return False


async def test_what_systemd_hears(tmp_path: Path) -> None:
    """READY comes once all runs, then a status and the watchdog; a reload and the stop are told from their begin."""
    async with run_peers(tmp_path) as peers, notify_socket(tmp_path) as told:
        env = {"NOTIFY_SOCKET": str(told.path), "WATCHDOG_USEC": "1000000"}
        config = peers.config({"front": FILE})
        async with box(tmp_path, config, env) as daemon:
            await told.wait("READY=1".__eq__)
            await told.wait("WATCHDOG=1".__eq__)
            await told.wait("STATUS=1 of 1 cameras streaming".__eq__)
            place = len(told.datagrams)
            daemon.send(signal.SIGHUP)
            place = await told.wait(
                lambda said: re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", said) is not None, place
            )
            await told.wait("READY=1".__eq__, place)
            daemon.configure({**config, "mqtt": {"url": "smoke://signals"}})
            place = len(told.datagrams)
            daemon.send(signal.SIGHUP)
            place = await told.wait(lambda said: said.startswith("RELOADING=1"), place)
            place = await told.wait(lambda said: said.startswith("STATUS=configuration rejected: "), place)
            assert "mqtt.url" in told.datagrams[place]
            await told.wait("READY=1".__eq__, place)
            assert await daemon.stop() == 0
            await told.wait("STOPPING=1".__eq__, place)


async def test_reload(tmp_path: Path) -> None:
    """A new file restarts the cameras that it changes, and no other, and clears the topics of those that are gone."""
    async with run_peers(tmp_path) as peers:
        cameras: dict[str, Json] = {name: dict(FILE) for name in ("same", "changed", "gone")}
        async with box(tmp_path, peers.config(cameras)) as daemon:
            for name in cameras:
                await peers.wait_event(name, "signal.detected")
            before = daemon.workers()
            assert len(before) == 3
            del cameras["gone"]
            cameras["changed"]["replay"] = "4s"
            cameras["new"] = dict(FILE)
            daemon.configure(peers.config(cameras))
            daemon.send(signal.SIGHUP)
            await daemon.wait_log("configuration reloaded", stopped=["changed", "gone"], started=["changed", "new"])
            await peers.wait_latest("new", lambda status: status["state"] == "streaming")
            await peers.wait_latest("changed", lambda status: status["state"] == "streaming")
            await peers.wait_event("changed", "session.ready", count=2)
            kept = set(before) & set(daemon.workers())
            assert len(kept) == 1
            assert len(daemon.workers()) == 3
            assert len(peers.events("same", "session.ready")) == 1
            assert len(peers.events("gone", "session.ended")) == 1
            retained = await peers.retained()
            assert [topic for topic in retained if topic.startswith("gone/")] == []
            assert b'"cameras":["same","changed","new"]' in retained["bridge/info"]
            assert await daemon.stop() == 0
        assert [state for state, _ in peers.states("same")] == ["connecting", "streaming", "stopped"]


async def test_a_bad_file(tmp_path: Path) -> None:
    """A file that is wrong changes nothing, and the log and `bridge/info` say where; a good one takes that back."""
    async with run_peers(tmp_path) as peers, box(tmp_path, peers.config({"front": FILE})) as daemon:
        await peers.wait_status("front", "streaming")
        before = daemon.workers()
        daemon.configure(peers.config({"front": {"sauce": "test:"}, "desk": FILE}))
        daemon.send(signal.SIGHUP)
        rejected = await daemon.wait_log("configuration rejected, the old one goes on")
        assert "cameras.front.sauce" in rejected["problems"]
        told = await wait_reload(peers, "rejected")
        assert {problem["key"] for problem in told["problems"]} == {"cameras.front.sauce"}
        assert told["problems"][0]["file"] == str(daemon.file)
        assert daemon.file.read_text().splitlines()[told["problems"][0]["line"] - 1].startswith("sauce")
        await peers.wait_event("front", "conversation_quality.updated")
        assert daemon.workers() == before
        assert peers.statuses("desk") == []
        daemon.configure(peers.config({"front": FILE}))
        daemon.send(signal.SIGHUP)
        assert (await wait_reload(peers, "ok"))["problems"] == []
        assert await daemon.stop() == 0


async def wait_reload(peers: Peers, state: str) -> Json:
    """How the last reload ended, as soon as it is told."""

    def told() -> list[Json]:
        infos = [json.loads(payload)["reload"] for payload in peers.subscriber.payloads("bridge/info")]
        return [reload for reload in infos if reload and reload["state"] == state]

    await peers.subscriber.wait_for(lambda _: told())
    return told()[-1]


async def test_a_section_that_needs_a_restart(tmp_path: Path) -> None:
    """A change that a running daemon cannot take over is reported, and the rest of the file is taken over."""
    async with run_peers(tmp_path) as peers, box(tmp_path, peers.config({"front": FILE})) as daemon:
        await peers.wait_status("front", "streaming")
        daemon.configure(peers.config({"front": FILE, "desk": FILE}, mqtt={"base_topic": "elsewhere"}))
        daemon.send(signal.SIGHUP)
        await daemon.wait_log("changed sections wait for a restart", needs_restart=["mqtt"])
        await wait_reload(peers, "ok")
        info = json.loads(peers.subscriber.payloads("bridge/info")[-1])
        assert (info["needs_restart"], info["reload"]["needs_restart"]) == (["mqtt"], ["mqtt"])
        await peers.wait_status("desk", "streaming")
        assert await daemon.stop() == 0


async def test_an_earlier_life_leaves_no_state(tmp_path: Path) -> None:
    """What a killed daemon left as the state of its cameras is gone before the next one says `online`."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.subscriber.wait_for(lambda _: any(peers.subscriber.payloads("/front/state/engagement")), 20)
            daemon.send(signal.SIGKILL)
            await daemon.wait()
        assert "front/state/engagement" in await peers.retained()
        await peers.cloud.stop()
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await daemon.wait_log("broker", state="online")
            assert "front/state/engagement" not in await peers.retained()


async def test_a_stop_without_a_broker(tmp_path: Path) -> None:
    """What waits for a broker that is not there when the daemon stops is kept, and said to be."""
    async with (
        absent_broker(tmp_path) as broker,
        cloud(tmp_path / "cloud", *QUICK) as simulated,
        box(tmp_path, configuration(simulated.url(), broker.url, {"front": FILE})) as daemon,
    ):
        await daemon.wait_log("camera", state="streaming")
        assert await daemon.stop() == 0
        await daemon.wait_log("events are kept for the next start")


async def test_what_concerns_all(tmp_path: Path) -> None:
    """What must not leave the box any more is kept back after a reload, from every camera; more may stream at once."""
    async with run_peers(tmp_path) as peers:
        cameras = {"front": FILE, "desk": FILE}
        config = peers.config(cameras, interhuman={"max_sessions": 1})
        async with box(tmp_path, config) as daemon:
            await peers.subscriber.wait_for(lambda _: peers.events("front") or peers.events("desk"))
            daemon.configure(peers.config(cameras, privacy={"redact": ["rationale"]}))
            daemon.send(signal.SIGHUP)
            await daemon.wait_log("configuration reloaded", stopped=["front", "desk"])
            since = len(peers.subscriber.messages)
            await peers.wait_latest("front", lambda status: status["state"] == "streaming")
            await peers.wait_latest("desk", lambda status: status["state"] == "streaming")
            await peers.subscriber.wait_for(
                lambda seen: len([m for m in seen[since:] if m.topic.endswith("event/signal.detected")]) >= 2
            )
            published = [m for m in peers.subscriber.messages[since:] if not m.topic.endswith("bridge/info")]
            assert all(b'"rationale":' not in m.payload for m in published)  # of the configuration it is a key
            assert await daemon.stop() == 0


async def test_stop_during_a_reload(tmp_path: Path) -> None:
    """A reload that waits for a session to drain keeps nobody from stopping, and what it had started stops too."""
    async with run_peers(tmp_path, "--fault", "slow-drain=5") as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.wait_status("front", "streaming")
            daemon.configure(peers.config({"desk": FILE}))
            daemon.send(signal.SIGHUP)
            await peers.wait_event("front", "session.closing")
            daemon.send(signal.SIGTERM)
            await daemon.wait_log("stopping")
            assert peers.events("front", "session.ended") == []
            assert await daemon.wait() == 0
        assert peers.statuses("desk")[-1]["state"] == "stopped"
        assert len(peers.events("front", "session.ended")) == 1


async def test_a_new_cloud(tmp_path: Path) -> None:
    """A change of the cloud's address restarts every camera, because it concerns each."""
    async with run_peers(tmp_path) as peers, cloud(tmp_path / "other") as other:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.wait_status("front", "streaming")
            daemon.configure(peers.config({"front": FILE}, interhuman={"url": other.url()}))
            daemon.send(signal.SIGHUP)
            await peers.wait_event("front", "session.ready", count=2)
            assert await daemon.stop() == 0
        assert len(peers.cloud.happened("opened")) == len(other.happened("opened")) == 1


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Who does not want to wait for the drain sends SIGTERM twice; no process is left."""
    async with run_peers(tmp_path, "--fault", "slow-drain=20") as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.wait_status("front", "streaming")
            workers = daemon.workers()
            daemon.send(signal.SIGTERM)
            await peers.wait_event("front", "session.closing")
            daemon.send(signal.SIGTERM)
            assert await daemon.wait() == 0
            assert await daemon.wait_log("stopping at once")
            assert await no_process_of(*workers)
        assert b'"state":"online"' not in (await peers.retained())["bridge/state"]


async def test_ctrl_c_without_a_session(tmp_path: Path) -> None:
    """Ctrl-C ends the daemon in good order while a camera has no session at all."""
    async with run_peers(tmp_path, "--fault", "silence,every") as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.wait_status("front", "connecting", "starting")
            await peers.cloud.wait_happened("fault", kind="silence")
            workers = daemon.workers()
            daemon.send(signal.SIGINT)
            assert await daemon.wait() == 0
            assert await no_process_of(*workers)
        assert b'"state":"stopped"' in (await peers.retained())["bridge/state"]


async def test_the_broker_comes_later(tmp_path: Path) -> None:
    """A broker that is absent at the start is waited for, and gets all that happened meanwhile, in order."""
    async with absent_broker(tmp_path) as broker, cloud(tmp_path / "cloud", *QUICK) as simulated:
        config = configuration(simulated.url(), broker.url, {"front": FILE})
        async with box(tmp_path, config) as daemon:
            await daemon.wait_log("broker", state="offline", reason="broker_unreachable")
            await daemon.wait_log("camera", state="streaming")
            await broker.start()
            async with subscribed(broker) as subscriber:
                peers = Peers(tmp_path, broker, simulated, subscriber, None)
                await peers.wait_event("front", "signal.detected")
                assert await daemon.stop() == 0
                types = [event["type"] for event in peers.events("front")]
        # the subscriber came at the same time as the daemon: what it saw is the end of all that was said
        said = [line["type"] for line in simulated.happened("event")]
        assert types == said[-len(types) :]


@asynccontextmanager
async def absent_broker(folder: Path) -> AsyncIterator[Broker]:
    """A broker that is not there until it is started, and gone when the block ends."""
    broker = Broker(folder)
    try:
        yield broker
    finally:
        with trio.move_on_after(10, shield=True):
            await broker.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    """However the daemon ends, its capture processes are gone soon after it."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": FILE, "desk": FILE})) as daemon:
            await peers.wait_status("front", "streaming")
            await peers.wait_status("desk", "streaming")
            workers = daemon.workers()
            assert len(workers) == 2
            daemon.send(number)
            await daemon.wait()
            assert await no_process_of(*workers)
        word = (await peers.retained())["bridge/state"]
        assert (b'"state":"offline"' in word) == (number == signal.SIGKILL)  # the will
