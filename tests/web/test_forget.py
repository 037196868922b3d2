"""What is forgotten is gone from the page and at the broker, and what could not be reached is said."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import trio

from interhuman2mqtt.cli import main
from interhuman2mqtt.web.history import NAME, History
from interhuman2mqtt.web.rows import CameraKey, ReceivedRow, SignalRow
from support.mosquitto import subscribed
from support.processes import in_background
from web.helpers import BOX, CAMERA, Json, ago, site

CAMERA_PATH = f"/api/camera/{BOX}/{CAMERA}"


def levels(lanes: Json) -> set[str]:
    return {part[2] for part in lanes["engagement"]}


async def test_the_page_forgets(tmp_path: Path) -> None:
    """By its button a range goes from the timeline and from the ribbon, the box is asked, and browsers load anew."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        await page.status()
        await page.event("engagement.updated", {"state": "engaged"})
        await page.event("signal.detected", {"signal_type": "stress", "probability": "high"})
        await page.wait(CAMERA_PATH, lambda lanes: lanes["signals"] and "engaged" in levels(lanes))
        ask = {"box": BOX, "camera": CAMERA, "from": time.time() - 60}
        assert (await page.post("/api/forget", ask)).status_code == 401
        await page.login()
        assert (await page.post("/api/forget", {**ask, "from": "noon"})).status_code == 400
        assert (await page.post("/api/forget", {**ask, "box": "x"})).status_code == 404
        found: list[Json] = []

        async def answer() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/forget", 60)).payload)
            found.append(request)
            refusal = {"status": "error", "error": "no such camera", "transaction": request["transaction"]}
            await page.say(f"{BOX}/bridge/response/forget", refusal)

        async with in_background(answer):
            said = (await page.post("/api/forget", ask)).json()
        assert said == {"history": 2, "box": {"status": "error", "error": "no such camera"}}
        assert found[0]["camera"] == CAMERA
        assert datetime.fromisoformat(found[0]["since"]).timestamp() == pytest.approx(ask["from"], abs=1)
        assert "until" not in found[0]
        lanes = (await page.client.get(CAMERA_PATH)).json()
        assert lanes["signals"] == {}
        assert "engaged" not in levels(lanes)
        fleet = (await page.client.get("/api/fleet")).json()
        await page.fleet(lambda fleet: "engaged" not in {part[2] for part in fleet["cameras"][0]["ribbon"]})
        assert fleet["cameras"]


async def test_the_page_sees_what_a_command_forgot(tmp_path: Path) -> None:
    """A page that runs takes in what the command has made of its history, and does not write it again."""
    async with site(tmp_path) as page:
        await page.status()
        await page.event("signal.detected", {"signal_type": "stress", "probability": "high"})
        await page.wait(CAMERA_PATH, lambda lanes: lanes["signals"])
        command = [sys.executable, "-m", "interhuman2mqtt", "forget", f"{BOX}/{CAMERA}"]
        env = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
        done = await trio.run_process(command, env=env, capture_stdout=True, stderr=subprocess.STDOUT)
        assert b"1 rows of lobby-1/front are gone" in done.stdout
        assert b"not reached by this: what the cloud keeps" in done.stdout
        await page.process.wait_line(lambda line: "the history was changed" in line)
        await page.event("signal.ended", {"signal_type": "stress"}, end_at=ago(0))
        await page.event("engagement.updated", {"state": "engaged"})
        lanes = await page.wait(CAMERA_PATH, lambda lanes: "engaged" in levels(lanes))
        assert lanes["signals"] == {}


def test_what_a_command_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is nothing to forget, or it is not plain of whom, it says so and forgets nothing."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert main(["forget", "front"]) == 69
    said = capsys.readouterr().err
    assert "no page has a history on this machine" in said
    assert "no daemon is running here" in said
    history = History(tmp_path / NAME)
    signals = [SignalRow(CameraKey(box, "front"), "s", "stress", 1, 2, None, None) for box in ("lobby-1", "hall-2")]
    history.write([*signals, ReceivedRow(0, 10)])
    assert main(["forget", "front"]) == 69
    assert "there are several: name one of hall-2/front, lobby-1/front" in capsys.readouterr().err
    assert main(["forget", "hall-2/front", "--to", "noon"]) == 69
    assert len([*history.open_signals(), *history.spans("signal", signals[0].camera, 0, 9)]) == 1
    assert main(["forget", "hall-2/front", "--from", "1970-01-01T00:00:00Z", "--to", "1970-01-01T00:00:09Z"]) == 0
    assert history.spans("signal", signals[1].camera, 0, 9) == []
    assert len(history.spans("signal", signals[0].camera, 0, 9)) == 1
