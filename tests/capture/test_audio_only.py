"""Of a source that is used for its audio alone no video is read, and a second is to it what a GOP is to video."""

import array
import random
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import pytest
import trio

from cameras.helpers import a_camera
from capture.material import SMALL, Captured, Failing, a_command, captured, crafted, media
from capture.workers import HASTY, film, pull, working
from interhuman2mqtt.cameras.capture_task import open_command
from interhuman2mqtt.cameras.snapshot import SnapshotError
from interhuman2mqtt.cameras.worker import start_worker
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.capture_thread import Capture
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.device import Feed, open_source
from interhuman2mqtt.capture.timestamps import TimestampRepair
from interhuman2mqtt.errors import Outage, Reason, Refused
from support.clips import Clip, opened, packet_times
from support.netproxy import network
from support.rtsp import rtsp_server

PulledChunk = tuple[ipc.Chunk, bytes]
SECONDS = SMALL.seconds
RATES = {"pcm": 16_000, "pcm-24k": 24_000}
LOW, HIGH = 0.001, 0.05
"""Root mean square of what is silent at most, and of what is not at least."""


def listened(source: Clip | Path = SMALL, **changes: object) -> Captured:
    """The audio of a whole file."""
    return captured(source, audio_only=True, **changes)


def cut(whole: Captured) -> list[PulledChunk]:
    """All chunks of a recording from its beginning."""
    return list(whole.chunks(whole.record(), source_ended=True))


def loudness(payload: bytes) -> float:
    """The root mean square of samples, 1 for full scale."""
    values = array.array("h", payload)
    return float((sum(value * value for value in values) / max(len(values), 1)) ** 0.5 / 32768)


def tracks_of(payload: bytes) -> list[str]:
    with opened(payload) as file:
        return [stream.type for stream in file.streams]


@pytest.mark.parametrize("audio", ["auto", "opus", "aac"])
def test_what_is_sent_is_one_track_of_audio(audio: str) -> None:
    """In chunks of the length that was asked for, whole from the first packet to the last, and without any video."""
    whole = listened(audio=audio)
    chunks = cut(whole)
    assert whole.counts.video == 0
    assert whole.opened
    assert (whole.opened.video, whole.opened.audio_copied) == (None, audio in {"auto", "aac"})
    payload = media(chunks)
    assert tracks_of(payload) == ["audio"]
    assert not any(head.has_video for head, _ in chunks)
    assert all(end - start < 0.02 for head, _ in chunks for start, end in head.gaps)
    assert [head.end_s - head.start_s for head, _ in chunks[:-1]] == pytest.approx([2.0] * (len(chunks) - 1), abs=0.05)
    times = packet_times(payload)
    assert times[0][0] == pytest.approx(0.0, abs=0.001)
    assert times[-1][0] + times[-1][1] == pytest.approx(SECONDS, abs=0.1)
    assert max(later - at - lasts for (at, lasts), (later, _) in pairwise(times)) < 0.002


@pytest.mark.parametrize("audio", RATES)
def test_what_is_sent_may_be_samples(audio: str) -> None:
    """They are mono, of the rate that was asked for, and as many as the seconds that they stand for."""
    whole = listened(audio=audio)
    chunks = cut(whole)
    for head, payload in chunks[:-1]:
        assert len(payload) / 2 / RATES[audio] == pytest.approx(head.end_s - head.start_s, abs=0.021)
        assert head.media_s == pytest.approx(head.start_s - chunks[0][0].start_s, abs=0.001)
        assert loudness(payload) > HIGH
    assert len(media(chunks)) / 2 / RATES[audio] == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("audio", ["auto", "pcm"])
def test_a_rotation_loses_and_repeats_nothing(audio: str) -> None:
    """Two recordings in a row are the audio of one, packet by packet or sample by sample."""
    whole = listened(audio=audio)
    uncut = media(cut(whole))
    first = whole.record()
    begin = [whole.next(first), whole.next(first)]
    first.is_finishing = True
    begin += list(whole.chunks(first))
    second = list(whole.chunks(whole.record(from_s=begin[-1][0].end_s), source_ended=True))
    assert second[0][0].start_s == begin[-1][0].end_s
    assert second[0][0].lost == ()
    if audio == "pcm":
        assert media(begin) + media(second) == uncut
    else:
        assert [*packets(media(begin)), *packets(media(second))] == list(packets(uncut))


def packets(payload: bytes) -> Iterator[bytes]:
    with opened(payload) as file:
        yield from (bytes(packet) for packet in file.demux(audio=0) if packet.size)


