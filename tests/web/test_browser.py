"""The page in a real Chromium: a sample by default, whole stories in `make test-full`."""

import json
import subprocess
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Page

from support.mosquitto import subscribed
from support.processes import in_background
from web.chromium import in_chromium
from web.helpers import BOX, CAMERA, PASSWORD, Site, ago, site

SEND = """async ([url, token]) => {
  const headers = token === null ? {} : { "x-csrf-token": token };
  const body = JSON.stringify({ box: "lobby-1", camera: "front" });
  try { return (await fetch(url + "api/pause", { method: "POST", credentials: "include", headers, body })).status; }
  catch (error) { return error.name; }
}"""
"""What a script may try."""
TILE = f".tile[data-key='{BOX}/{CAMERA}']"


async def a_camera(page: Site) -> None:
    """A camera that was away for half a minute, and is engaged with somebody now."""
    await page.status()
    await page.event("coverage.gap", {"reason": "unreachable"}, seconds_ago=60, end_at=ago(30))
    await page.event("engagement.updated", {"state": "engaged"}, seconds_ago=20)
    await page.event("signal.detected", {"signal_type": "stress", "probability": "high"}, seconds_ago=5)
    await page.say(f"{BOX}/{CAMERA}/state/engagement", {"state": "engaged"}, retain=True)
    await page.fleet(lambda fleet: fleet["cameras"])


async def test_an_event_is_seen(tmp_path: Path) -> None:
    """A tile stands in the fleet with its gap hatched, and shows a signal that is published while one looks."""
    async with site(tmp_path) as page:
        await a_camera(page)
        seen = trio.Event()

        def look(tab: Page) -> None:
            tab.wait_for_selector(f"{TILE} rect.k-gap")
            trio.from_thread.run_sync(seen.set)
            tab.wait_for_selector(f"{TILE} >> text=confusion")

        async def happen() -> None:
            await seen.wait()
            await page.say(f"{BOX}/{CAMERA}/state/signals", {"at": ago(0), "signals": {"confusion": {}}}, retain=True)

        async with in_background(happen):
            assert await in_chromium(str(page.client.base_url), look) == []


def log_in(tab: Page) -> None:
    """Give the password in the dialog."""
    tab.click("#login")
    tab.fill("#password", PASSWORD)
    tab.press("#password", "Enter")
    tab.wait_for_selector("#logout:visible")


def jpeg() -> bytes:
    """A picture of one colour."""
    command = [
        "ffmpeg",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=teal:size=320x180",
        "-frames:v",
        "1",
        "-f",
        "mjpeg",
        "-",
    ]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.full
async def test_from_the_fleet_to_the_fortnight(tmp_path: Path) -> None:
    """A tile changes as something happens, and leads to a timeline on which a gap is hatched, and to the fortnight."""
    async with site(tmp_path) as page:
        await a_camera(page)
        seen = trio.Event()

        def look(tab: Page) -> None:
            tab.wait_for_selector(f"{TILE} rect.k-gap")
            trio.from_thread.run_sync(seen.set)
            tab.wait_for_selector(".tile.needs >> text=no answer")
            tab.click(".tile a")
            tab.wait_for_selector(".chart rect.k-gap")
            assert tab.locator(".chart rect.p-high").count() == 1
            assert "front" in tab.inner_text("h1")
            tab.focus(".chart")
            tab.keyboard.press("ArrowLeft")
            tab.wait_for_url("**/*from=*")
            tab.goto(f"{page.client.base_url}#/fortnight")
            tab.wait_for_selector("table.days")

        async def happen() -> None:
            await seen.wait()
            await page.status("offline", reason="unreachable", detail="no answer", gap={"start_at": ago(0)})

        async with in_background(happen):
            assert await in_chromium(str(page.client.base_url), look) == []


@pytest.mark.full
async def test_a_pause_from_the_page(tmp_path: Path) -> None:
    """Who has logged in pauses a camera by a button, and reads what the box says; a wrong password is refused."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        await a_camera(page)

        def look(tab: Page) -> None:
            tab.goto(f"{page.client.base_url}#/camera/{BOX}/{CAMERA}")
            tab.wait_for_selector("button[data-act=pause][disabled]")
            tab.click("#login")
            tab.fill("#password", "wrong")
            tab.press("#password", "Enter")
            tab.wait_for_selector("#login-error >> text=wrong")
            tab.click("#login-cancel")
            log_in(tab)
            tab.click("button[data-act=pause]:not([disabled])")
            tab.wait_for_selector("#said >> text=lobby-1 says: done")

        async def answer() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/pause", 60)).payload)
            assert request["camera"] == CAMERA
            await page.say(f"{BOX}/bridge/response/pause", {"status": "ok", "transaction": request["transaction"]})

        async with in_background(answer):
            errors = await in_chromium(str(page.client.base_url), look)
        assert [error for error in errors if "401" not in error] == []


@pytest.mark.full
async def test_a_snapshot_and_then_nothing(tmp_path: Path) -> None:
    """A picture of now stands on the page, and is gone a minute later; then all is forgotten."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        await a_camera(page)

        def look(tab: Page) -> None:
            tab.clock.install()
            tab.goto(f"{page.client.base_url}#/camera/{BOX}/{CAMERA}")
            log_in(tab)
            tab.click("button[data-act=snapshot]")
            tab.wait_for_selector("figure.picture img")
            assert tab.evaluate("document.querySelector('figure img').decode().then(() => true)")
            tab.clock.fast_forward(61_000)
            tab.wait_for_selector("figure.picture", state="hidden")
            assert tab.locator("figure.picture img").count() == 0
            assert tab.locator(".chart rect.p-high").count() == 1
            tab.click("button[data-act=forget]")
            tab.check("#forget-dialog input[value=all]")
            tab.click("#forget-dialog button.primary")
            tab.wait_for_selector("#said >> text=Gone:")
            tab.wait_for_selector(".chart rect.p-high", state="detached")

        async def answer() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/snapshot", 60)).payload)
            await page.publisher.publish(f"interhuman/{BOX}/{CAMERA}/snapshot", jpeg())
            await page.say(f"{BOX}/bridge/response/snapshot", {"status": "ok", "transaction": request["transaction"]})
            request = json.loads((await asked.wait_topic("bridge/request/forget", 60)).payload)
            await page.say(f"{BOX}/bridge/response/forget", {"status": "ok", "transaction": request["transaction"]})

        async with in_background(answer):
            assert await in_chromium(str(page.client.base_url), look) == []


@pytest.mark.full
async def test_what_a_browser_is_refused(tmp_path: Path) -> None:
    """A script of another site, one without the token, and one without a login change nothing."""
    async with site(tmp_path) as page:
        await a_camera(page)
        base = str(page.client.base_url)

        def look(tab: Page) -> None:
            assert tab.evaluate(SEND, [base, None]) == 401
            log_in(tab)
            assert tab.evaluate(SEND, [base, None]) == 403
            assert tab.evaluate(SEND, [base, "wrong"]) == 403
            tab.goto(base.replace("127.0.0.1", "localhost"))  # another origin, which may not even ask
            assert tab.evaluate(SEND, [base, None]) == "TypeError"

        await in_chromium(base, look)
