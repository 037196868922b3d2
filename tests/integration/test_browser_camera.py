"""A browser is the camera: Chromium, the page, the daemon, the broker and the cloud, each a process."""

import base64
import io
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest
import trio

from integration.helpers import Box, Peers, box, run_peers
from support.mosquitto import free_port
from support.netproxy import Network, network
from support.processes import ChildProcess, running
from web.firefox import firefox, in_firefox

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed"),
]
CHROMIUM = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
KEEP_WHAT_IS_MADE = """
window.made = [];
const Recorder = window.MediaRecorder;
window.MediaRecorder = class extends Recorder {
  constructor(...given) {
    super(...given);
    const mine = [];
    window.made.push(mine);
    this.addEventListener("dataavailable", (event) => mine.push(event.data));
  }
};
window.film = async (number) => {
  const bytes = new Uint8Array(await new Blob(window.made[number]).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
};
"""
ON = "#is[data-is=on]"


class Scene(NamedTuple):
    """A box and its page, with a line between the page and browsers that can be broken."""

    peers: Peers
    daemon: Box
    page: ChildProcess
    line: Network
    link: str


@asynccontextmanager
async def scene(folder: Path, **camera: Any) -> AsyncIterator[Scene]:
    async with run_peers(folder) as peers:
        port = free_port()
        config = peers.config({"table": {"source": "browser:", "buffer": "20s", **camera}})
        config["web"] = {"listen": f"127.0.0.1:{port}"}
        places = {"RUNTIME_DIRECTORY": str(folder / "run")}
        async with box(folder, config, places) as daemon:
            env = {**daemon.environment, "STATE_DIRECTORY": str(folder / "page")}
            (folder / "page").mkdir()
            async with page(daemon.file, env) as web, network(to=port) as line:
                link = await trio.to_thread.run_sync(invited, daemon.file, env, line.port)
                yield Scene(peers, daemon, web, line, link)


@asynccontextmanager
async def page(file: Path, env: dict[str, str]) -> AsyncIterator[ChildProcess]:
    async with running([sys.executable, "-m", "interhuman2mqtt", "web", "--config", str(file)], env) as process:
        await process.wait_line(lambda line: "the page is served" in line)
        yield process


def invited(file: Path, env: dict[str, str], port: int) -> str:
    """A link, by the command. Blocks."""
    url = f"http://127.0.0.1:{port}/"
    return str(json.loads(said(env, "invite", "table", "--config", str(file), "--json", "--url", url))["link"])


def said(env: dict[str, str], *arguments: str) -> bytes:
    """What a command of ours prints. Blocks."""
    command = [sys.executable, "-m", "interhuman2mqtt", *arguments]
    return subprocess.run(command, env=env, check=True, capture_output=True).stdout


