"""Whatever a camera's clocks say, time goes on as its packets come, for hours; no track drags the other."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from capture.material import a_command, numbers
from capture.scripted import SOUND, VIDEO, ZERO, Camera, Judged, Placed, honest, judged, running
from capture.workers import film, pull, working
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.preroll import ArrivedPacket, Preroll
from interhuman2mqtt.capture.timestamps import TimestampRepair
from support.clips import Clip
from support.scripted_camera import scripted_camera
from support.scripted_tracks import Track
from support.scripted_tracks import sound as sound_of
from support.scripted_tracks import video as video_of

PROMISED_S = 0.5
TOGETHER_S = 0.1
HOUR_S = 3600.0


def assert_true(seen: Judged, within: float = PROMISED_S) -> None:
    assert seen.begins < 4.0
    for least, largest in (seen.error, seen.fresh):
        assert -within <= least <= largest <= within


def steps(placed: list[Placed], track: int) -> list[float]:
    """Seconds from each packet of a track to the next."""
    at = [each.at for each in placed if each.track == track]
    return [after - before for before, after in pairwise(at)]


LIES = {
    "fast by a fifth": running(1.19),
    "slow by a fifth": running(0.8),
    "twice": running(2.0),
    "25 announced and 21 sent": running(0.84),
    "two percent": running(1.02),
    "half a percent": running(1.005),
    "half a percent slow": running(0.995),
    "milliseconds for ticks": running(1 / 90),
    "ticks of 90 kHz for samples": running(11.25),
    "set right by each sender report": lambda seconds: seconds * 1.19 - seconds // 5 * 0.95,
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("track", ["video", "sound", "both"])
def test_a_clock_at_the_wrong_rate(lie: str, track: str) -> None:
    """It is read at the rate that it has, and counted; audio and video stay together, and in the present."""
    camera = Camera(video=honest if track == "sound" else LIES[lie], sound=honest if track == "video" else LIES[lie])
    seen = judged(camera.run(180))
    assert_true(seen)
    assert max(map(abs, seen.apart)) < 0.3
    assert camera.repairs["rate"] >= 1


@pytest.mark.parametrize("lie", ["fast by a fifth", "twice", "slow by a fifth"])
def test_one_track_does_not_drag_the_other(lie: str) -> None:
    """Where the video's clock is wrong the audio's stamps stay as they are, and the other way round."""
    sound = steps(Camera(video=LIES[lie]).run(60), SOUND)
    assert (min(sound), max(sound)) == pytest.approx((1 / 20, 1 / 20), abs=1e-4)
    pictures = steps(Camera(sound=LIES[lie]).run(60), VIDEO)
    assert (min(pictures), max(pictures)) == pytest.approx((1 / 15, 1 / 15), abs=1e-4)


@pytest.mark.parametrize(
    ("video", "sound"),
    [
        (1.0003, 0.9997),
        pytest.param(0.9997, 1.0003, marks=pytest.mark.full),
        pytest.param(1.0002, 1.0002, marks=pytest.mark.full),
        (1.19, 1.0001),
        pytest.param(1.0, 0.8003, marks=pytest.mark.full),
    ],
)
def test_an_hour(video: float, sound: float) -> None:
    """Crystals that drift by hundreds of ppm are followed; audio and video stay within 100 ms for an hour."""
    camera = Camera(video=running(video), sound=running(sound), fps=8, sounds=10)
    placed = camera.run(HOUR_S)
    assert_true(judged(placed), 0.25)
    late = judged([each for each in placed if each.true > 180])
    assert max(map(abs, late.apart)) < TOGETHER_S
    if video == pytest.approx(1, abs=0.001) == sound:
        assert camera.repairs == {}


def test_a_clock_that_is_set_right_again_and_again() -> None:
    """Each time may be wrong by what the network delays a packet, and these errors do not add up."""
    placed = Camera(video=LIES["set right by each sender report"], jitter=0.03).run(HOUR_S / 2)
    assert_true(judged(placed), 0.4)


@pytest.mark.full
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("jitter", [0.002, 0.03])
def test_a_lie_for_hours(lie: str, jitter: float) -> None:
    """Three hours later nothing has changed."""
    placed = Camera(video=LIES[lie], sound=running(0.9998), jitter=jitter).run(3 * HOUR_S)
    # Each report's step can be told from jitter to a fifth of a second only.
    is_stepped = lie == "set right by each sender report" and jitter > 0.01
    assert_true(judged(placed), 0.6 if is_stepped else PROMISED_S)
    apart = max(map(abs, judged([each for each in placed if each.true > 180]).apart))
    assert apart < (0.6 if is_stepped else 2 * TOGETHER_S)


@pytest.mark.parametrize("jitter", [0.002, 0.05])
@pytest.mark.parametrize("burst", [0.0, 2.5])
def test_an_honest_camera_is_left_alone(jitter: float, burst: float) -> None:
    """However much its network wavers, and whatever comes at once at first: every stamp stays, nothing is counted."""
    camera = Camera(jitter=jitter, burst=burst)
    placed = camera.run(60)
    assert camera.repairs == {}
    assert [each.at for each in placed] == pytest.approx([each.true for each in placed], abs=1e-4)
    assert_true(judged(placed), 0.1 + jitter)


@pytest.mark.parametrize("length", [1.0, 5.0, 20.0])
def test_a_stall_is_no_lie(length: float) -> None:
    """What a network held back for seconds comes at once, and keeps the camera's times."""
    camera = Camera(stall=(30.0, 30.0 + length))
    placed = camera.run(120)
    assert camera.repairs == {}
    assert max(steps(placed, VIDEO)) < 0.07


