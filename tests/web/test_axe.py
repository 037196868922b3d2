"""Whoever uses a keyboard or a screen reader, or tells few colours apart, can use every view, in every language."""

from importlib import resources
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Page

from interhuman2mqtt.web.invites import Invite, Invites, Kind
from web.chromium import in_chromium
from web.helpers import BOX, CAMERA, PASSWORD, Capture, Site, ago, site

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
RULES = "() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })"
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
INSECURE = "Object.defineProperty(globalThis, 'isSecureContext', { value: false });"
TILE = f".tile[data-key='{BOX}/{CAMERA}']"
languages = pytest.mark.parametrize("language", ["en-GB", pytest.param("de-DE", marks=pytest.mark.full)])


class Findings(list[str]):
    """What axe has to say against views, light and dark: which, the rule, and where."""

    def look(self, tab: Page, view: str) -> None:
        """Look at what is shown. Blocks."""
        tab.evaluate(AXE)
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            for rule in tab.evaluate(RULES)["violations"]:
                self.extend(f"{view}, {scheme}: {rule['id']}: {node['html'][:200]}" for node in rule["nodes"])


def link(folder: Path, kind: Kind) -> str:
    """A link's path."""
    invite = Invite(kind=kind, box=BOX, camera=CAMERA, created_at=1.0, expires_at=4e9)
    return f"{kind.value}#{Invites(folder / 'state').add(invite)}"


async def a_fleet(page: Site) -> None:
    """Three cameras: one that sees, one that is away, one that is paused."""
    await page.status()
    await page.event("coverage.gap", {"reason": "unreachable"}, seconds_ago=60, end_at=ago(30))
    await page.event("engagement.updated", {"state": "engaged"}, seconds_ago=20)
    await page.event("signal.detected", {"signal_type": "stress", "probability": "high"}, seconds_ago=5)
    await page.event("conversation_quality.updated", {"overall": {"quality_index": 61}}, end_at=ago(0))
    await page.say(f"{BOX}/{CAMERA}/state/engagement", {"state": "engaged"}, retain=True)
    away = {"state": "offline", "reason": "unreachable", "detail": "no answer", "since": ago(900)}
    await page.say(f"{BOX}/back/status", {**away, "gap": {"start_at": ago(900)}}, retain=True)
    await page.say(f"{BOX}/side/status", {"state": "paused", "reason": "paused", "since": ago(9)}, retain=True)
    await page.fleet(lambda fleet: len(fleet["cameras"]) == 3)


@pytest.mark.full
@languages
async def test_the_fleet_a_camera_and_a_fortnight(tmp_path: Path, language: str) -> None:
    """All views of who may look, and their dialogs."""
    async with site(tmp_path) as page:
        await a_fleet(page)
        found = Findings()

        def look(tab: Page) -> None:
            tab.wait_for_selector(f"{TILE} rect.k-gap")
            found.look(tab, "fleet")
            tab.click("#login")
            found.look(tab, "login")
            tab.fill("#password", PASSWORD)
            tab.press("#password", "Enter")
            tab.wait_for_selector("#logout:visible")
            tab.goto(f"{page.client.base_url}#/camera/{BOX}/{CAMERA}")
            tab.wait_for_selector("button[data-act=forget]:not([disabled])")
            tab.click("summary")
            found.look(tab, "camera")
            tab.click("button[data-act=forget]")
            found.look(tab, "forget")
            tab.click("#forget-dialog button[value=cancel]")
            tab.goto(f"{page.client.base_url}#/fortnight")
            tab.wait_for_selector("table.days td.part, table.days td.some")
            found.look(tab, "fortnight")

        await in_chromium(str(page.client.base_url), look, locale=language)
        assert found == []


@pytest.mark.full
@languages
async def test_what_a_link_leads_to(tmp_path: Path, language: str) -> None:
    """The page on a room's wall, and the one by which a browser is a camera, in each of their states."""
    async with site(tmp_path, room_details=True) as page:
        await a_fleet(page)
        found = Findings()
        room, browser = link(tmp_path, Kind.ROOM), link(tmp_path, Kind.BROWSER)
        (tmp_path / "run" / "browser").mkdir(parents=True)
        capture = Capture(tmp_path / "run" / "browser", CAMERA)

        def look_at_room(tab: Page) -> None:
            tab.wait_for_selector("#is[data-is=on]")
            found.look(tab, "room, on")
            trio.from_thread.run(page.status, "paused")
            tab.wait_for_selector("#is[data-is=off]")
            tab.wait_for_selector("#login-form:not([hidden])")
            found.look(tab, "room, off")
            tab.goto("about:blank")
            tab.goto(f"{page.client.base_url}room#none")
            tab.wait_for_selector("#is[data-is=unknown]")
            found.look(tab, "room, no link")

        def look_at_browser(tab: Page) -> None:
            tab.wait_for_selector("#look:not([hidden])")
            found.look(tab, "browser, idle")
            tab.click("#look")
            tab.wait_for_selector("#preview:not([hidden])")
            found.look(tab, "browser, preview")
            tab.click("#start")
            tab.wait_for_selector("#is[data-is=on]")
            found.look(tab, "browser, on")
            tab.click("#stop")
            tab.wait_for_selector("#start:not([hidden])")
            found.look(tab, "browser, stopped")
            tab.add_init_script(INSECURE)
            tab.reload()
            tab.wait_for_selector("#why:not(:empty)")
            found.look(tab, "browser, cannot")

        async with capture.listening():
            await in_chromium(f"{page.client.base_url}{room}", look_at_room, locale=language)
            await in_chromium(f"{page.client.base_url}{browser}", look_at_browser, *FAKE_CAMERA, locale=language)
        assert found == []


@languages
async def test_who_has_to_log_in_first(tmp_path: Path, language: str) -> None:
    """The page of who may not look yet."""
    async with site(tmp_path, behind_proxy=True) as page:
        found = Findings()

        def look(tab: Page) -> None:
            tab.wait_for_selector("#login-dialog[open]")
            found.look(tab, "login")
            tab.fill("#password", "wrong")
            tab.press("#password", "Enter")
            tab.wait_for_selector("#login-error:not(:empty)")
            found.look(tab, "login refused")
            tab.keyboard.press("Escape")
            found.look(tab, "login cancelled")

        await in_chromium(str(page.client.base_url), look, locale=language)
        assert found == []