class Tab:
    """A tab of a Chromium whose camera is a fake one; every method is run in a thread."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def wait(self, selector: str) -> None:
        self.tab.wait_for_selector(selector, timeout=30_000)

    def film(self, number: int = 0) -> bytes:
        """All that a recorder made."""
        return base64.b64decode(self.tab.evaluate(f"window.film({number})"))

    def recorders(self) -> int:
        """How many have begun."""
        return int(self.tab.evaluate("window.made.length"))

    def has_camera(self) -> bool:
        """Whether a track of a camera is live: the lamp is on."""
        return bool(self.tab.evaluate("Boolean(document.getElementById('preview').srcObject?.active)"))


def in_chromium(link: str, act: Any, script: str = "") -> None:
    """Open the link, and do something. Blocks."""
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        tab = browser.new_context(locale="en-GB").new_page()
        tab.add_init_script(KEEP_WHAT_IS_MADE + script)
        tab.goto(link)
        act(Tab(tab))
        browser.close()


def frames(film: bytes) -> list[str]:
    """A hash of each frame of a film, as it was encoded."""
    with av.open(io.BytesIO(film), "r") as container:
        return [sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]


def reset(tab: Tab, line: Network) -> None:
    """End all connections, and refuse others for a while."""
    trio.from_thread.run_sync(line.reset)
    trio.from_thread.run(line.refuse)
    tab.wait("#is[data-is=trouble]")
    tab.tab.wait_for_timeout(4000)
    trio.from_thread.run(line.accept)


def cut(tab: Tab, line: Network) -> None:
    """Hold all bytes back, until the browser no longer waits for its answer and sends again what may come twice now."""
    trio.from_thread.run_sync(line.cut)
    tab.wait("#is[data-is=trouble]")
    trio.from_thread.run_sync(line.mend)


@pytest.mark.parametrize("break_line", [reset, cut])
async def test_frames_arrive_over_a_broken_line(tmp_path: Path, break_line: Callable[[Tab, Network], None]) -> None:
    """What the recorder made is what the cloud gets, frame by frame, copied, though the line broke in the middle."""
    async with scene(tmp_path, buffer="60s") as at:
        films: list[bytes] = []

        def act(tab: Tab) -> None:
            tab.wait("#start:not([hidden])")
            assert not tab.has_camera()
            tab.tab.click("#look")
            tab.wait("#is >> text=nothing is sent")
            assert (tab.has_camera(), tab.recorders()) == (True, 0)
            tab.tab.click("#start")
            tab.wait(ON)
            trio.from_thread.run(at.peers.wait_status, "table", "streaming")
            trio.from_thread.run(at.peers.cloud.wait_happened, "chunk")
            break_line(tab, at.line)
            tab.wait(ON)
            tab.tab.wait_for_timeout(6000)
            assert tab.recorders() == 1
            films.append(tab.film())
            tab.tab.click("#stop")
            assert not tab.has_camera()
            trio.from_thread.run(at.peers.wait_status, "table", "waiting", "source_ended")

        await trio.to_thread.run_sync(in_chromium, at.link, act)
        status = at.peers.statuses("table")[-1]
        assert status["reason"] == "source_ended"
        assert "copied" in status["source"]
        assert await at.daemon.stop() == 0
    made, [file] = frames(films[0]), at.peers.cloud.files()
    arrived = frames(file.read_bytes())
    first = made.index(arrived[0])
    assert arrived[: len(made) - first] == made[first : first + len(arrived)]
    assert len(arrived) > 100


async def test_a_pause_puts_the_lamp_out(tmp_path: Path) -> None:
    """A pause stops the tracks, and a line that is broken for too long does; after either it begins by itself, anew."""
    async with scene(tmp_path, buffer="5s", replay="2s") as at:

        def act(tab: Tab) -> None:
            tab.wait("#start:not([hidden])")
            tab.tab.click("#start")
            trio.from_thread.run(at.peers.wait_status, "table", "streaming")
            other = Tab(tab.tab.context.new_page())
            other.tab.goto(at.link)
            other.wait("#why >> text=another browser is this camera now")
            said(at.daemon.environment, "pause", "table")
            tab.wait("#is[data-is=off]")
            assert not tab.has_camera()
            trio.from_thread.run(at.peers.wait_status, "table", "paused", "paused")
            other.wait("#why >> text=paused")
            other.tab.close()
            said(at.daemon.environment, "resume", "table")
            tab.wait(ON)
            assert (tab.recorders(), tab.has_camera()) == (2, True)
            trio.from_thread.run(at.peers.wait_latest, "table", lambda status: status["state"] == "streaming")
            trio.from_thread.run(at.line.refuse)
            trio.from_thread.run_sync(at.line.reset)
            tab.wait("#is >> text=No connection")
            assert not tab.has_camera()
            trio.from_thread.run(at.line.accept)
            tab.wait(ON)
            assert (tab.recorders(), tab.has_camera()) == (3, True)
            trio.from_thread.run(at.peers.wait_latest, "table", lambda status: status["state"] == "streaming")
            said({**at.daemon.environment, "STATE_DIRECTORY": str(tmp_path / "page")}, "invite", "--revoke", "all")
            tab.wait("#is >> text=does not hold any more")
            assert not tab.has_camera()

        await trio.to_thread.run_sync(in_chromium, at.link, act)
        states = at.peers.states("table")
        assert {("paused", "paused"), ("offline", "source_ended")} <= set(states)
        assert not {reason for _, reason in states} & {"stalled", "invalid_media", "capture_crashed", "bug"}


WITHOUT = """
const had = MediaRecorder.isTypeSupported;
MediaRecorder.isTypeSupported = (type) => had(type) && !/%s/.test(type);
"""


@pytest.mark.parametrize(
    ("without", "becomes"),
    [("mp4", "(copied), opus"), ("mp4|h264", "vp8 1280x720 (encoded as h264 1280x720), opus")],
    ids=["webm-h264", "webm-vp8"],
)
async def test_other_recorders(tmp_path: Path, without: str, becomes: str) -> None:
    """WebM with H.264 is copied, too; what has no H.264 is encoded by the box."""
    async with scene(tmp_path) as at:

        def act(tab: Tab) -> None:
            tab.wait("#start:not([hidden])")
            tab.tab.click("#start")
            trio.from_thread.run(at.peers.wait_status, "table", "streaming")
            trio.from_thread.run(at.peers.cloud.wait_happened, "chunk")

        await trio.to_thread.run_sync(in_chromium, at.link, act, WITHOUT % without)
        assert becomes in at.peers.statuses("table")[-1]["source"]


async def test_a_browser_that_is_a_microphone(tmp_path: Path) -> None:
    """For a model that analyses audio alone no camera is opened: no frame of video leaves the tab."""
    async with scene(tmp_path, model="inter-2-audio") as at:
        films: list[bytes] = []

        def act(tab: Tab) -> None:
            tab.wait("#start:not([hidden])")
            tab.wait("#audio-only:not([hidden])")
            assert tab.tab.is_hidden("#look")
            tab.tab.click("#start")
            tab.wait(ON)
            trio.from_thread.run(at.peers.wait_status, "table", "streaming")
            trio.from_thread.run(at.peers.cloud.wait_happened, "chunk")
            assert tab.tab.evaluate("document.getElementById('preview').srcObject.getVideoTracks().length") == 0
            films.append(tab.film())

        await trio.to_thread.run_sync(in_chromium, at.link, act)
        assert "audio only" in at.peers.statuses("table")[-1]["source"]
    with av.open(io.BytesIO(films[0]), "r") as made:
        assert [stream.type for stream in made.streams] == ["audio"]


async def test_a_page_without_https_says_what_is_missing(tmp_path: Path) -> None:
    """Where the browser gives no camera the page says why, and whose work it is."""
    async with scene(tmp_path) as at:

        def act(tab: Tab) -> None:
            tab.wait("#why >> text=certificate and private_key")
            assert not tab.tab.is_visible("#start")

        insecure = "Object.defineProperty(globalThis, 'isSecureContext', { value: false });"
        await trio.to_thread.run_sync(in_chromium, at.link, act, insecure)


@pytest.mark.parametrize(
    "close", [lambda tab: tab.close(), lambda tab: tab.goto("about:blank")], ids=["closed", "left"]
)
async def test_a_tab_that_is_closed_says_so(tmp_path: Path, close: Callable[[Any], object]) -> None:
    """Whoever closes the tab, or leaves the page, is the camera no more, and the box does not wait for what is lost."""
    async with scene(tmp_path, buffer="60s") as at:

        def act(tab: Tab) -> None:
            tab.wait("#start:not([hidden])")
            tab.tab.click("#start")
            trio.from_thread.run(at.peers.wait_status, "table", "streaming")
            close(tab.tab)
            trio.from_thread.run(at.page.wait_line, lambda line: "it was stopped" in line)
            trio.from_thread.run(at.peers.wait_status, "table", "waiting", "source_ended")

        await trio.to_thread.run_sync(in_chromium, at.link, act)


@in_firefox
async def test_firefox(tmp_path: Path) -> None:
    """VP8 is encoded by the box, Opus copied; after a pause it begins by itself; a tab that is closed says so."""
    async with scene(tmp_path) as at, firefox(tmp_path) as tab:
        await tab.goto(at.link)
        await tab.click("#start:not([hidden])")
        await tab.wait(ON)
        await at.peers.wait_status("table", "streaming")
        await at.peers.cloud.wait_happened("chunk")
        source = at.peers.statuses("table")[-1]["source"]
        assert source.startswith("vp8 ")
        assert "(encoded as h264" in source
        assert source.endswith("opus 48000 Hz (copied)")
        await trio.to_thread.run_sync(said, at.daemon.environment, "pause", "table")
        await tab.wait("#is[data-is=off]")
        assert await tab.evaluate("document.getElementById('preview').srcObject === null")
        await trio.to_thread.run_sync(said, at.daemon.environment, "resume", "table")
        await tab.wait(ON)
        await at.peers.wait_latest("table", lambda status: status["state"] == "streaming")
        assert tab.errors == []
        await tab.close()
        await at.page.wait_line(lambda line: "it was stopped" in line)
        await at.peers.wait_status("table", "waiting", "source_ended")
