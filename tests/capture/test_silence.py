"""Audio that comes and goes costs no video: silence stands in, and the audio is back when it is."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import av
import pytest
import trio
from av.audio.codeccontext import AudioCodecContext

from capture.material import a_command, numbers
from capture.workers import film, working
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.silence import (
    GapFilledAudio,
    SilentPacket,
    parse_aac_config,
    silent_packet,
    silent_packet_for,
)
from interhuman2mqtt.capture.tracks import AvPacket, CopiedTrack
from support.clips import Clip, opened, packet_times
from support.scripted_camera import scripted_camera
from support.scripted_tracks import Track, pausing, sound, video

if TYPE_CHECKING:
    from interhuman2mqtt.events import MediaChunk

CLIP = Clip(size=(160, 96), seconds=8)
G711 = CLIP._replace(audio="pcm_alaw")
STEP_S = 1024 / 48_000


class Seen(NamedTuple):
    """What was recorded of a camera."""

    film: bytes
    repairs: dict[str, int]
    opened: int
    """how often the camera was asked for its stream"""


async def seen(seconds: float, *tracks: Track, rule: str | None = None, **changes: object) -> Seen:
    """Record a camera from its begin; where a rule is named, for two seconds more than it takes to be applied."""
    async with scripted_camera(*tracks) as camera, working(a_command(camera.url(), **changes)) as worker:
        recording = worker.record("continuous", 1.0, 0.0)
        chunks: list[MediaChunk] = []
        while not chunks or chunks[-1].media_end < seconds:
            chunks.append(await recording.next_chunk())
            if rule is not None and not (worker.stalls.heartbeat and rule in worker.stalls.heartbeat.repairs):
                seconds = max(seconds, chunks[-1].media_end + 2.5)
        pulse = worker.stalls.heartbeat
        return Seen(film(chunks), dict(pulse.repairs) if pulse else {}, camera.methods().count("DESCRIBE"))


def loud(media: bytes) -> set[int]:
    """The seconds in whose begin there is a tone: a clip's has its tone there."""
    with opened(media) as file:
        frames = [(frame.time or 0.0, memoryview(frame.planes[0]).cast("f")) for frame in file.decode(audio=0)]
    return {round(at) for at, samples in frames if at % 1 < 0.15 or at % 1 > 0.85 if max(map(abs, samples)) > 0.05}


def assert_costs_no_video(found: Seen, seconds: int) -> None:
    """Every frame in order, one opening, no gap in the audio."""
    shown = numbers(found.film)
    assert shown == [((shown[0] or 0) + number) % CLIP.frames for number in range(len(shown))]
    assert len(shown) >= 15 * seconds
    assert found.opened == 1
    begins = [begin for begin, _ in packet_times(found.film)]
    assert begins[0] < 0.3
    assert max(after - before for before, after in pairwise(begins)) < 0.6
    assert begins[-1] > seconds - 1.2


Sending = Callable[[float], float | None]
SENDINGS: dict[str, tuple[Sending, Callable[[set[int]], bool]]] = {
    "pauses": (pausing(3.0, 6.5), lambda at: {1, 2, 8} <= at and not at & {4, 5, 6}),
    "begins late": (pausing(0.0, 5.0), lambda at: {7, 8} <= at and not at & {1, 2, 3}),
    "ends": (pausing(3.0, 1e9), lambda at: {1, 2} <= at and not at & {4, 5, 6, 7, 8}),
    "never comes": (pausing(0.0, 1e9), lambda at: not at),
}


@pytest.mark.parametrize("kind", ["copied", "encoded"])
async def test_sound_that_comes_and_goes(kind: str) -> None:
    """Muted, begun late, ended or never there: no frame is lost, silence fills in, and what comes is heard."""
    clip = CLIP if kind == "copied" else G711
    found: dict[str, Seen] = {}

    async def look(name: str, sending: Sending) -> None:
        found[name] = await seen(9, video(clip), sound(clip)._replace(sent=sending))

    async with trio.open_nursery() as nursery:
        for name, (sending, _) in SENDINGS.items():
            nursery.start_soon(look, name, sending)
    for name, (_, is_right) in SENDINGS.items():
        assert_costs_no_video(found[name], 9)
        assert is_right(loud(found[name].film)), (name, loud(found[name].film))


def stopped(begin: float, end: float) -> Callable[[float], float]:
    """A clock that stands while there is no audio: it counts samples that were sent."""
    return lambda seconds: min(seconds, begin) + max(seconds - end, 0.0)


async def test_a_clock_that_stands_during_a_pause() -> None:
    """Audio after it is where it was captured, and not as much too early as the pause was long."""
    track = sound(CLIP)._replace(sent=pausing(3.0, 6.5), stamp=stopped(3.0, 6.5), reports=None)
    found = await seen(9, video(CLIP), track, rule="frozen")
    assert_costs_no_video(found, 9)
    heard = loud(found.film)
    assert {1, 2} <= heard
    assert not heard & {4, 5, 6}
    assert max(heard) >= packet_times(found.film, "video")[-1][0] - 1.2


