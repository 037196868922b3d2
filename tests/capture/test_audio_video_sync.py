"""Audio and video of the same instant stay together, whatever either clock does, and audio stays clean."""

import io
import math
import random
import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import av
import pytest

from capture.material import SMALL
from capture.scripted import ZERO, Camera, Clock, running
from interhuman2mqtt.capture import demuxer
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.demuxer import read_packets
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.encoders import EncodedAudio
from interhuman2mqtt.capture.preroll import Preroll
from interhuman2mqtt.capture.read_pauses import ReadPauses
from interhuman2mqtt.capture.reader import CaptureState, PacketCounts, SourceReader
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.silence import GapFilledAudio
from interhuman2mqtt.capture.timestamps import TimestampRepair
from interhuman2mqtt.capture.track_selection import SourceHints
from interhuman2mqtt.capture.tracks import CopiedVideo, Tracks
from support.clips import opened

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

RATE = 8000
PERIOD = 800
"""Samples that a sound card gives at a time."""
BEEP_S, EVERY_S = 0.05, 5.0
LOUD = 0.2
TOGETHER_S = 0.1


class Microphone(NamedTuple):
    """A sound card whose crystal and stamps are the test's."""

    crystal: float = 1.0
    """true samples a second, as a share of what is announced"""
    wall: Clock = running(1.0)
    """what its stamps say"""
    lost: tuple[float, float] = (0.0, 0.0)
    """from and to: samples that are overrun"""

    def periods(self, seconds: float) -> Iterator[tuple[float, bytes]]:
        """Arrival, after true seconds, and samples of each period: a beep every five seconds."""
        number = 0
        while (begun := number * PERIOD / RATE / self.crystal) < seconds:
            number += 1
            if not self.lost[0] <= begun < self.lost[1]:
                yield number * PERIOD / RATE / self.crystal, self._samples(begun)

    def _samples(self, begun: float) -> bytes:
        if begun % EVERY_S > BEEP_S and (begun + PERIOD / RATE) % EVERY_S > BEEP_S + PERIOD / RATE:
            return bytes(2 * PERIOD)
        times = (begun + n / RATE / self.crystal for n in range(PERIOD))
        return array("h", (round(20_000 * math.sin(6283 * t)) if t % EVERY_S < BEEP_S else 0 for t in times)).tobytes()


class Ticking:
    """The clock of the box, for the reader of a sound card."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def raw_sound() -> "InputContainer":
    """An input of samples as they are."""
    wav = io.BytesIO()
    with av.open(wav, "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame("s16", "mono", PERIOD)
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
    wav.seek(0)
    return av.open(wav, "r")


def sound_card(microphone: Microphone, seconds: float, clock: Ticking, chance: random.Random) -> Feed:
    """A feed that gives what FFmpeg's ALSA does: samples, stamped by the wall clock."""
    container = raw_sound()

    def demux(_streams: object) -> Iterator[Any]:
        for at, samples in microphone.periods(seconds):
            clock.now = max(clock.now, ZERO + at + chance.expovariate(200))
            packet: Any = av.Packet(samples)
            packet.time_base = Fraction(1, 1_000_000)
            packet.pts = packet.dts = round((1_700_000_000 + microphone.wall(at)) * 1_000_000)
            yield packet

    scripted = SimpleNamespace(streams=container.streams, demux=demux)
    return Feed(cast("Any", scripted), None, 0, clock="samples")


def decoded(made: list[Packet], sound: EncodedAudio) -> Iterator[tuple[float, list[float]]]:
    """Time and samples of each frame."""
    decoder = cast("Any", av.CodecContext.create("aac", "r"))
    decoder.extradata = sound.template.codec_context.extradata
    for packet in made:
        copy: Any = av.Packet(packet.data)
        copy.pts, copy.time_base = packet.pts, sound.time_base
        for frame in decoder.decode(copy):
            yield packet.pts * sound.tick_s, list(array("f", bytes(frame.planes[0]))[: frame.samples])