def with_a_pause(file: Path) -> None:
    """Write eight seconds of audio of which two are missing."""
    with av.open(str(SMALL.path())) as source, av.open(file, "w", format="matroska") as made:
        (audio,) = source.streams.audio
        stream = made.add_stream_from_template(audio)
        for packet in source.demux(audio):
            if packet.pts is not None and not 3 <= packet.pts * packet.time_base < 5:
                packet.stream = stream
                made.mux(packet)


PAUSED = crafted(with_a_pause, ".mkv")


@pytest.mark.parametrize("audio", ["auto", "pcm"])
def test_where_the_source_gave_nothing_there_is_a_gap(audio: str) -> None:
    """It is reported with its range, nothing stands in for it, and what follows keeps its time."""
    chunks = cut(listened(PAUSED, audio=audio))
    (gap,) = {gap for head, _ in chunks for gap in head.gaps}
    assert gap == pytest.approx((3.0, 5.0), abs=0.15)
    payload = media(chunks)
    if audio == "pcm":
        seconds = [payload[at : at + 32_000] for at in range(0, len(payload), 32_000)]
        assert len(payload) / 32_000 == pytest.approx(SECONDS, abs=0.15)
        assert [loudness(second) > HIGH for second in seconds[:7]] == [True] * 3 + [False] * 2 + [True] * 2
        assert loudness(seconds[3][16_000:]) < LOW
    else:
        (pause,) = [
            (at + lasts, later) for (at, lasts), (later, _) in pairwise(packet_times(payload)) if later - at > 1
        ]
        assert pause == pytest.approx((3.0, 5.0), abs=0.15)


def test_samples_that_fell_off_the_ring_end_the_recording() -> None:
    """The cloud dates samples by counting them: what is lost is not made up for by zeros, and the next one begins."""
    whole = Captured(limit_s=4.0)
    whole.read(SMALL.path(), audio_only=True, audio="pcm", loop=False)
    first = whole.record(from_s=0.0)
    head, payload = whole.next(first)
    assert head.lost
    assert payload
    whole.read(SMALL.path(), audio_only=True, audio="pcm", loop=False)
    last, nothing = whole.next(first)
    assert (last.last, nothing) == (True, b"")


def test_a_recording_in_a_container_goes_on_behind_what_fell_off() -> None:
    """Its times say what is missing."""
    whole = Captured(limit_s=4.0)
    whole.read(SMALL.path(), audio_only=True)
    recording = whole.record(from_s=0.0)
    (head, _), *_ = whole.chunks(recording, source_ended=True)
    assert head.lost == ((0.0, head.start_s),)


@pytest.mark.parametrize(
    ("clip", "changes", "sentence"),
    [
        (SMALL._replace(audio=None), {"audio_only": True}, "has no audio, and its model analyses nothing else"),
        (SMALL._replace(video=None), {}, 'has no video track; for its audio alone, set model = "inter-2-audio"'),
    ],
    ids=["no audio", "no video"],
)
def test_what_a_source_lacks_is_said(clip: Clip, changes: dict[str, bool], sentence: str) -> None:
    """A person has to act: no other attempt would find more."""
    with pytest.raises(Refused) as refused:
        open_source(a_command(clip.path(), **changes))
    assert refused.value.reason is (Reason.NO_AUDIO if changes else Reason.NO_VIDEO)
    assert sentence in refused.value.detail


@pytest.mark.parametrize("mount", ["/cam", pytest.param("/audio", marks=pytest.mark.full)])
async def test_a_camera_on_the_network_is_asked_for_its_audio_alone(mount: str) -> None:
    """Its video is never set up, so that none comes over the network, and it may have none."""
    sent: list[bytes] = []
    async with (
        rtsp_server({"/cam": SMALL, "/audio": SMALL._replace(video=None)}) as server,
        network(server.port, lambda _, way, data: sent.append(data) if way == "up" else None) as net,
    ):
        command = a_command(server.url(mount, net.port), audio_only=True, audio="pcm")
        async with working(command) as worker:
            chunks = await pull(worker.record("continuous", 2.0, None), 2)
    assert b"".join(sent).count(b"SETUP ") == 1
    assert loudness(film(chunks)) > HIGH


async def test_there_is_no_snapshot() -> None:
    """Whoever asks for one is told why."""
    async with working(a_command(SMALL.path(), audio_only=True)) as worker:
        await pull(worker.record("continuous", 1.0, None), 1)
        with pytest.raises(SnapshotError, match="only its audio is used"):
            await worker.snapshot()


async def test_a_camera_that_gives_no_audio_any_more_has_stalled() -> None:
    """There is nothing else to wait for."""
    async with (
        rtsp_server({"/cam": SMALL}) as server,
        Failing() as found,
        working(a_command(server.url("/cam"), audio_only=True), HASTY),
    ):
        await server.mute("audio")
        await trio.sleep_forever()
    assert found[0].reason is Reason.STALLED