AAC_LC_48_MONO, AAC_LC_44_STEREO = bytes.fromhex("1188"), bytes.fromhex("1210")
HE_AAC_24_STEREO = bytes.fromhex("2b118800")
"""From ISO/IEC 14496-3's table: object type 5, 24 kHz core, two channels, 48 kHz."""


@pytest.mark.parametrize(
    ("config", "core"),
    [
        (AAC_LC_48_MONO, (48_000, "mono")),
        (AAC_LC_44_STEREO, (44_100, "stereo")),
        (bytes.fromhex("1408"), (16_000, "mono")),
        (bytes.fromhex("2b1188"), (24_000, "stereo")),
        (bytes.fromhex("1200"), None),
        (bytes.fromhex("f8e85000"), None),
        (bytes.fromhex("118c"), None),
        (b"", None),
    ],
    ids=["LC 48 kHz", "LC 44.1 kHz", "LC 16 kHz", "HE", "channels by an element", "ELD", "960 samples", "empty"],
)
def test_the_silence_has_the_parameters_of_the_sound(config: bytes, core: tuple[int, str] | None) -> None:
    """They are read from what the camera announces."""
    assert parse_aac_config(config) == core


@pytest.mark.parametrize(("codec", "name"), [("aac", "aac"), ("libopus", "opus")])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_silence_is_silent(codec: str, name: str, layout: str) -> None:
    """Each packet decodes to zeros, also behind another and without what was before it."""
    made = silent_packet(codec, 48_000, layout)
    decoder = AudioCodecContext.create(name, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48_000, layout
    decoder.extradata = bytes.fromhex("1188" if layout == "mono" else "1190") if name == "aac" else None
    frames = [frame for _ in range(5) for frame in decoder.decode(av.Packet(made.data))]
    assert len(frames) >= 4
    assert max(abs(value) for frame in frames for value in memoryview(frame.planes[0]).cast("f")) < 0.001
    assert made.seconds == Fraction(frames[-1].samples, 48_000)


def a_track() -> GapFilledAudio:
    with opened(CLIP.path()) as file:
        stream = file.streams.audio[0]
        return GapFilledAudio(CopiedTrack(stream, Fraction(1, 48_000)), silent_packet_for(stream))


def a_packet(seconds: float) -> AvPacket:
    packet: AvPacket = av.Packet(b"sound")
    packet.pts = packet.dts = round(seconds * 48_000)
    packet.duration = 1024
    packet.time_base = Fraction(1, 48_000)
    return packet


def test_sound_that_is_late_is_no_pause() -> None:
    """A track whose stamps stay two seconds behind the video's is sent as it is, as long as it comes."""
    track = a_track()
    made = []
    for number in range(400):
        now = number * STEP_S
        made += [out.data for out in track.fill_until(now + 2.0, now)]
        made += [out.data for out in track.convert(a_packet(now), now)]
    assert set(made) == {b"sound"}


def test_a_burst_after_a_stall_is_no_pause() -> None:
    """Where video and audio stood still together, nothing was muted."""
    track = a_track()
    made = []
    for number in range(400):
        captured = number * STEP_S
        now = captured if captured < 3.0 else max(captured, 6.0)
        made += [out.data for out in track.fill_until(captured, now)]
        made += [out.data for out in track.convert(a_packet(captured), now)]
    assert set(made) == {b"sound"}


def test_sound_that_was_held_back_is_no_pause() -> None:
    """While it was not known when it was captured, frames went ahead of it; all of it is sent."""
    track = a_track()
    made = []
    for number in range(60):
        now = number * STEP_S
        made += [out.data for out in track.fill_until(now, now)]
        track.expect(now)
    for number in range(60):
        made += [out.data for out in track.convert(a_packet(number * STEP_S), number * STEP_S)]
        made += [out.data for out in track.fill_until(60 * STEP_S, 60 * STEP_S)]
    assert set(made) == {b"sound"}


def test_a_hole_of_the_picture_is_not_filled() -> None:
    """Where there is no video, there is no silence."""
    track = a_track()
    fill = partial(track.fill_until)
    assert [out for second in range(5) for out in fill(float(second), float(second))]
    after = list(fill(60.0, 60.0))
    assert after[0].pts == 60 * 48_000
    assert len(after) <= 2


def test_no_group_waits_for_sound_that_has_paused() -> None:
    """Once it is known to have, each group of pictures may leave when the next one begins."""
    track, ring = a_track(), Ring(60.0, 1 << 20)
    waited = []
    for number in range(150):
        at = number / 15
        picture = Packet(number, number, 1, number % 15 == 0, 1, b"p")
        ring.add_video(picture, at)
        for out in track.fill_until(ring.end_s, at):
            ring.add_audio(out, out.pts / 48_000)
        if picture.key and ring.waits_for_audio:
            waited.append(round(at))
    assert waited == [1]


def test_what_nobody_can_fill_stays_as_it_is() -> None:
    """A track of rare parameters that is to be copied has gaps."""
    with opened(CLIP.path()) as file:
        track = GapFilledAudio(CopiedTrack(file.streams.audio[0], Fraction(1, 48_000)), None)
    assert [out for second in range(9) for out in track.fill_until(float(second), float(second))] == []
    assert isinstance(silent_packet("aac", 8000, "mono"), SilentPacket)
