"""The parts of a soak: cameras, cloud and broker, each with a way to it that can be broken, and the daemon."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio

from integration.helpers import BOX, Box, Cloud, cloud, configuration
from soak.archive import Archive, Scene
from soak.daemon import Daemon
from soak.fault_plan import Cameras
from soak.published_log import PublishedLog
from soak.relay import BrokerTap, CloudTap, Quota
from soak.spans import Span
from soak.subscriber import Subscriber, subscribing
from support.clips import Clip
from support.mosquitto import Broker, mosquitto, subscribed
from support.netproxy import Network, network
from support.rtsp import RtspServer, rtsp_server
from support.wallclock import WallClock

VIEW = Clip(fps=10, gop=10, seconds=600)
"""What the cameras look at: long enough for a frame's number to give the time."""
FILM = Clip(fps=10, gop=10, seconds=64)
CAMERAS = Cameras(("hall", "door", "yard"), ("film",))
SPARE = "spare"
"""A camera that a reload adds."""
MAX_DURATION_S = 60
LINGER_S = 6
"""How long the cloud counts a session that was cut: after each cut it refuses the next ones for want of concurrency."""
CLOUD = (
    *("--window", "4", "--stride", "2", "--cadence", "6", "--max-duration", str(MAX_DURATION_S)),
    *("--concurrency", str(len(CAMERAS.all) + 1), "--linger", str(LINGER_S)),
)
KEPT_LINES = 200
"""Lines of each part's output that are kept."""


class RtspCamera(NamedTuple):
    """An RTSP camera and the cable to it."""

    server: RtspServer
    cable: Network


class Paused(NamedTuple):
    """A pause of a camera."""

    camera: str
    span: Span
    """From the end of the one command to the beginning of the other."""


class Testbed(NamedTuple):
    """Everything."""

    folder: Path
    rtsp_cameras: dict[str, RtspCamera]
    cloud: Cloud
    uplink: Network
    broker: Broker
    mqtt: Network
    subscriber: Subscriber
    daemon: Daemon
    wall: WallClock
    """Of the daemon."""
    published_log: PublishedLog
    broker_tap: BrokerTap
    quota: Quota
    cloud_tap: CloudTap
    archive: Archive
    paused: list[Paused]
    """When cameras were paused."""

    @property
    def mark(self) -> str:
        """What is in the environment of the daemon and of its workers, and in no other's."""
        return f"TMPDIR={self.folder}/tmp"

    def trace(self, camera: str) -> str | int:
        """What its worker has open: the port of its cable, or a file."""
        return self.rtsp_cameras[camera].cable.port if camera in self.rtsp_cameras else str(FILM.path())

    def configure(self, *, without: str = "", more: str = "", changed: str = "") -> None:
        """Write the file of the daemon."""
        cameras: dict[str, dict[str, Any]] = {
            name: source(self.rtsp_cameras, name) for name in CAMERAS.all if name != without
        }
        if more:
            cameras[more] = source(self.rtsp_cameras, more)
        if changed:
            cameras[changed]["replay"] = "4s"
        self.daemon.box.configure(settings(self.uplink, self.mqtt, cameras))

    def break_file(self) -> None:
        """Leave a file that is wrong."""
        self.daemon.box.file.write_text('[cameras.hall]\nsauce = "rtsp://nowhere"\n')

    async def command(self, *words: str) -> bool:
        """A command of the program itself, on this box; whether it ended well."""
        run = [sys.executable, "-m", "interhuman2mqtt", *words, "--config", str(self.daemon.box.file)]
        env = {**os.environ, **folders(self.folder)}
        done = await trio.run_process(run, env=env, check=False, capture_stdout=True, capture_stderr=True)
        return done.returncode == 0

    async def retained(self) -> dict[str, bytes]:
        """What the broker retains now, as a client sees that comes now."""
        async with subscribed(self.broker, "interhuman/#") as late:
            with trio.move_on_after(5):
                await late.wait_for(lambda seen: any(m.topic.endswith("bridge/info") for m in seen), 6)
            await trio.sleep(0.5)  # the others come in one go with it
            return {m.topic.removeprefix(f"interhuman/{BOX}/"): m.payload for m in late.messages if m.retained}

    def trim(self) -> None:
        """Forget what the parts have printed, but for the end of it."""
        outputs: list[list[str]] = [self.cloud.output, self.broker.log]
        outputs += [camera.server.process.lines for camera in self.rtsp_cameras.values() if camera.server.process]
        for lines in outputs:
            del lines[:-KEPT_LINES]


