"""A camera on loopback for tests: GStreamer's RTSP server, started, stopped, frozen and muted at will.

async with rtsp_server() as server:
    ... server.url("/h264-aac") ...
    at = server.captured_at("/h264-aac", frame=30)
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import trio

from support.clips import FULL_HD, Clip
from support.processes import PATIENCE_S, ChildProcess, start_process
from support.tracks import tracks

SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's binding belongs to the system's Python, not to a virtual environment."""

MOUNTS = {
    "/h264-aac": Clip(),
    "/h264-alaw": Clip(audio="pcm_alaw"),
    "/h264-mulaw": Clip(audio="pcm_mulaw"),
    "/h264": Clip(audio=None),
    "/h264-b-frames": Clip(b_frames=2),
    "/h265-aac": Clip(video="libx265"),
    "/audio": Clip(video=None),
    "/mjpeg": Clip(video="mjpeg", size=(320, 184), audio=None),
}
"""What is served unless a test asks for something else."""
FULL_HD_MOUNT = {"/full-hd": FULL_HD}

Transport = Literal["tcp", "udp", "both"]


class Login(NamedTuple):
    """Who may watch; `auth` says how the server asks for it."""

    username: str
    password: str
    auth: Literal["basic", "digest"] = "digest"


class RtspServer:
    """One server on one port, which it keeps through `stop` and `start`."""

    def __init__(
        self,
        mounts: Mapping[str, Clip],
        login: Login | None = None,
        transport: Transport = "both",
        log_every: int = 1,
        live: float = 0.0,
    ) -> None:
        self.port = 0
        self.past: list[str] = []
        self.process: ChildProcess | None = None
        self._mounts, self._login, self._transport, self._log_every = mounts, login, transport, log_every
        self._live = live

    def url(self, mount: str, port: int | None = None) -> str:
        """Where a mount is; another port leads through a proxy. Without user name and password."""
        return f"rtsp://127.0.0.1:{port or self.port}{mount}"

    def serve(self, mounts: Mapping[str, Clip]) -> None:
        """Serve something else from the next start on."""
        self._mounts = mounts

    async def start(self) -> None:
        """Start serving, on the port of the last time; returns when the server listens."""
        clips = [await trio.to_thread.run_sync(tracks, clip) for clip in self._mounts.values()]
        command = [SYSTEM_PYTHON, str(SERVER), "--port", str(self.port), "--transport", self._transport]
        command += ["--log-every", str(self._log_every), "--live", str(self._live)]
        command += [f"--mount={mount}={clip}" for mount, clip in zip(self._mounts, clips, strict=True)]
        env = dict(os.environ)
        if self._login:
            env["RTSP_PASSWORD"] = self._login.password
            command += [f"--username={self._login.username}", "--auth", self._login.auth]
        self.process = await start_process(command, env)
        ready = await self.process.wait_line(lambda line: line.startswith("ready "))
        self.port = int(ready.split()[1])

    async def stop(self) -> None:
        """End it at once: connections are reset, the port refuses."""
        if self.process:
            await self.process.kill()
            self.past += self.process.lines
            self.process = None

    def freeze(self) -> None:
        """The connections stay, nothing is sent any more, new ones are accepted by the kernel only."""
        self._running.freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._running.thaw()

    async def mute(self, kind: Literal["video", "audio"]) -> None:
        """Send no more of one track, in all streams."""
        await self._running.write_line(f"mute {kind}")
        await self.wait_for(lambda line: line["event"] == "mute" and line["kind"] == kind)

    async def unmute(self, kind: Literal["video", "audio"]) -> None:
        """Send the track again: its clock ran on meanwhile."""
        await self._running.write_line(f"unmute {kind}")

    @property
    def _running(self) -> ChildProcess:
        assert self.process, "the server is stopped"
        return self.process

    @property
    def sent(self) -> list[dict[str, Any]]:
        """All that happened so far, through every `stop` and `start`, oldest first."""
        lines = self.past + (self.process.lines if self.process else [])
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def wait_for(self, wanted: Callable[[dict[str, Any]], bool], within: float = PATIENCE_S) -> dict[str, Any]:
        """The first happening of the running server, past or to come, that is wanted."""
        line = await self._running.wait_line(lambda line: line.startswith("{") and wanted(json.loads(line)), within)
        return dict(json.loads(line))

    def captured_at(self, mount: str, frame: int, media: int | None = None) -> float:
        """When (time.time()) a frame of the newest stream of a mount, or of stream `media`, was captured.

        Frames are counted on through the loops of the clip; KeyError where it was not sent, or not logged.
        """
        for line in reversed(self.sent):
            if line["event"] == "frame" and line["mount"] == mount and media in {None, line["media"]}:
                media = line["media"]
                if line["frame"] == frame:
                    return float(line["at"])
        raise KeyError(f"frame {frame} of {mount} was not sent")


@asynccontextmanager
async def rtsp_server(
    mounts: Mapping[str, Clip] = MOUNTS,
    *,
    login: Login | None = None,
    transport: Transport = "both",
    log_every: int = 1,
    live: float = 0.0,
) -> AsyncIterator[RtspServer]:
    """A server that listens, and is gone when the block ends; for `live` see `rtsp_server.py`."""
    server = RtspServer(mounts, login, transport, log_every, live)
    try:
        await server.start()
        yield server
    finally:
        with trio.move_on_after(10, shield=True):
            await server.stop()
