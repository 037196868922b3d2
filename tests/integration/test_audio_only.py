"""Audio alone, from the source to the topic: no video reaches the cloud, and its events are dated as all others are."""

from array import array
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from integration import oracle
from integration.helpers import Json, Peers, box, run_peers
from integration.test_whole_run import AGREEMENT, TYPES, dates
from support.clips import Clip
from support.netproxy import network
from support.rtsp import RtspServer, rtsp_server

CLIP = Clip(fps=30, gop=30, seconds=32)
FILE = Clip(seconds=32)
RATE = 16_000
HEARD = {"agreement", "confidence", "frustration", "hesitation", "interest", "uncertainty"}
MODEL = "inter-2-audio"
CAMERAS = {
    "copied": {"audio": "auto"},
    "samples": {"audio": "pcm"},
}


async def test_audio_alone_from_camera_to_topic(tmp_path: Path) -> None:
    """Copied, and as samples: rotated without a gap, dated by the capture to 100 ms, and never with video."""
    async with rtsp_server({"/cam": CLIP}) as camera, run_peers(tmp_path, "--max-duration", "8") as peers:
        cameras: dict[str, Json] = {name: {"source": camera.url("/cam"), **keys} for name, keys in CAMERAS.items()}
        async with box(tmp_path, peers.config(cameras, interhuman={"model": MODEL})) as daemon:
            for name in cameras:
                for type_ in TYPES:
                    await peers.wait_event(name, type_)
                await peers.wait_event(name, "session.ended")
                await peers.wait_event(name, TYPES[-1], count=4)
            assert await daemon.stop() == 0
        copied, samples = (received(peers, name) for name in cameras)
        assert {file.suffix for file in copied} == {".mp4"}
        assert {file.suffix for file in samples} == {".pcm"}
        for file in copied:
            with av.open(str(file)) as media:
                assert [stream.type for stream in media.streams] == ["audio"]
        assert oracle.is_part_of_audio(CLIP, copied)
        beeps = beeps_of(b"".join(file.read_bytes() for file in samples))
        assert [later - at for at, later in pairwise(beeps)] == pytest.approx([1.0] * (len(beeps) - 1), abs=0.03)
        for name in cameras:
            assert_published(peers, name)
        assert_dated(peers, camera, "copied", oracle.beeps(copied[0]))
        assert_dated(peers, camera, "samples", beeps_of(samples[0].read_bytes()))
    assert peers.statuses("copied")[-1]["source"] == "aac 48000 Hz (copied), audio only"
    assert peers.statuses("samples")[-1]["source"] == "aac 48000 Hz (encoded as pcm 16000 Hz), audio only"


def received(peers: Peers, camera: str) -> list[Path]:
    """What the cloud keeps of a camera's sessions, in their order."""
    of_camera = {event["session"] for event in peers.events(camera)}
    sessions = [line["session"] for line in peers.cloud.happened("opened") if line["request_id"] in of_camera]
    assert len(sessions) >= 2
    return [file for session in sessions for file in peers.cloud.folder.glob(f"{session}-*.*")]


def beeps_of(samples: bytes) -> list[float]:
    """When the loud tone of each second begins, in seconds."""
    values, block = array("h", samples), round(RATE * oracle.BLOCK_S)
    loud = [max(map(abs, values[at : at + block])) > oracle.LOUD for at in range(0, len(values), block)]
    return [place * oracle.BLOCK_S for place in range(1, len(loud)) if loud[place] and not loud[place - 1]]


def assert_published(peers: Peers, camera: str) -> None:
    """All that the cloud said was published, in its order, and is what can be heard; it had nothing to complain of."""
    of_camera = {event["session"] for event in peers.events(camera)}
    said = [line for line in peers.cloud.happened("event") if line["request_id"] in of_camera]
    published = [(event["type"], event["data"]) for event in peers.events(camera)]
    assert published == [(line["type"], line["data"]) for line in said]
    assert {data["signal_type"] for type_, data in published if type_ == "signal.detected"} <= HEARD
    assert not {type_ for type_, _ in published} & {"error", "coverage.degraded", "coverage.dropped"}
    assert {gap["data"]["reason"] for gap in peers.events(camera, "coverage.gap")} <= {"starting", "stopped"}


def assert_dated(peers: Peers, camera: RtspServer, name: str, beeps: list[float]) -> None:
    """The beep of each second was captured when the camera sent the frame of that second, by the events' own clock."""
    first = peers.events(name)[0]["session"]
    media, at = next(dates([event for event in peers.events(name) if event["session"] == first]))
    seconds = [
        datetime.fromtimestamp(line["at"], UTC)
        for line in camera.sent
        if line["event"] == "frame" and line["frame"] % CLIP.fps == 0
    ]
    for beep in beeps[1:]:
        sung = at + timedelta(seconds=beep - media)
        assert min(abs(sung - second) for second in seconds) < AGREEMENT


@pytest.mark.full
async def test_audio_alone_goes_on_after_a_break(tmp_path: Path) -> None:
    """What may not have arrived comes again, with a replay before it; nothing is missing, and all keeps its time."""
    async with (
        rtsp_server({"/cam": CLIP}) as camera,
        run_peers(tmp_path) as peers,
        network(to=peers.cloud.port) as net,
    ):
        url = f"ws://127.0.0.1:{net.port}/v2/stream/analyze"
        cameras: dict[str, Json] = {
            name: {"source": camera.url("/cam"), "replay": "2s", **keys} for name, keys in CAMERAS.items()
        }
        config = peers.config(cameras, interhuman={"model": MODEL, "url": url})
        async with box(tmp_path, config) as daemon:
            for rounds in (4, 8, 12):
                for name in cameras:
                    await peers.wait_event(name, TYPES[-1], count=rounds)
                net.reset()
            for name in cameras:
                await peers.wait_event(name, TYPES[-1], count=16)
            assert await daemon.stop() == 0
        for name in cameras:
            stretches = [stretch_of(peers, name, file) for file in received(peers, name)]
            assert len(stretches) == 4
            for before, after in pairwise(stretches):
                assert timedelta(seconds=-0.1) < before.end - after.begin < timedelta(seconds=2 + 2 + 1)
            beeps = [beep.timestamp() % 1 for stretch in stretches for beep in stretch.beeps]
            assert max(beeps) - min(beeps) < 0.1 or max(beeps) - min(beeps) > 0.9
            assert {gap["data"]["reason"] for gap in peers.events(name, "coverage.gap")} <= {"starting", "stopped"}


class Stretch(NamedTuple):
    """The media of a session, by the times of its events."""

    begin: datetime
    end: datetime
    beeps: list[datetime]


def stretch_of(peers: Peers, camera: str, file: Path) -> Stretch:
    """When what is in a file was captured, as the events of its session say."""
    number = int(file.name.partition("-")[0])
    [opened] = peers.cloud.happened("opened", session=number)
    events = [event for event in peers.events(camera) if event["session"] == opened["request_id"]]
    media, at = next(dates(events))
    zero = at - timedelta(seconds=media)
    ends = [line["end"] for line in peers.cloud.happened("decoded", session=number) if line["end"] is not None]
    beeps = beeps_of(file.read_bytes()) if file.suffix == ".pcm" else oracle.beeps(file)
    return Stretch(zero, zero + timedelta(seconds=max(ends)), [zero + timedelta(seconds=beep) for beep in beeps[1:]])