def folders(folder: Path) -> dict[str, str]:
    """Where the daemon, and the commands that concern it, keep what has to last."""
    return {"STATE_DIRECTORY": str(folder / "state"), "RUNTIME_DIRECTORY": str(folder / "run")}


def source(rtsp_cameras: dict[str, RtspCamera], name: str) -> dict[str, Any]:
    """A camera's table."""
    where = f"rtsp://127.0.0.1:{rtsp_cameras[name].cable.port}/view" if name in rtsp_cameras else f"file:{FILM.path()}"
    return {"source": where, "replay": "8s"}


def settings(uplink: Network, mqtt: Network, cameras: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of the daemon's file."""
    return configuration(
        f"ws://127.0.0.1:{uplink.port}/v2/stream/analyze",
        f"mqtt://127.0.0.1:{mqtt.port}",
        cameras,
        log={"level": "info"},
        interhuman={"include": ["conversation_quality_overall", "conversation_quality_timeline"]},
    )


SCENES = {
    **dict.fromkeys(CAMERAS.rtsp, Scene(VIEW.fps, VIEW.frames, live=True)),
    **dict.fromkeys((*CAMERAS.file, SPARE), Scene(FILM.fps, FILM.frames, live=False)),
}


@asynccontextmanager
async def testbed(folder: Path) -> AsyncIterator[Testbed]:
    """All parts running, but the daemon; all gone when the block ends."""
    for name in ("tmp", "run", "state", "broker", "cloud"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        rtsp_cameras = {}
        for name in CAMERAS.rtsp:
            server = await stack.enter_async_context(
                rtsp_server({"/view": VIEW}, transport="tcp", log_every=1 << 30, live=VIEW.gop / VIEW.fps)
            )
            rtsp_cameras[name] = RtspCamera(server, await stack.enter_async_context(network(server.port)))
        simulated = await stack.enter_async_context(cloud(folder / "cloud", *CLOUD))
        cloud_tap = CloudTap()
        uplink = await stack.enter_async_context(network(simulated.port, cloud_tap.receive))
        broker = await stack.enter_async_context(mosquitto(folder / "broker"))
        subscriber = await stack.enter_async_context(subscribing(broker.port))
        wall = WallClock(folder)
        log = PublishedLog(subscriber.on_ack, wall.ahead)
        quota = Quota()
        broker_tap = BrokerTap(log, quota)
        mqtt = await stack.enter_async_context(network(broker.port, broker_tap.receive))
        mqtt.alter = quota.alter
        cameras = {name: source(rtsp_cameras, name) for name in CAMERAS.all}
        env = {"TMPDIR": f"{folder}/tmp", **folders(folder), **wall.env}
        box = Box(folder / "state", settings(uplink, mqtt, cameras), env)
        stack.push_async_callback(box.kill)
        yield Testbed(
            folder=folder,
            rtsp_cameras=rtsp_cameras,
            cloud=simulated,
            uplink=uplink,
            broker=broker,
            mqtt=mqtt,
            subscriber=subscriber,
            daemon=Daemon(box, folder / "daemon.log", wall.ahead),
            wall=wall,
            published_log=log,
            broker_tap=broker_tap,
            quota=quota,
            cloud_tap=cloud_tap,
            archive=Archive(folder / "cloud"),
            paused=[],
        )
