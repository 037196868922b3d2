"""The simulator takes what a real browser records and sends."""

import json
from pathlib import Path
from typing import Any

import av
import pytest
import trio

from interhuman2mqtt.simulator.settings import Settings
from simulator.helpers import FAST, recorded, simulator
from support.processes import in_background

PAGE = Path(__file__).with_name("recorder.html")
SECONDS = 8
BROWSER = (
    "chromium",
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.mark.full
async def test_what_chromium_records(tmp_path: Path) -> None:
    """Every blob of Chromium's MediaRecorder is analysed without an error, and together they are one film."""
    record = tmp_path / "record"
    async with simulator(Settings(port=0, pace=FAST, save=record)) as address:
        page = f"{PAGE.as_uri()}#{address.url}/v2/stream/analyze%20ih_live_key%20{SECONDS}"

        async def browse() -> None:
            await trio.run_process([*BROWSER, f"--user-data-dir={tmp_path}/profile", page], capture_stderr=True)

        async with in_background(browse):
            await recorded(record, "closed")
    noted = [json.loads(line) for line in (record / "sessions.jsonl").read_text().splitlines()]
    said, chunks = values(noted, "event", "type"), values(noted, "chunk", "file")
    assert values(noted, "closed", "code") == [1000]
    assert "signal.detected" in said
    assert "error" not in said
    assert len(chunks) >= SECONDS - 1
    assert len(set(chunks)) == 1
    with av.open(record / chunks[0]) as film:
        pictures = sum(1 for _ in film.decode(video=0))
    assert pictures >= SECONDS * 5


def values(noted: list[dict[str, Any]], what: str, key: str) -> list[Any]:
    """What the simulator has noted, of all lines of one kind."""
    return [line[key] for line in noted if line["what"] == what]