@pytest.mark.parametrize("jitter", [0.002, 0.01, 0.03])
@pytest.mark.parametrize("begin", [5.0, 5.2, 5.4, 20.0])
@pytest.mark.parametrize("length", [1.0, 3.5, 20.0])
def test_a_clock_that_stands_while_nothing_is_sent_is_no_wrong_rate(jitter: float, begin: float, length: float) -> None:
    """A step behind a pause of the audio is one step, however the network wavers: audio is in its place soon after."""

    def stands(seconds: float) -> float:
        return min(seconds, begin) + max(seconds - begin - length, 0.0)

    camera = Camera(sound=stands, sounds=47, jitter=jitter, pause=(begin, begin + length))
    placed = camera.run(begin + length + 30)
    after = [each.at - each.true for each in placed if each.track == SOUND and each.true > begin + length + 2]
    assert camera.repairs == {"frozen": 1}
    assert max(map(abs, after)) < 2 * TOGETHER_S


@pytest.mark.parametrize("length", [1.0, 3.5, 20.0])
def test_a_pause_of_the_sound_is_no_lie(length: float) -> None:
    """A clock that runs on while nothing is sent is believed."""
    camera = Camera(sounds=47, pause=(5.0, 5.0 + length))
    camera.run(length + 40)
    assert camera.repairs == {}


@pytest.mark.parametrize("later", [0.8, -0.8, 2.0, -2.0])
@pytest.mark.parametrize("track", ["video", "sound"])
def test_a_step_into_the_future_or_the_past(later: float, track: str) -> None:
    """A sender report that moves a track away from its arrival, by more than half a second, is not believed."""

    def stepping(seconds: float) -> float:
        return seconds + (later if seconds > 10 else 0)

    camera = Camera(video=stepping) if track == "video" else Camera(sound=stepping)
    seen = judged(camera.run(60))
    assert_true(seen)
    assert max(map(abs, seen.apart)) < 2 * TOGETHER_S
    assert sum(camera.repairs.values()) <= 4


def test_what_a_sender_report_sets_right_is_believed() -> None:
    """A step that the network's delay could hide is the camera's own knowledge."""
    camera = Camera(sound=lambda seconds: seconds + (0.2 if seconds > 10 else 0))
    placed = camera.run(60)
    assert camera.repairs == {}
    assert max(steps(placed, SOUND)) == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("step", [0.2, 0.38, -0.38])
@pytest.mark.parametrize("at", [1.5, 1.7, 1.9])
@pytest.mark.parametrize("fps", [10, 25])
def test_a_sender_report_while_a_source_opens_is_no_wrong_rate(step: float, at: float, fps: float) -> None:
    """One step of a clock in its first second is a step, and not a rate."""
    camera = Camera(video=lambda seconds: seconds + (step if seconds > at else 0), fps=fps)
    assert_true(judged(camera.run(15)))
    assert "rate" not in camera.repairs


@pytest.mark.parametrize("begins", [5.8, 0.4, -5.8])
@pytest.mark.parametrize("silent", [1, 3])
@pytest.mark.parametrize("burst", [0.0, 2.5])
def test_first_pictures_without_a_stamp(begins: float, silent: int, burst: float) -> None:
    """They are before the one that follows them, whatever time it claims: there is no gap behind them, nor a knot."""
    camera = Camera(video=lambda seconds: seconds + begins, sound=lambda seconds: seconds + begins, silent=silent)
    camera.burst = burst
    placed = camera.run(15)
    assert max(steps(placed, VIDEO)) == pytest.approx(1 / camera.fps, abs=1e-3)
    assert min(steps(placed, VIDEO)) == pytest.approx(1 / camera.fps, abs=1e-3)
    assert_true(judged(placed))
    assert camera.repairs == {"no_stamps": silent}


