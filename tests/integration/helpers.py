"""What whole runs are made of: the daemon and the simulated cloud, each a process, and what they printed."""

import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import tomli_w
import trio

from support.mosquitto import Broker, Subscriber, Tls, mosquitto, subscribed
from support.processes import PATIENCE_S, ChildProcess, ProcessEnded, captures, start_process

QUICK = ("--window", "2", "--stride", "1", "--cadence", "2")
"""An analysis that says all that it can say within two seconds of media."""
KEY = "ih_live_whole_run"
BOX = "lobby-1"
GAP = "coverage.gap"
Json = dict[str, Any]


class Cloud:
    """The simulated cloud as a process, on a port that it keeps; `folder` holds what it saved."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = 0
        self._options = options
        self._process: ChildProcess | None = None

    def url(self, version: str = "v2", scheme: str = "ws") -> str:
        """Where sessions are opened."""
        return f"{scheme}://localhost:{self.port}/{version}/stream/analyze"

    async def start(self, *more: str) -> None:
        """Start it, this time with more options, and wait until it listens."""
        listen = ["--listen", f"127.0.0.1:{self.port}", "--save", str(self.folder)]
        command = [sys.executable, "-m", "interhuman2mqtt", "simulate", *listen, *self._options, *more]
        self._process = await start_process(command)
        line = await self._process.wait_line(lambda line: "is listening" in line)
        found = re.search(r"://[^ ]*:(\d+)/", line)
        assert found
        self.port = int(found[1])

    async def kill(self) -> None:
        """End it at once."""
        if self._process:
            await self._process.kill()

    async def stop(self) -> None:
        """End it in good order."""
        assert self._process
        self._process.process.terminate()
        await self._process.process.wait()

    @property
    def output(self) -> list[str]:
        """What it printed since it was started last."""
        assert self._process
        return self._process.lines

    @property
    def record(self) -> list[Json]:
        """All happenings of `sessions.jsonl`, oldest first."""
        file = self.folder / "sessions.jsonl"
        whole = file.read_bytes().rpartition(b"\n")[0] if file.exists() else b""
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    def happened(self, what: str, **more: object) -> list[Json]:
        """The happenings of one kind that have these values."""
        return [line for line in self.record if line["what"] == what and more.items() <= line.items()]

    async def wait_happened(self, what: str, within: float = PATIENCE_S, **more: object) -> Json:
        """The first such happening, past or to come."""
        with trio.fail_after(within):
            while not (found := self.happened(what, **more)):  # noqa: ASYNC110 - a file wakes nobody
                await trio.sleep(0.05)
        return found[0]

    def files(self, session: int = 1) -> list[Path]:
        """The playable files of a session, by its number: one, unless each chunk is a file of its own."""
        return sorted(self.folder.glob(f"{session}-*.mp4"), key=lambda file: (len(file.name), file.name))


@asynccontextmanager
async def cloud(folder: Path, *options: str) -> AsyncIterator[Cloud]:
    """A running Cloud, which is gone when the block ends."""
    simulated = Cloud(folder, *options)
    try:
        await simulated.start()
        yield simulated
    except BaseException:
        sys.stderr.write("\n".join(["the cloud said:", *simulated.output[-60:], ""]))
        raise
    finally:
        with trio.move_on_after(10, shield=True):
            await simulated.kill()


class Box:
    """`interhuman2mqtt run` as a process, with a configuration file of its own."""

    program = "interhuman2mqtt"
    """The module that is run."""

    def __init__(self, folder: Path, config: Json, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.file = folder / "interhuman2mqtt.toml"
        self.configure(config)
        self._env = {"INTERHUMAN2MQTT_BUGS": "0", "STATE_DIRECTORY": str(folder), "API_KEY": KEY, **(env or {})}
        self._process: ChildProcess | None = None

    def configure(self, config: Json) -> None:
        """Write the file anew."""
        self.file.write_text(tomli_w.dumps(config))

    async def start(self) -> None:
        """Start it; it may still be starting when this returns."""
        command = [sys.executable, "-m", self.program, "run", "--config", str(self.file)]
        self._process = await start_process(command, self.environment)

    @property
    def environment(self) -> Json:
        """What it is started with."""
        return {**os.environ, **self._env}

    @property
    def process(self) -> ChildProcess:
        """As it was started last."""
        assert self._process
        return self._process

    @property
    def pid(self) -> int:
        """Of the daemon itself."""
        return self.process.process.pid

    @property
    def output(self) -> list[str]:
        """What it printed."""
        return self.process.lines

    @property
    def log(self) -> list[Json]:
        """What it logged, without lines that are no JSON."""
        return [json.loads(line) for line in self.output if line.startswith("{")]

    async def wait_log(self, event: str, within: float = PATIENCE_S, **more: object) -> Json:
        """The first line, past or to come, of this event with these values."""

        def wanted(line: str) -> bool:
            return line.startswith("{") and {"event": event, **more}.items() <= json.loads(line).items()

        return dict(json.loads(await self.process.wait_line(wanted, within)))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        self.process.process.send_signal(number)

    async def wait(self, within: float = PATIENCE_S) -> int:
        """Its exit status, as soon as it ends and its last line is read."""
        with trio.fail_after(within):
            status: int = await self.process.process.wait()
            with suppress(ProcessEnded):  # which tells that the pipe has been read to its end too
                await self.process.wait_line(lambda _: False)
        return status

    async def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.send(signal.SIGTERM)
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL, in whatever state."""
        if self._process:
            await self._process.kill()

    def workers(self) -> dict[int, str]:
        """The capture processes that are children of it, by their ids, with the command line."""
        return captures(self.pid)


