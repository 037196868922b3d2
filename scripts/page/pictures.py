"""Take pictures of the page in Chromium, with invented data, to look at what a change has made of it.

    PYTHONPATH=tests .venv/bin/python scripts/page/pictures.py FOLDER [NAME...]

`fleet` is the one in the README: docs/pictures/page.png.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from fill import CAMERAS, fill, retained_by
from playwright.sync_api import Page

from web.chromium import in_chromium
from web.helpers import PASSWORD, Site, site

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
SEEN = next(camera for camera in CAMERAS if camera.name == "cam06")
AWAY = next(camera for camera in CAMERAS if camera.name == "cam54")
PICTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fleet": ("", ".tile", WIDE),
    "camera": (f"camera/{SEEN.box}/{SEEN.name}", ".chart", WIDE),
    "day": (f"camera/{SEEN.box}/{SEEN.name}?from={{day}}&to={{now}}", ".chart", WIDE),
    "trouble": (f"camera/{AWAY.box}/{AWAY.name}", ".chart", WIDE),
    "fortnight": ("fortnight", "table.days td.some", WIDE),
    "dark": ("", ".tile", {**WIDE, "color_scheme": "dark"}),
    "dark-camera": (f"camera/{SEEN.box}/{SEEN.name}", ".chart", {**WIDE, "color_scheme": "dark"}),
    "phone": ("", ".tile", {"viewport": {"width": 390, "height": 844}}),
    "phone-camera": (f"camera/{SEEN.box}/{SEEN.name}", ".chart", {"viewport": {"width": 390, "height": 844}}),
    "phone-fortnight": ("fortnight", "table.days td.some", {"viewport": {"width": 390, "height": 844}}),
}
"""By name: what comes after `#/`, what has to be there, and the browser's window."""


async def main(folder: Path, names: list[str]) -> None:
    """Take the pictures of these names, or all."""
    with tempfile.TemporaryDirectory() as scratch:
        await trio.to_thread.run_sync(fill, Path(scratch, "state", "history.sqlite"))
        async with site(Path(scratch)) as page:
            for topic, payload in retained_by(time.time()):
                await page.publisher.publish(topic, payload, retain=True)
            await page.fleet(lambda fleet: len(fleet["cameras"]) == len(CAMERAS))
            for name in names or PICTURES:
                await take(page, name, folder / f"{name}.png")


async def take(page: Site, name: str, file: Path) -> None:
    """Take one picture."""
    path, wanted, context = PICTURES[name]
    now = time.time()
    address = f"{page.client.base_url}#/{path.format(now=round(now), day=round(now - 86400))}"

    def look(tab: Page) -> None:
        tab.wait_for_selector(wanted)
        if "camera" in name or name == "trouble":
            tab.click("#login")
            tab.fill("#password", PASSWORD)
            tab.press("#password", "Enter")
            tab.wait_for_selector("button[data-act]:not([disabled])")
        tab.wait_for_timeout(700)
        tab.screenshot(path=file)

    print(file, await in_chromium(address, look, **context))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2:])
