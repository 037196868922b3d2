"""Our client beside the vendor's: it asks for the same, and reads the same out of the answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from interhumanai import InterhumanClient
from msgspec import structs

from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.simulator.settings import Settings
from interhuman2mqtt.upload import client as client_module
from interhuman2mqtt.upload.client import UploadClient, endpoint_of
from interhuman2mqtt.upload.late_events import level_changes
from simulator.helpers import clip, simulator
from simulator.test_sdk import http, in_asyncio
from upload.helpers import KEY, QUICK, SUBMISSION


async def test_both_clients_ask_for_the_same(tmp_path: Path) -> None:
    """A submit of the SDK's and one of ours are the same to the cloud: options, file, name."""
    async with simulator(Settings(port=0, uploads=QUICK, save=tmp_path)) as address:
        theirs = InterhumanClient(access_token=KEY, base_url=http(address.url)).upload
        ours = UploadClient(endpoint_of(f"{address.url}/v2/stream/analyze"), ApiKey(KEY))
        await in_asyncio(theirs.submit(clip(4), model="inter-2", include=SUBMISSION.include, filename="recording.mp4"))
        await ours.submit(clip(4), SUBMISSION)
        await in_asyncio(theirs.analyze(clip(4), goal_dimensions=["clarity"], filename="recording.mp4"))
        await ours.analyze_v1(clip(4), structs.replace(SUBMISSION, include=(), goal_dimensions=("clarity",)))
    lines = [json.loads(line) for line in (tmp_path / "sessions.jsonl").read_text().splitlines()]
    asked = [(line["options"], line["filename"], line["size"]) for line in lines if line["what"] == "uploaded"]
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]


async def test_both_clients_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one job the SDK and we read the same spans, levels and scores."""
    monkeypatch.setattr(client_module, "POLL_S", 0.02)
    async with simulator(Settings(port=0, uploads=QUICK)) as address:
        ours = UploadClient(endpoint_of(f"{address.url}/v2/stream/analyze"), ApiKey(KEY))
        job = await ours.wait_for(await ours.submit(clip(12), SUBMISSION))
        theirs = InterhumanClient(access_token=KEY, base_url=http(address.url)).upload
        read: Any = await in_asyncio(theirs.get_job(job.id))
    analysis, result = job.analysis, read.result
    assert analysis is not None
    assert analysis.duration == result.duration_seconds
    assert [(span.state, span.start, span.end) for span in analysis.engagement] == [
        (window.engagement_status, window.start_seconds, window.end_seconds) for window in result.windows
    ]
    assert [(span.type, span.start, span.end, span.data["rationale"]) for span in analysis.signals] == [
        (signal.type, signal.start, signal.end, signal.rationale) for signal in result.signals
    ]
    assert analysis.overall == result.conversation_quality.overall.model_dump()
    assert len(level_changes(analysis, None)) >= 1