@asynccontextmanager
async def box(
    folder: Path, config: Json, env: Mapping[str, str] | None = None, program: str = "interhuman2mqtt"
) -> AsyncIterator[Box]:
    """A daemon that was started, and is gone when the block ends."""
    started = Box(folder, config, env)
    started.program = program
    try:
        await started.start()
        yield started
    except BaseException:
        said = [line for line in started.output if '"level": "debug"' not in line]
        sys.stderr.write("\n".join(["the daemon said:", *said[-60:], ""]))
        raise
    finally:
        with trio.move_on_after(10, shield=True):
            await started.kill()


class Peers(NamedTuple):
    """What a box talks to: the broker and the cloud, and a subscriber to the broker."""

    folder: Path
    broker: Broker
    cloud: Cloud
    subscriber: Subscriber
    ca_file: Path | None
    """Who vouches for broker and cloud."""

    def config(self, cameras: Mapping[str, Json], **sections: Json) -> Json:
        """The content of a configuration file; `sections` add to what each would hold."""
        return configuration(self.cloud.url(), self.broker.url, cameras, **sections)

    async def wait_status(self, camera: str, state: str, reason: str | None = None, within: float = PATIENCE_S) -> Json:
        """The first status of a camera, past or to come, with this state and reason."""

        def wanted() -> list[Json]:
            return [
                status for status in self.statuses(camera) if (status["state"], status["reason"]) == (state, reason)
            ]

        try:
            await self.subscriber.wait_for(lambda _: wanted(), within)
        except AssertionError:
            seen = [(status["state"], status["reason"], status["detail"]) for status in self.statuses(camera)]
            raise AssertionError(f"{camera} was never {state}/{reason} in {within} s: {seen}") from None
        return wanted()[0]

    async def wait_latest(self, camera: str, wanted: Callable[[Json], bool], within: float = PATIENCE_S) -> Json:
        """The latest status of a camera, as soon as it is wanted."""
        await self.subscriber.wait_for(lambda _: [s for s in self.statuses(camera)[-1:] if wanted(s)], within)
        return self.statuses(camera)[-1]

    async def wait_event(self, camera: str, type_: str, within: float = PATIENCE_S, count: int = 1) -> Json:
        """The event of a type that makes them `count`."""
        await self.subscriber.wait_for(lambda _: len(self.events(camera, type_)) >= count, within)
        return self.events(camera, type_)[count - 1]

    def statuses(self, camera: str) -> list[Json]:
        """All statuses of a camera so far."""
        return [json.loads(payload) for payload in self.subscriber.payloads(f"/{camera}/status") if payload]

    def states(self, camera: str) -> list[tuple[str, str | None]]:
        """The states of a camera so far with their reasons, each once for as long as it lasted."""
        states = [(status["state"], status["reason"]) for status in self.statuses(camera)]
        return [state for before, state in pairwise([None, *states]) if state is not None and state != before]

    def events(self, camera: str, type_: str | None = None) -> list[Json]:
        """All events of a camera so far that the cloud sent, or those of a type."""
        prefix = f"interhuman/{BOX}/{camera}/event/"
        found = [json.loads(m.payload) for m in self.subscriber.messages if m.topic.startswith(prefix)]
        return [event for event in found if event["type"] == type_ or (type_ is None and event["type"] != GAP)]

    async def retained(self) -> dict[str, bytes]:
        """What the broker retains now, as a client sees that comes now."""
        async with subscribed(self.broker, "interhuman/#", ca_file=self.ca_file) as late:
            await late.wait_for(lambda seen: any(m.topic.endswith("bridge/info") for m in seen))
            await trio.sleep(0.1)  # the others come in one go with it
            return {m.topic.removeprefix(f"interhuman/{BOX}/"): m.payload for m in late.messages if m.retained}


def configuration(cloud_url: str, broker_url: str, cameras: Mapping[str, Json], **sections: Json) -> Json:
    """The content of a configuration file for one box."""
    base: Json = {
        "box": {"id": BOX},
        "interhuman": {"url": cloud_url, "api_key": {"env": "API_KEY"}, "chunk": "1s", "model": "inter-2"},
        "mqtt": {"url": broker_url},
        "log": {"level": "debug", "format": "json"},
        "cameras": dict(cameras),
    }
    merged = {name: {**base.get(name, {}), **sections.get(name, {})} for name in {**base, **sections}}
    if "/v1/" in merged["interhuman"]["url"]:
        del merged["interhuman"]["model"]  # which it does not know
    return merged


@asynccontextmanager
async def run_peers(
    folder: Path, *options: str, tls: Tls | None = None, lines: Sequence[str] = ()
) -> AsyncIterator[Peers]:
    """A broker, a subscriber to everything on it, and a cloud with a quick analysis; `tls` for both.

    `options` are the cloud's, `lines` go into the broker's configuration.
    """
    certificate = ["--cert", str(tls.cert_file), "--cert-key", str(tls.key_file)] if tls else []
    async with AsyncExitStack() as stack:
        ca_file = tls.ca_file if tls else None
        broker = await stack.enter_async_context(mosquitto(folder, tls=tls, lines=lines))
        subscriber = await stack.enter_async_context(subscribed(broker, ca_file=ca_file, as_published=True))
        simulated = await stack.enter_async_context(cloud(folder / "cloud", *QUICK, *certificate, *options))
        yield Peers(folder, broker, simulated, subscriber, ca_file)