def test_a_source_that_ends_with_its_first_burst() -> None:
    """What comes at once has no rate: its frames are as far apart as they claim."""
    repairs: Counter[str] = Counter()
    timeline = TimestampRepair(Fraction(1, 90_000), ClockAnchor(), repairs, ClockRate())
    opening = Preroll({VIDEO: timeline}, VIDEO, ClockAnchor(), repairs)
    for number in range(20):
        packet = SimpleNamespace(stream_index=VIDEO, pts=number * 9000, dts=number * 9000)
        assert opening.hold(ArrivedPacket(cast("Any", packet), ZERO + number * 0.001))
    stamps = [timeline.place(each.pts, each.dts, at) for each, at in opening.release(None)]
    assert [stamp.pts for stamp in stamps] == [number * 9000 for number in range(20)]
    assert repairs == {}


@pytest.mark.parametrize("begins", [0.7, -0.7, 40_000.0, -40_000.0])
def test_tracks_of_other_zeros_are_put_side_by_side(begins: float) -> None:
    """Where audio claims to be far from the video it came with, arrival says where it belongs."""
    camera = Camera(sound=lambda seconds: seconds + begins)
    seen = judged(camera.run(30))
    assert max(map(abs, seen.apart)) < TOGETHER_S
    assert camera.repairs == {"apart": 1}


def test_a_frame_rate_that_changes_at_night() -> None:
    """A camera that goes on stamping 15 frames a second and sends 7.5 is found out within three seconds, and back."""
    day, night = 60.0, 120.0

    def clock(seconds: float) -> float:
        return min(seconds, day) + min(max(seconds - day, 0), night - day) / 2 + max(seconds - night, 0)

    camera = Camera(video=clock)
    placed = camera.run(240)
    for begin, end in ((10, day), (day + 4, night), (night + 8, 240)):
        late = [each.at + each.anchor - ZERO - each.true for each in placed if begin < each.true < end]
        assert max(map(abs, late)) < PROMISED_S
    assert camera.repairs["rate"] >= 2


CLIP = Clip(size=(192, 108), fps=25, gop=25, seconds=16, audio="pcm_alaw")
LIARS: dict[str, tuple[Track, Track]] = {
    "twice": (video_of(CLIP)._replace(stamp=running(2.0), reports=None), sound_of(CLIP)._replace(reports=None)),
    "16 kHz as 8 kHz": (
        video_of(CLIP),
        sound_of(CLIP._replace(audio_rate=16_000))._replace(rtpmap="PCMA/8000", stamp=running(2.0)),
    ),
}


@pytest.mark.parametrize("name", LIARS)
async def test_a_real_camera_that_lies(name: str) -> None:
    """It streams, each frame within half a second of when it was captured, and the lie is counted."""
    async with scripted_camera(*LIARS[name]) as camera, working(a_command(camera.url())) as worker:
        recording = worker.record("continuous", 1.0, None)
        chunks = await pull(recording, 4)
        pulse = worker.stalls.heartbeat
    for chunk, first in zip(chunks, numbers(film(chunks))[:: CLIP.gop], strict=False):
        captured = camera.plays[0] + (first or 0) / CLIP.fps
        assert chunk.captured_from == pytest.approx(captured, abs=PROMISED_S)
    assert pulse
    assert pulse.repairs["rate"] >= 1


@pytest.mark.parametrize("until", [5.8, 7.0, 7.9])
def test_audio_that_begins_while_the_network_stalls(until: float) -> None:
    """It is late, as the video is, and no reason to put it anywhere else than where it belongs."""
    camera = Camera(pause=(0.0, 5.0), stall=(4.9, until))
    placed = camera.run(12)
    assert max(abs(each.at - each.true) for each in placed) < 0.05
    assert not camera.repairs


def test_audio_that_begins_elsewhere_is_put_where_it_arrives() -> None:
    """Where the video is punctual, a first packet that is far from it has a clock of its own."""
    camera = Camera(sound=lambda seconds: seconds - 2.0, pause=(0.0, 5.0))
    heard = [each for each in camera.run(12) if each.track == SOUND]
    assert camera.repairs["apart"] == 1
    assert max(abs(each.at - each.true) for each in heard) < 0.1
