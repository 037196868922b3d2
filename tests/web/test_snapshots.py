"""A snapshot goes from the box to the browser that asked, and nowhere else."""

import json
from pathlib import Path

from support.mosquitto import subscribed
from support.processes import in_background
from web.helpers import BOX, CAMERA, Site, ago, site

JPEG = b"\xff\xd8\xff" + bytes(400 << 10)  # more than any other message of a box


async def test_a_snapshot(tmp_path: Path) -> None:
    """Who is logged in gets what the box publishes now, not what is retained; and nothing is kept."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        await page.status()
        await page.fleet(lambda fleet: fleet["cameras"])
        await page.publisher.publish(f"interhuman/{BOX}/{CAMERA}/snapshot", b"an earlier one", retain=True)
        ask = {"box": BOX, "camera": CAMERA}
        assert (await page.post("/api/snapshot", ask)).status_code == 401
        await page.login()

        async def answer(page: Site) -> None:
            request = json.loads((await asked.wait_topic("bridge/request/snapshot", 60)).payload)
            assert request["camera"] == CAMERA
            await page.publisher.publish(f"interhuman/{BOX}/{CAMERA}/snapshot", JPEG)
            done = {"status": "ok", "transaction": request["transaction"]}
            await page.say(f"{BOX}/bridge/response/snapshot", done)

        async with in_background(lambda: answer(page)):
            picture = await page.post("/api/snapshot", ask)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        assert picture.headers["cache-control"] == "no-store"
        assert picture.content == JPEG
        asked.messages.clear()

        async def refuse() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/snapshot", 60)).payload)
            refusal = {"status": "error", "error": "it is paused", "transaction": request["transaction"]}
            await page.say(f"{BOX}/bridge/response/snapshot", refusal)

        async with in_background(refuse):
            refused = await page.post("/api/snapshot", ask)
        assert (refused.status_code, refused.json()) == (502, {"error": "it is paused"})
        await page.event("engagement.updated", {"state": "engaged"}, end_at=ago(0))
        await page.wait(f"/api/camera/{BOX}/{CAMERA}", lambda lanes: lanes["engagement"][-1][2] == "engaged")
    assert not any(JPEG[:3] in file.read_bytes() for file in (tmp_path / "state").iterdir())
