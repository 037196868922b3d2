"""The vendor's own client runs whole sessions against the simulator; it runs on asyncio, so in a thread of its own."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import trio
from interhumanai import InterhumanClient, InterhumanError, SignalType, StreamModel, UnknownEvent
from interhumanai.stream import (
    CloseInfo,
    ConversationQualityUpdatedEvent,
    ErrorEvent,
    SessionUpdatedEvent,
    SignalDetectedEvent,
    StreamEvent,
)
from interhumanai.types import RawAudioFormat

from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, INTER_2, Key, Settings
from simulator.helpers import BOTH_FLAGS, clip, clusters, fragments, simulator

Api = Literal["v1", "v2"]
HEARD = {"agreement", "confidence", "frustration", "hesitation", "interest", "uncertainty"}


class Outcome(NamedTuple):
    """What the SDK made of a session."""

    events: list[StreamEvent]
    close: CloseInfo


async def whole_session(
    url: str,
    chunks: Sequence[bytes],
    version: Api,
    model: StreamModel | None = None,
    goal_dimensions: Sequence[str] | None = None,
) -> Outcome:
    """Open, configure, send, close gracefully, and read to the end, all by the SDK."""
    stream = InterhumanClient(access_token="ih_test", base_url=url).stream(api_version=version, model=model)
    async with stream:
        await stream.wait_for_session_ready()
        await stream.update_config(include=BOTH_FLAGS, goal_dimensions=goal_dimensions)
        for chunk in chunks:
            await stream.send_video(chunk)
        await stream.request_close()
        events = [event async for event in stream]
        return Outcome(events, await stream.wait_closed())


async def opened(url: str, key: str = "ih_test", version: Api = "v2", model: str | None = None) -> None:
    """Open a session, and leave it."""
    async with InterhumanClient(access_token=key, base_url=url).stream(api_version=version, model=model) as stream:
        await stream.wait_for_session_ready()


async def in_asyncio(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine of the SDK's beside trio."""
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(asyncio.run, work)


def http(url: str) -> str:
    return url.replace("ws", "http", 1)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_whole_session(version: Api) -> None:
    """The SDK understands every event of a session of either version, and sees it end gracefully."""
    async with simulator(Settings(port=0, goal_dimensions=GOAL_DIMENSIONS)) as address:
        outcome: Outcome = await in_asyncio(
            whole_session(http(address.url), fragments(clip(26)), version, goal_dimensions=("clarity", "rapport"))
        )
    seen = Counter(event.type for event in outcome.events)
    assert not [event for event in outcome.events if isinstance(event, UnknownEvent | ErrorEvent)]
    assert {"signal.detected", "signal.ended", "engagement.updated", "feedback.generated"} <= set(seen)
    assert seen["conversation_quality.updated"] == 2
    assert [event.type for event in outcome.events[:2]] == ["session.ready", "session.updated"]
    assert outcome.events[-1].type == "session.ended"
    assert seen["signal.detected"] == seen["signal.ended"]
    assert (outcome.close.code, outcome.close.reason) == (1000, "")


@pytest.mark.parametrize(("version", "modality"), [("v1", ["video"]), ("v2", None)])
async def test_modality_is_of_v1_only(version: Api, modality: list[str] | None) -> None:
    """Signals name their modality on v1 and leave it out on v2."""
    async with simulator(Settings(port=0)) as address:
        outcome: Outcome = await in_asyncio(whole_session(http(address.url), fragments(clip(26)), version))
    signals = [event.data.modality for event in outcome.events if isinstance(event, SignalDetectedEvent)]
    assert signals
    assert set(map(str, signals)) == {str(modality)}


async def test_webm() -> None:
    """A WebM session by the SDK ends without a complaint."""
    chunks = clusters(clip(9, video="libvpx", audio="libopus", kind="webm"))
    async with simulator(Settings(port=0)) as address:
        outcome: Outcome = await in_asyncio(whole_session(http(address.url), chunks, "v2"))
    assert "engagement.updated" in {event.type for event in outcome.events}
    assert not [event for event in outcome.events if isinstance(event, ErrorEvent)]


@pytest.mark.parametrize(
    "media",
    [
        pytest.param(lambda: [clip(26, video=None)], id="aac"),
        pytest.param(lambda: clusters(clip(26, video=None, audio="libopus", kind="webm")), id="opus"),
        pytest.param(lambda: [clip(26)], id="with video, which is ignored"),
    ],
)
async def test_model_that_only_listens(media: Callable[[], list[bytes]]) -> None:
    """inter-2-audio is chosen by the handshake, needs no picture, and reports only what can be heard."""
    async with simulator(Settings(port=0)) as address:
        outcome: Outcome = await in_asyncio(
            whole_session(http(address.url), media(), "v2", model=StreamModel.INTER_2_AUDIO)
        )
    assert_only_listened(outcome)