def beeps(made: list[Packet], sound: EncodedAudio) -> list[float]:
    """When beeps begin, on the timeline."""
    found: list[float] = []
    for at, samples in decoded(made, sound):
        if max(samples) <= LOUD:
            continue
        for number, sample in enumerate(samples):
            if abs(sample) > LOUD and (not found or at + number / RATE - found[-1] > 1):
                found.append(at + number / RATE)
    return found


def apart(microphone: Microphone, video: Clock, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How much later each beep is than the video of its instant, beside a camera with a clock of its own."""
    camera = Camera(video=video, sounds=0.001)
    pictures = camera.run(seconds)
    clock, chance = Ticking(), random.Random(2)
    monkeypatch.setattr(demuxer, "time", clock)
    feed = sound_card(microphone, seconds, clock, chance)
    stream = cast("AudioStream", feed.container.streams[0])
    anchor = ClockAnchor()
    first = next(each for each in pictures if each.is_settled)
    anchor.observe(0.0, first.anchor)
    timeline = TimestampRepair(Fraction(1, 1_000_000), anchor, Counter(), ClockRate(counted=True), sets_anchor=False)
    opening: Preroll | None = Preroll({0: timeline}, None, anchor, Counter())
    sound = EncodedAudio("aac", RATE, "mono")
    sound.use_input(stream, timeline.time_base)
    made: list[Packet] = []
    for arrived in read_packets(feed):
        due = [arrived]
        if opening:
            if opening.hold(arrived):
                continue
            due, opening = list(opening.release(None)), None
        for packet, at in due:
            packet.pts, packet.dts = timeline.place(packet.pts, packet.dts, at)
            made += sound.convert(packet)
    shown = [(each.true, each.at) for each in pictures if each.track == 0]
    seen = [
        beep - shown_at(shown, round((beep + first.anchor - ZERO) / EVERY_S) * EVERY_S) for beep in beeps(made, sound)
    ]
    assert len(seen) > (seconds - (microphone.lost[1] - microphone.lost[0])) / EVERY_S - 3
    return seen


def shown_at(shown: list[tuple[float, float]], true: float) -> float:
    """Where on the timeline the video of a true second is."""
    captured, at = shown[min(bisect_left(shown, (true,)), len(shown) - 1)]
    return at + true - captured


@pytest.mark.parametrize(
    ("crystal", "video", "seconds"),
    [
        (1.0003, 0.9997, 300),
        (0.9997, 1.0003, 300),
        pytest.param(1.0003, 0.9997, 7200, marks=pytest.mark.full),
        pytest.param(0.9997, 1.19, 7200, marks=pytest.mark.full),
    ],
)
def test_a_microphone_beside_a_camera(
    crystal: float, video: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both crystals off by 300 ppm audio and video stay within 100 ms, however long it lasts."""
    seen = apart(Microphone(crystal), running(video), seconds, monkeypatch)
    assert max(map(abs, seen)) < TOGETHER_S


def test_a_microphone_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a camera that is read in bursts as well: a sound card keeps no more than its buffer holds."""
    clock, paused = Ticking(), list[object]()
    monkeypatch.setattr(demuxer, "time", clock)
    feed = sound_card(Microphone(), 5, clock, random.Random(2))
    sound = EncodedAudio("aac", RATE, "mono")
    sound.use_input(cast("AudioStream", feed.container.streams[0]), Fraction(1, 1_000_000))
    with opened(SMALL.path().read_bytes()) as camera:
        video = CopiedVideo(camera.streams.video[0], Fraction(1, 90_000))
    shared = CaptureState(Ring(10.0, 1 << 20), threading.Condition(), ClockAnchor(), PacketCounts())
    shared.anchor.observe(0.0, ZERO)
    reader = SourceReader(shared, Tracks(video, GapFilledAudio(sound, None)), SourceHints(), may_encode=False)
    monkeypatch.setattr(ReadPauses, "after", lambda *packet: paused.append(packet))
    reader.read(feed)
    assert shared.counts.audio
    assert not paused


@pytest.mark.parametrize("hours", [1, -1, 480])
def test_a_wall_clock_that_is_set(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamps of a sound card are of the wall clock: a step of it, either way, moves nothing."""

    def wall(seconds: float) -> float:
        return seconds + (hours * 3600 if seconds > 30 else 0)

    seen = apart(Microphone(wall=wall), running(1.0), 90, monkeypatch)
    assert max(map(abs, seen)) < TOGETHER_S
    assert max(seen) - min(seen) < 0.03


def test_samples_that_a_sound_card_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after an overrun of 0.8 s is where it belongs within two seconds."""
    seen = apart(Microphone(lost=(42.0, 42.8)), running(1.0), 120, monkeypatch)
    assert max(map(abs, seen)) < TOGETHER_S


def sine(frames: int, stamped: Clock, rate: int = RATE, drop: range = range(0)) -> tuple[list[Packet], EncodedAudio]:
    """A tone of 200 Hz in frames of 20 ms, stamped at will, as it is encoded."""
    container = raw_sound()
    stream = container.streams.audio[0]
    sound = EncodedAudio("aac", RATE, "mono")
    sound.use_input(stream, Fraction(1, 1000))
    size = rate // 50
    made: list[Packet] = []
    for number in range(frames):
        if number in drop:
            continue
        times = (number / 50 + n / rate for n in range(size))
        packet: Any = av.Packet(array("h", (round(10_000 * math.sin(2 * math.pi * 200 * t)) for t in times)).tobytes())
        packet.pts = packet.dts = round(stamped(number / 50) * 1000)
        packet.time_base = Fraction(1, 1000)
        made += sound.convert(packet)
    return made, sound


def waver(made: list[Packet], sound: EncodedAudio) -> float:
    """How unlike a pure tone it is: the largest second difference that a sine of 200 Hz would not have."""
    turn = 2 * math.cos(2 * math.pi * 200 / RATE)
    samples = [sample for at, frame in decoded(made, sound) for sample in frame if 1.5 < at < 5.5]
    return max(abs(c - turn * b + a) for a, b, c in zip(samples, samples[1:], samples[2:], strict=False))


def pitch(made: list[Packet], sound: EncodedAudio) -> float:
    """By how much a period is another one than that of 200 Hz, at most, as a share of it."""
    samples = [sample for at, frame in decoded(made, sound) for sample in frame if 1.5 < at < 5.5]
    rises = [number - b / (b - a) for number, (a, b) in enumerate(pairwise(samples)) if a < 0 <= b]
    return max(abs((after - before) * 200 / RATE - 1) for before, after in pairwise(rises))


def test_stamps_that_waver_do_not_crackle() -> None:
    """Where packets are stamped when somebody found the time, by 20 ms, the tone is as clean as with true stamps."""
    chance = random.Random(3)
    made, sound = sine(300, lambda seconds: seconds + chance.uniform(-0.02, 0.02))
    assert waver(made, sound) < waver(*sine(300, running(1.0))) + 0.02
    assert pitch(made, sound) < 0.005


def test_sound_of_another_rate_than_announced() -> None:
    """16 kHz sent as G.711 of 8 kHz keeps its pitch, and is not cut into pieces."""
    made, sound = sine(300, running(1.0), rate=16_000)
    assert waver(made, sound) < waver(*sine(300, running(1.0))) + 0.02
    assert made[-1].pts == pytest.approx(sine(300, running(1.0))[0][-1].pts, abs=0.15 * RATE)


def test_a_hole_stays_a_hole() -> None:
    """Samples that are missing shift nothing that comes after them."""
    made, sound = sine(300, running(1.0), drop=range(100, 110))
    assert made[-1].pts == pytest.approx(sine(300, running(1.0))[0][-1].pts, abs=0.15 * RATE)
    steps = [(after.pts - before.pts) * sound.tick_s for before, after in pairwise(made)]
    assert max(steps) < 0.4
