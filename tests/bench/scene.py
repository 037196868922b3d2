"""What the benchmarks run in: a camera, a cloud with TLS, a broker, and the daemon, each a process of its own."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import trio
import trustme

from support.mosquitto import Broker, mosquitto
from support.processes import ChildProcess, running

Json = dict[str, Any]
FRAGMENTS = ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof"]


class Certificate(NamedTuple):
    """Files in PEM."""

    ca_file: Path
    cert_file: Path
    key_file: Path


class Cloud:
    """`bench.pouring` as a process."""

    def __init__(self, process: ChildProcess, port: int, ca_file: Path | None) -> None:
        self.process = process
        self.ca_file = ca_file
        self.url = f"{'wss' if ca_file else 'ws'}://localhost:{port}/v2/stream/analyze"

    def chunks(self) -> list[Json]:
        """All chunks so far, in the order of their arrival."""
        return [json.loads(line) for line in self.process.lines if line.startswith("{")]

    async def wait_chunks(self, enough: Callable[[list[Json]], bool], within: float = 60.0) -> list[Json]:
        """The chunks, as soon as there are enough."""
        with trio.fail_after(within):
            while not enough(chunks := self.chunks()):  # noqa: ASYNC110 - lines of another process
                await trio.sleep(0.05)
        return chunks


def certificate(folder: Path) -> Certificate:
    """A certificate for localhost, and who vouches for it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    files = Certificate(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(files.ca_file))
    issued.cert_chain_pems[0].write_to_path(str(files.cert_file))
    issued.private_key_pem.write_to_path(str(files.key_file))
    return files


@asynccontextmanager
async def pouring(folder: Path, *options: str, tls: bool = False) -> AsyncIterator[Cloud]:
    """A cloud that costs little."""
    command = [sys.executable, "-m", "bench.pouring", *options]
    ca_file = None
    if tls:
        files = certificate(folder)
        ca_file = files.ca_file
        command += ["--cert", str(files.cert_file), "--cert-key", str(files.key_file)]
    async with running(command) as process:
        line = await process.wait_line(lambda line: line.startswith("listening"))
        yield Cloud(process, int(line.split()[1]), ca_file)


def configuration(folder: Path, cloud: Cloud, broker: Broker, cameras: Mapping[str, Json], **more: Json) -> Path:
    """A file for the daemon; everything that is not named is by default."""
    interhuman: Json = {"url": cloud.url, "api_key": {"env": "API_KEY"}}
    if cloud.ca_file:
        interhuman["ca_file"] = str(cloud.ca_file)
    config: Json = {"box": {"id": "bench"}, "interhuman": interhuman, "mqtt": {"url": broker.url}, "cameras": cameras}
    file = folder / "interhuman2mqtt.toml"
    file.write_text(tomli_w.dumps(config | more))
    return file


@asynccontextmanager
async def daemon(
    folder: Path, config: Path, start: Sequence[str] = ("interhuman2mqtt",)
) -> AsyncIterator[ChildProcess]:
    """The daemon; `start`: the module that starts it, and its first arguments."""
    command = [sys.executable, "-m", *start, "run", "--config", str(config)]
    env = {**os.environ, "API_KEY": "bench", "STATE_DIRECTORY": str(folder)}
    async with running(command, env) as process:
        yield process


@asynccontextmanager
async def quiet_broker(folder: Path) -> AsyncIterator[Broker]:
    """A broker that takes what comes, and keeps as much for a subscriber as there is."""
    async with mosquitto(folder, lines=["max_queued_messages 0"]) as broker:
        yield broker