@pytest.mark.parametrize("rate", [16_000, 24_000])
async def test_raw_audio(rate: Literal[16_000, 24_000], tmp_path: Path) -> None:
    """The model and the format of PCM by one configuration; samples cut at any byte are one file on record."""
    samples = random.Random(1).randbytes(26 * 2 * rate)

    async def listened(url: str) -> Outcome:
        stream = InterhumanClient(access_token="ih_test", base_url=url).stream(api_version="v2")
        async with stream:
            await stream.wait_for_session_ready()
            await stream.update_config(
                include=BOTH_FLAGS, model=StreamModel.INTER_2_AUDIO, audio_format=RawAudioFormat(sample_rate=rate)
            )
            for at in range(0, len(samples), 33_333):
                await stream.send_audio(samples[at : at + 33_333])
            await stream.request_close()
            events = [event async for event in stream]
            return Outcome(events, await stream.wait_closed())

    async with simulator(Settings(port=0, save=tmp_path)) as address:
        assert_only_listened(await in_asyncio(listened(http(address.url))))
    assert saved(tmp_path) == {".pcm": samples}


def saved(folder: Path) -> dict[str, bytes]:
    """The media of the first session, by the suffix of its file."""
    return {file.suffix: file.read_bytes() for file in folder.glob("1-*")}


def assert_only_listened(outcome: Outcome) -> None:
    """The session was one of inter-2-audio, with what 26 s of media lead to and without a complaint."""
    updated = next(event for event in outcome.events if isinstance(event, SessionUpdatedEvent))
    assert updated.data.model is StreamModel.INTER_2_AUDIO
    signals = {event.data.signal_type for event in outcome.events if isinstance(event, SignalDetectedEvent)}
    assert signals
    assert signals <= {SignalType(name) for name in HEARD}
    assert len([event for event in outcome.events if isinstance(event, ConversationQualityUpdatedEvent)]) == 2
    assert not [event for event in outcome.events if event.type in {"error", "coverage.degraded"}]


async def test_quality_follows_the_cadence() -> None:
    """Each update has one timeline entry, for its own period, and an overall that begins as the first entry."""
    async with simulator(Settings(port=0)) as address:
        outcome: Outcome = await in_asyncio(whole_session(http(address.url), fragments(clip(26)), "v2"))
    first, second = (event.data for event in outcome.events if isinstance(event, ConversationQualityUpdatedEvent))
    assert first.timeline is not None
    assert second.timeline is not None
    assert [(entry.start, entry.end) for entry in (*first.timeline, *second.timeline)] == [(0, 11), (11, 22)]
    assert first.overall == first.timeline[0].values
    assert second.overall is not None
    assert second.overall.clarity == (first.timeline[0].values.clarity + second.timeline[0].values.clarity) / 2


@pytest.mark.parametrize(
    ("settings", "key", "model", "said"),
    [
        pytest.param(Settings(port=0, keys=(Key("right"),)), "wrong", None, "HTTP 401", id="key"),
        pytest.param(
            Settings(port=0, keys=(Key("k", ("interhumanai.upload",)),)), "k", None, "4003.*ih2003", id="scope"
        ),
        pytest.param(Settings(port=0), "k", "inter-9", "1008.*ih4005", id="model"),
        pytest.param(Settings(port=0, models=(INTER_2,)), "k", "inter-2-audio", "1013.*ih1003", id="backend"),
    ],
)
async def test_refusals_explain_themselves(settings: Settings, key: str, model: str | None, said: str) -> None:
    """A client that is turned away reads the reason out of the SDK's own exception."""
    async with simulator(settings) as address:
        with pytest.raises(InterhumanError, match=said):
            await in_asyncio(opened(http(address.url), key, model=model))


async def test_concurrency_limit_explains_itself() -> None:
    """The second session of a key is accepted, told ih3002 and closed with 1001; the first goes on."""

    async def two(url: str) -> str:
        client = InterhumanClient(access_token="k", base_url=url)
        async with client.stream() as first, client.stream() as second:
            await first.wait_for_session_ready()
            with pytest.raises(InterhumanError, match="ih3002"):
                await second.wait_for_session_ready()
            assert (await second.wait_closed()).code == 1001
            await first.request_close()
            return [event.type async for event in first][-1]

    async with simulator(Settings(port=0, concurrency=1)) as address:
        assert await in_asyncio(two(http(address.url))) == "session.ended"
