"""A browser as a camera, from the socket on: waited for calmly, one at a time, and cut off by a pause."""

import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from cameras.helpers import RecordingPublisher, a_camera, a_context, permissive_policy, simulated_cloud, workers
from capture.material import crafted
from capture.test_browser import as_mp4, audio_alone
from interhuman2mqtt.cameras.browser_listener import BrowserListener
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.policy.pauses import Paused
from support.processes import PATIENCE_S

NOWHERE = "ws://localhost:1/v2/stream/analyze"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "ih_live_key")


@asynccontextmanager
async def browser_camera(folder: Path, url: str = NOWHERE) -> AsyncIterator[tuple[Camera, RecordingPublisher]]:
    """A camera that waits for its browser, with sockets in a folder."""
    published = RecordingPublisher()
    context = a_context(url, published, browsers=folder, policy=permissive_policy())
    camera = Camera(a_camera(source="browser:", size=None, fps=None, buffer=20.0), context)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run)
        await published.wait_state("waiting", "no_browser")
        yield camera, published
        camera.stop()
        nursery.cancel_scope.deadline = trio.current_time() + 20


async def connected(folder: Path) -> trio.SocketStream:
    """The page's connection."""
    return await trio.open_unix_socket(folder / "front")


async def answered(page: trio.SocketStream) -> bytes:
    """What the daemon says first; nothing where it closes."""
    with trio.fail_after(PATIENCE_S):
        return await page.receive_some()


async def test_a_browser_streams_after_whoever_sent_garbage(tmp_path: Path) -> None:
    """It is waited for in a calm state; garbage costs its sender's turn alone; a second one waits for the first."""
    content = crafted(as_mp4, ".media").read_bytes()
    async with simulated_cloud() as url, browser_camera(tmp_path, url) as (_, published):
        status = published.statuses[-1]
        assert status.detail == "waits for a browser: open a link of `interhuman2mqtt invite front`"
        assert not workers()
        async with await connected(tmp_path) as garbage:
            assert json.loads(await answered(garbage)) == {"buffer": 20.0}
            await garbage.send_all(b"no media at all\n" * 500)
            await garbage.send_eof()
            await published.wait_state("offline", "invalid_media")
        await published.wait_state("waiting", "invalid_media")
        async with await connected(tmp_path) as page, await connected(tmp_path) as second:
            assert await answered(page)
            await page.send_all(content[: len(content) // 2])
            await published.wait(lambda: any(event.type == "session.ready" for event in published.events))
            await page.send_all(content[len(content) // 2 :])
            with trio.move_on_after(0.2):
                await second.receive_some()
                raise AssertionError("a second browser was taken beside the first")
            await page.aclose()
            await published.wait_state("streaming")
            assert await answered(second)
        away = await published.wait_state("waiting", "source_ended")
        assert "; waits for a browser: " in (away.detail or "")


async def test_what_one_browser_sends_refuses_no_other(tmp_path: Path) -> None:
    """What of another source would be a refusal, for a person to mend, costs the next browser seconds at most."""
    async with browser_camera(tmp_path) as (_, published):
        for count in (1, 2):
            async with await connected(tmp_path) as page:
                assert await answered(page)
                await page.send_all(crafted(audio_alone, ".mp4").read_bytes())
                await page.send_eof()
                await published.wait_state("offline", "no_video", count)


async def test_a_pause_cuts_a_browser_off(tmp_path: Path) -> None:
    """A pause ends its connection and takes its socket away; after it there is a new one."""
    async with browser_camera(tmp_path) as (camera, published):
        policy = camera._context.policy
        async with await connected(tmp_path) as page:
            assert await answered(page)
            policy.see(Paused(doubt="somebody paused it"))
            assert await answered(page) == b""
            assert not (tmp_path / "front").exists()
        await published.wait_state("paused", "paused")
        policy.see(Paused())
        await published.wait_state("waiting", "no_browser", 2)
        assert (tmp_path / "front").is_socket()


async def test_there_is_no_folder_for_a_browser(tmp_path: Path) -> None:
    """It is said what is missing, and the camera waits for somebody who mends it."""
    published = RecordingPublisher()
    (tmp_path / "file").touch()
    for folder, sentence in ((None, "RUNTIME_DIRECTORY"), (tmp_path / "file", "File exists")):
        context = a_context(NOWHERE, published, browsers=folder)
        camera = Camera(a_camera(source="browser:", size=None, fps=None), context)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(camera.run)
            await published.wait(lambda: published.statuses and published.statuses[-1].state == "refused")
            assert sentence in (published.statuses[-1].detail or "")
            camera.stop()


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """As another user, with the umask of the unit."""
    umask = os.umask(0o077)
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.umask(umask)


def connects(user: int, group: int, path: Path) -> bool:
    """Whether a process of these may connect. Blocks."""
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    command = ["/usr/bin/python3", "-c", program]
    return not subprocess.run(
        command, check=False, user=user, group=group, extra_groups=[], stderr=subprocess.DEVNULL
    ).returncode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_page_may_connect_and_others_may_not() -> None:
    """A socket in a folder as tmpfiles.d makes it is for the page's group, whatever the daemon's umask."""
    daemon, page, other = 12345, 12346, 12347
    with tempfile.TemporaryDirectory() as runtime:
        folder = Path(runtime, "browser")
        folder.mkdir()
        os.chown(folder, daemon, page)
        folder.chmod(0o2750)
        Path(runtime).chmod(0o751)
        with acting_as(daemon):
            listener = BrowserListener(folder, a_camera(source="browser:"))
            listener.__enter__()
        assert [connects(12350, page, folder / "front"), connects(other, other, folder / "front")] == [True, False]
        with acting_as(daemon):
            listener.close()
        assert not list(folder.iterdir())