class Heard(NamedTuple):
    """What becomes of a packet: when it was captured, and its place on the timeline."""

    true: float
    placed: float


def heard(delay: Callable[[float], float], mute: tuple[float, float] = (0, 0), *, stands: bool = True) -> list[Heard]:
    """Two minutes of packets, each late by so much; muted the camera sends none, and its clock stands, or runs on."""
    chance, clock = random.Random(1), ClockAnchor()
    timeline = TimestampRepair(Fraction(1, 16_000), clock, Counter(), ClockRate(), is_alone=True)
    timeline.begin(0, 0)
    found: list[Heard] = []
    latest = 0.0
    for true in (number / 50 for number in range(120 * 50)):
        if mute[0] <= true < mute[1]:
            continue
        claim = round((true - (mute[1] - mute[0] if stands and true >= mute[1] else 0)) / timeline.tick_s)
        latest = max(latest, true + delay(true) + chance.expovariate(100))
        found.append(Heard(true, timeline.place(claim, claim, latest).pts * timeline.tick_s))
    return found


@pytest.mark.parametrize(
    "delay",
    [
        lambda true: 0.02 + 0.8 * (true > 20),
        lambda true: 0.02 + 0.8 * (20 < true < 40),
        lambda true: 0.02 + 2.0 * (true > 20),
        lambda true: 0.02 + max(0.0, 25.0 - true) * (true > 20),
    ],
    ids=["slower for good", "slower for a while", "far slower", "a stall and its burst"],
)
def test_a_network_that_is_late_is_no_clock_that_stood(delay: Callable[[float], float]) -> None:
    """No audio is moved, so that there is no gap; what is late for a minute is followed by one percent at most."""
    packets = heard(delay)
    assert max(abs(placed - true) for true, placed in packets if true < 80) < 0.05
    assert max(after.placed - before.placed for before, after in pairwise(packets)) < 0.03


@pytest.mark.parametrize("stands", [True, False])
@pytest.mark.parametrize("seconds", [3, 60])
def test_what_follows_a_mute_keeps_its_time(seconds: int, stands: bool) -> None:  # noqa: FBT001 - a case
    """Also where the camera's clock stands while it is muted: two seconds later all is dated right, and for good."""
    packets = heard(lambda _true: 0.02, (20, 20 + seconds), stands=stands)
    assert max(abs(placed - true) for true, placed in packets if not 20 <= true < 22 + seconds) < 0.1


@pytest.mark.parametrize("source", ["v4l2:/dev/video0", "rtsp://10.0.0.5/stream1"])
def test_where_a_microphone_has_the_audio_nothing_else_is_opened(source: str) -> None:
    """Of a camera with a microphone beside it the video has no use; with another model it is the other way round."""
    alone = open_command(a_camera(source=source, microphone="alsa:hw:1,0", model="inter-2-audio"))
    assert (alone.source, alone.microphone, alone.audio_only) == ("alsa:hw:1,0", None, True)
    beside = open_command(a_camera(source=source, microphone="alsa:hw:1,0", model="inter-2"))
    assert (beside.source, beside.microphone, beside.audio_only) == (source, "alsa:hw:1,0", False)


async def test_a_microphone_that_is_not_there_is_named() -> None:
    """This machine has no sound card, and the capture process says so of a microphone alone, too."""
    async with Failing() as found, start_worker(a_command("alsa:hw:7,0", audio_only=True), HASTY) as worker:
        await worker.wait_open()
    assert found[0].reason is Reason.NOT_FOUND
    assert "microphone alsa:hw:7,0" in found[0].detail


def test_a_microphone_alone_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first second is held back as a camera's is, none of it is lost, and its end has the reason of its device."""
    tone = "sine=sample_rate=48000:duration=4,volume=4,arealtime"
    opened_names: list[str] = []

    def open_alsa(_command: ipc.Open, name: str) -> Feed:
        opened_names.append(name)
        return Feed(av.open(tone, format="lavfi"), None, 0, clock="samples")

    monkeypatch.setattr("interhuman2mqtt.capture.device.open_alsa", open_alsa)
    capture = Capture(a_command("alsa:hw:1,0", audio_only=True, audio="pcm"))
    capture.run()
    assert opened_names == ["hw:1,0"]
    assert isinstance(capture.outage, Outage)
    whole = Captured()
    whole.ring, whole.anchor, whole.tracks = capture.ring, capture.anchor, capture.tracks
    payload = media(cut(whole))
    assert len(payload) / 32_000 == pytest.approx(4.0, abs=0.1)
    assert loudness(payload) > HIGH
