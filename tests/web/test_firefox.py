"""The page in Debian's Firefox."""

import json
from pathlib import Path

import pytest

from support.mosquitto import subscribed
from support.processes import in_background
from web.firefox import firefox, in_firefox
from web.helpers import BOX, CAMERA, PASSWORD, ago, site

pytestmark = [pytest.mark.full, in_firefox]
TILE = f".tile[data-key='{BOX}/{CAMERA}']"


async def test_the_whole_page(tmp_path: Path) -> None:
    """What is published is seen, a gap is hatched, the fortnight stands there, and a pause reaches the box."""
    async with (
        site(tmp_path) as page,
        subscribed(page.broker, "interhuman/+/bridge/request/+") as asked,
        firefox(tmp_path) as tab,
    ):
        await page.status()
        await page.event("coverage.gap", {"reason": "unreachable"}, seconds_ago=60, end_at=ago(30))
        await page.event("engagement.updated", {"state": "engaged"}, seconds_ago=20)
        await page.event("signal.detected", {"signal_type": "stress", "probability": "high"}, seconds_ago=5)
        await page.fleet(lambda fleet: fleet["cameras"])
        await tab.goto(str(page.client.base_url))
        await tab.wait(f"{TILE} rect.k-gap")
        await page.say(f"{BOX}/{CAMERA}/state/signals", {"at": ago(0), "signals": {"confusion": {}}}, retain=True)
        await tab.wait(TILE, "confusion")
        await tab.goto(f"{page.client.base_url}#/camera/{BOX}/{CAMERA}")
        await tab.wait(".chart rect.k-gap")
        await tab.wait(".chart rect.p-high")
        await tab.click("#login")
        await tab.evaluate(f"document.getElementById('password').value = '{PASSWORD}'")
        await tab.click("#login-form button[type=submit]")

        async def answer() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/pause", 60)).payload)
            assert request["camera"] == CAMERA
            await page.say(f"{BOX}/bridge/response/pause", {"status": "ok", "transaction": request["transaction"]})

        async with in_background(answer):
            await tab.click("button[data-act=pause]:not([disabled])")
            await tab.wait("#said", "lobby-1 says: done")
        await tab.goto(f"{page.client.base_url}#/fortnight")
        await tab.wait("table.days td.part, table.days td.some")
        assert tab.errors == []
