"""What cannot be copied is encoded: with a key frame each second, at the size and rate asked for, and in time."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from capture.material import SMALL, Captured, captured, crafted, media, numbers
from interhuman2mqtt.cameras.worker_process import MEMORY
from interhuman2mqtt.capture.encoders import EncodedAudio, EncodedVideo, halvings
from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.silence import SILENT_RATE, GapFilledAudio, SilentTrack, silent_packet
from interhuman2mqtt.capture.tracks import CopiedTrack, Track
from interhuman2mqtt.errors import Reason, Refused
from support.clips import Clip, add_audio, add_video, draw, opened, packet_times, sing

MJPEG = Clip(size=(192, 112), seconds=4, fps=15, video="mjpeg", audio=None)
H265 = SMALL._replace(video="libx265", seconds=4, audio=None)
H264 = SMALL._replace(audio=None)
ALAW = SMALL._replace(audio="pcm_alaw")
FRAME_S = 1 / 15


def film(whole: Captured) -> bytes:
    """All that was captured, as one file."""
    return media(list(whole.chunks(whole.record(), source_ended=True)))


def starts(whole: Captured) -> list[float]:
    return [whole.ring.gop(serial).start_s for serial in range(whole.ring.first, whole.ring.complete_end)]


def sound_of(whole: Captured) -> list[Packet]:
    gops = map(whole.ring.gop, range(whole.ring.first, whole.ring.complete_end))
    return [packet for gop in gops for _, packet in gop.audio]


def assert_seamless(packets: list[Packet]) -> None:
    """Each packet of audio begins where the one before it ends."""
    assert packets
    assert all(after.pts == before.pts + before.duration for before, after in pairwise(packets))


def raw(path: Path) -> None:
    """Frames as a device gives them that compresses nothing."""
    with av.open(str(path), "w", format="nut") as file:
        stream = file.add_stream("rawvideo", rate=15)
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuyv422"
        for _, picture in zip(range(45), draw(H264), strict=False):
            file.mux(stream.encode(picture.reformat(format="yuyv422")))


def raw_film() -> Path:
    return crafted(raw, ".nut")


@pytest.mark.parametrize(
    ("path", "frames", "said"),
    [
        (H265.path, 60, "hevc 192x108 (encoded as h264 192x108), silence"),
        (MJPEG.path, 60, "mjpeg 192x112 (encoded as h264 192x112), silence"),
        (raw_film, 45, "raw video 192x108 (encoded as h264 192x108), silence"),
    ],
    ids=["h265", "mjpeg", "raw"],
)
def test_other_pictures_become_h264_with_a_key_frame_each_second(
    path: Callable[[], Path], frames: int, said: str
) -> None:
    """Every frame is there in its order, a GOP is a second long, and a person can read what was done."""
    whole = captured(path())
    seen = numbers(film(whole))
    assert seen == list(range(len(seen)))
    assert len(seen) >= frames - 4  # the decoder keeps the last ones for itself
    assert [after - before for before, after in pairwise(starts(whole))] == pytest.approx([1.0] * (frames // 15 - 1))
    assert whole.opened
    assert (whole.opened.description, whole.opened.video_copied) == (said, False)
    with opened(film(whole)) as file:
        assert file.streams.video[0].codec_context.name == "h264"


def test_pictures_are_shown_when_they_were() -> None:
    """Encoding does not move them."""
    whole = captured(MJPEG)
    begins = [begin for begin, _ in packet_times(film(whole), "video")]
    assert begins == pytest.approx([n * FRAME_S for n in range(len(begins))], abs=0.001)


def test_fewer_pictures_where_fewer_are_asked_for() -> None:
    """`fps = 5` of 15 keeps each third, evenly."""
    whole = captured(MJPEG, fps=5.0)
    assert numbers(film(whole)) == list(range(0, 60, 3))
    assert [begin for begin, _ in packet_times(film(whole), "video")] == pytest.approx([n / 5 for n in range(20)])


@pytest.mark.parametrize(("asked", "got"), [((128, 72), (128, 72)), ((97, 55), (96, 54))])
def test_pictures_have_the_size_that_is_asked_for(asked: tuple[int, int], got: tuple[int, int]) -> None:
    """Both sides even, as H.264 has them; the numbers can still be read."""
    whole = captured(MJPEG, size=asked)
    with opened(film(whole)) as file:
        picture = file.streams.video[0]
        assert (picture.width, picture.height) == got
    assert numbers(film(whole)) == list(range(60))


def test_frames_that_fps_leaves_out_are_not_decoded(tmp_path: Path) -> None:
    """Of MJPEG, each of whose frames stands alone: what is wrong with those in between does not show."""
    source = tmp_path / "damaged.mkv"
    with av.open(MJPEG.path()) as clean, av.open(source, "w") as file:
        stream = file.add_stream_from_template(clean.streams.video[0])
        for number, packet in enumerate(packet for packet in clean.demux(video=0) if packet.size):
            copy = av.Packet(bytes(packet) if number % 3 == 0 else b"nonsense")
            copy.stream, copy.pts, copy.dts, copy.time_base = stream, packet.pts, packet.dts, packet.time_base
            copy.is_keyframe = True
            file.mux(copy)
    whole = captured(source, fps=5.0)
    assert numbers(film(whole)) == list(range(0, 60, 3))
    assert whole.counts.repairs["undecodable"] == 0


@pytest.mark.parametrize(
    ("wanted", "times"),
    [((1280, 720), 0), ((960, 540), 0), ((640, 360), 1), ((640, 300), 1), ((320, 180), 2), ((8, 8), 3)],
)
def test_halvings(wanted: tuple[int, int], times: int) -> None:
    """A frame is never decoded smaller than it is wanted."""
    assert halvings((1280, 720), wanted) == times


@pytest.mark.parametrize("asked", [(96, 56), (48, 28)])
def test_a_size_that_mjpeg_is_decoded_at(asked: tuple[int, int]) -> None:
    """Half and a quarter of the frame: bright stays bright and dark dark, at the places where they were."""
    source = crafted(striped, ".avi")
    with opened(film(captured(source, size=asked, video_bitrate=2_000_000))) as file:
        frame = next(file.decode(video=0))
    assert (frame.width, frame.height) == asked
    assert brightness(frame, asked[0] // 4) == pytest.approx(16, abs=3)
    assert brightness(frame, asked[0] * 3 // 4) == pytest.approx(235, abs=3)


@pytest.mark.parametrize("asked", [(192, 112), (128, 64), (112, 112)], ids=["same", "smaller", "barred"])
def test_black_and_white_of_a_camera_stay_black_and_white(asked: tuple[int, int]) -> None:
    """MJPEG has black at 0 and white at 255, H.264 that says nothing at 16 and 235: else dark would be black."""
    with opened(film(captured(crafted(striped, ".avi"), size=asked, video_bitrate=2_000_000))) as file:
        frame = next(file.decode(video=0))
    assert brightness(frame, asked[0] // 4) == pytest.approx(16, abs=3)
    assert brightness(frame, asked[0] * 3 // 4) == pytest.approx(235, abs=3)


def striped(path: Path) -> None:
    """MJPEG whose left half is black, and whose right half is white."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = 192, 112, "yuvj422p"
        frame = av.VideoFrame(192, 112, "yuvj422p")
        black_and_white = bytes(96) + bytes([255]) * 96
        rest = frame.planes[0].line_size - len(black_and_white)
        frame.planes[0].update((black_and_white + bytes(rest)) * 112)
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        for number in range(45):
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def brightness(frame: av.VideoFrame, column: int) -> int:
    """The luma at that place, in the middle of the frame."""
    plane = frame.planes[0]
    return bytes(plane)[frame.height // 2 * plane.line_size + column]


def test_x264_does_what_it_is_asked_for() -> None:
    """It only warns of settings that it does not know, and says in the stream which it has."""
    said = film(captured(MJPEG))
    assert all(
        setting in said
        for setting in (b" cabac=1 ", b" 8x8dct=1 ", b"analyse=0:0x3 ", b" deblock=1:0:0 ", b" threads=1 ")
    )


def test_h264_is_encoded_where_it_is_asked_for_only() -> None:
    """`auto` copies, `h264` encodes."""
    takes = [captured(H264, video=video).opened for video in ("auto", "copy", "h264")]
    assert [opened.video_copied for opened in takes if opened] == [True, True, False]


@pytest.mark.parametrize("law", ["pcm_alaw", "pcm_mulaw"])
def test_g711_becomes_aac(law: str) -> None:
    """Without a gap, as long as the video and at its own rate."""
    whole = captured(SMALL._replace(audio=law))
    assert whole.opened
    assert f"{law} 8000 Hz (encoded as aac)" in whole.opened.description
    assert_seamless(sound_of(whole))
    with opened(film(whole)) as file:
        sound = file.streams.audio[0]
        assert (sound.codec_context.name, sound.rate) == ("aac", 8000)
        heard = sum(frame.samples for frame in file.decode(sound)) / 8000
    assert heard == pytest.approx(8, abs=0.4)


def opus(path: Path) -> None:
    write(path, "libopus", "mp4")


def adts(path: Path) -> None:
    write(path, "aac", "mpegts")


def write(path: Path, codec: str, form: str, seconds: int = 2) -> None:
    clip = SMALL._replace(audio=codec, seconds=seconds)
    with av.open(str(path), "w", format=form) as file:
        video, audio = add_video(clip, file), add_audio(clip, file)
        pictures, sounds = draw(clip), sing(clip)
        for _ in range(seconds):
            file.mux([packet for _ in range(15) for packet in video.encode(next(pictures))])
            file.mux(audio.encode(next(sounds)))
        file.mux([*video.encode(None), *audio.encode(None)])


@pytest.mark.parametrize(
    ("path", "audio", "codec", "copied"),
    [
        (SMALL.path, "auto", "aac", True),
        (SMALL.path, "copy", "aac", True),
        (SMALL.path, "aac", "aac", True),
        (SMALL.path, "opus", "opus", False),
        (SMALL.path, "silence", "aac", False),
        (SMALL.path, "none", None, False),
        (H264.path, "auto", "aac", False),
        (H264.path, "none", None, False),
        (lambda: crafted(opus, ".mp4"), "auto", "opus", True),
        (lambda: crafted(opus, ".mp4"), "opus", "opus", True),
        (lambda: crafted(opus, ".mp4"), "aac", "aac", False),
        (lambda: crafted(adts, ".ts"), "auto", "aac", False),
    ],
)
def test_the_sound_that_is_chosen(path: Callable[[], Path], audio: str, codec: str | None, copied: bool) -> None:  # noqa: FBT001
    """Copied wherever it can be; AAC in ADTS has no configuration that an MP4 could hold, so it is encoded."""
    whole = captured(path(), audio=audio)
    assert whole.opened
    assert whole.opened.audio_copied is copied
    with opened(film(whole)) as file:
        assert [sound.codec_context.name for sound in file.streams.audio] == ([codec] if codec else [])


@pytest.mark.parametrize(
    ("clip", "changes", "advice"),
    [(H265, {"video": "copy"}, 'video = "auto"'), (ALAW, {"audio": "copy"}, 'audio = "auto"')],
)
def test_what_cannot_be_copied_is_refused_where_copying_is_asked_for(
    clip: Clip, changes: dict[str, Any], advice: str
) -> None:
    """The sentence says what to write instead."""
    with pytest.raises(Refused, match=advice) as refused:
        captured(clip, **changes)
    assert refused.value.reason is Reason.UNSUPPORTED


def test_silence_follows_the_picture_without_gap_or_overlap() -> None:
    """A film without audio has a silent track from its first key frame to its last frame."""
    whole = captured(H264)
    packets = sound_of(whole)
    assert_seamless(packets)
    assert packets[-1].pts / SILENT_RATE == pytest.approx(whole.ring.end_s, abs=0.05)
    with opened(film(whole)) as file:
        loudest = max(abs(value) for frame in file.decode(audio=0) for value in memoryview(frame.planes[0]).cast("f"))
    assert loudest < 0.001


def test_silence_does_not_fill_a_hole_of_the_picture() -> None:
    """Where the video jumps, by more than a second, the silence jumps with it."""
    silence = SilentTrack()
    assert_seamless([packet for n in range(20) for packet in silence.fill_until(n * 0.1)])
    after = list(silence.fill_until(60.0))
    assert after[0].pts == 60 * SILENT_RATE
    assert list(silence.fill_until(59.0)) == []


def heard(clip: Clip, changed: Callable[[int], int | None], codec: str = "aac") -> list[Packet]:
    """A clip's audio encoded, each PTS (8000 a second) put elsewhere."""
    with opened(clip.path()) as file:
        stream = file.streams.audio[0]
        assert isinstance(stream, AudioStream)
        track = EncodedAudio(codec, 8000, "mono")
        track.use_input(stream, Fraction(1, 8000))
        filled = GapFilledAudio(track, silent_packet(codec, 8000, "mono"))
        out: list[Packet] = []
        for packet in file.demux(stream):
            if not packet.size or packet.pts is None or (pts := changed(packet.pts)) is None:
                continue
            packet.pts = packet.dts = pts
            packet.time_base = Fraction(1, 8000)
            out += filled.convert(packet, 0.0)
        return out


@pytest.mark.parametrize("pace", [0.99, 1.01])
def test_the_drift_of_a_microphone_is_followed(pace: float) -> None:
    """Samples are stretched or squeezed to the timeline: the end is where the timeline says, and there is no seam.

    (What the encoder and the resampler still hold at the end is 0.4 s at 8 kHz.)
    """
    long = SMALL._replace(video=None, audio="pcm_alaw", seconds=64)
    packets = heard(long, lambda pts: round(pts * pace))
    assert_seamless(packets)
    end_s = (packets[-1].pts + packets[-1].duration) / 8000
    assert end_s == pytest.approx(64 * pace, abs=0.45)


def test_a_hole_in_the_sound_is_filled_with_silence() -> None:
    """What the microphone left out is there as silence, so that all later audio keeps its place."""
    sound = SMALL._replace(video=None, audio="pcm_alaw")
    packets = heard(sound, lambda pts: None if 16_000 <= pts < 40_000 else pts)
    assert_seamless(packets)
    assert (packets[-1].pts + packets[-1].duration) / 8000 == pytest.approx(8, abs=0.5)


def test_opus_has_the_rates_that_it_can_have() -> None:
    """8 kHz stays what it is, 44.1 kHz becomes 48."""
    sound = SMALL._replace(video=None, audio="pcm_alaw")
    assert heard(sound, lambda pts: pts, "libopus")
    assert EncodedAudio("libopus", 44_100, "mono").time_base == Fraction(1, 48_000)
    assert EncodedAudio("aac", 44_100, "mono").time_base == Fraction(1, 44_100)


def damaged(path: Path) -> None:
    """An MJPEG film of which every fifth frame is rubbish."""
    film = bytearray(MJPEG.path().read_bytes())
    with opened(MJPEG.path()) as file:
        places = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    for place, size in places[5::5]:
        assert place is not None
        film[place : place + size] = bytes(size)
    path.write_bytes(film)


def test_corrupt_packets_are_counted_and_not_fatal() -> None:
    """The frames around them are all there."""
    whole = captured(crafted(damaged, ".mov"))
    assert whole.counts.repairs["undecodable"] == 11
    assert numbers(film(whole)) == [n for n in range(60) if n % 5 or not n]


def test_tracks_are_what_the_ring_expects() -> None:
    """Every kind of track tells its tick alike, and where its parameters stand."""
    with opened(SMALL.path()) as file:
        picture = file.streams.video[0]
        assert isinstance(picture, VideoStream)
        tracks: list[Track] = [
            CopiedTrack(picture, Fraction(1, 90_000)),
            EncodedVideo(picture, Fraction(1, 90_000), None, None, None),
            EncodedAudio("aac", 48_000, "stereo"),
        ]
    for track in tracks:
        assert track.tick_s == float(track.time_base)
        assert track.template.type in {"video", "audio"}


FAULTS = """
import resource, av
from interhuman2mqtt.capture.encoders import EncodedVideo
from interhuman2mqtt.capture.tracks import time_base_of
stream = av.open("testsrc2=size=1280x720:rate=15,format=yuyv422", format="lavfi").streams.video[0]
track = EncodedVideo(stream, time_base_of(stream), None, None, None)
faults = []
for packet in stream.container.demux(stream):
    list(track.convert(packet))
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    if len(faults) == 20:
        break
print(faults[-1] - faults[9])
"""


def test_frames_are_made_in_memory_that_is_there() -> None:
    """A frame of 1.4 MB is not faulted in anew, page by page, each time: that was a fifth of a raw camera's cost."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**os.environ, **MEMORY}, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stdout) < 340  # of each of the ten frames it was so many
