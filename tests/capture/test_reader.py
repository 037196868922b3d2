"""A source that turns out to be another than it seemed is opened again, and stays one timeline."""

import errno
import gc
import io
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest

from capture import unusual_clips
from capture.material import SMALL, a_command, crafted, numbers
from interhuman2mqtt.capture import capture_thread as capture_module
from interhuman2mqtt.capture import ipc, microphone
from interhuman2mqtt.capture import reader as reader_module
from interhuman2mqtt.capture.capture_thread import REOPENS_MAX, Capture
from interhuman2mqtt.capture.demuxer import read_packets
from interhuman2mqtt.capture.device import Feed, open_source
from interhuman2mqtt.capture.preroll import ArrivedPacket
from interhuman2mqtt.capture.reader import ReopenSource
from interhuman2mqtt.capture.recorder import Recorder
from interhuman2mqtt.capture.track_selection import SourceHints
from interhuman2mqtt.capture.tracks import AvPacket
from interhuman2mqtt.errors import Outage, Reason, Refused
from support.clips import Clip, add_video, draw, opened, packet_times

RARE = Clip(size=(192, 108), fps=15, gop=150, seconds=16, audio=None)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read as fast as they can be."""

    def unpaced(command: ipc.Open, *, encode: bool = False) -> Feed:
        return open_source(command, encode=encode)._replace(paced=False)

    monkeypatch.setattr(capture_module, "open_source", unpaced)


def run(path: Path, video: str = "auto") -> Capture:
    """A capture from the source's opening to its end."""
    capture = Capture(a_command(path, video=video))
    capture.run()
    assert capture.outage
    assert capture.outage.reason is Reason.SOURCE_ENDED
    return capture


def captured_until_it_ends(command: ipc.Open) -> Outage:
    """Why a capture ended."""
    capture = Capture(command)
    capture.run()
    assert capture.outage
    return capture.outage


def films(capture: Capture) -> list[bytes]:
    """What each epoch recorded, the first epoch first."""
    found: list[bytes] = []
    ring = capture.ring
    serial = ring.first
    while serial < ring.complete_end:
        command = ipc.Record(recording=1, framing="continuous", chunk_s=600, from_s=ring.gop(serial).start_s)
        recording = Recorder(command, ring, capture.anchor)
        recording.is_pulled = True
        cut = recording.next_chunk(capture.tracks, source_ended=True)
        assert cut
        found.append(bytes(cut[1]))
        take = ring.gop(serial).epoch
        while serial < ring.complete_end and ring.gop(serial).epoch == take:
            serial += 1
    return found


def assert_one_timeline(capture: Capture) -> None:
    ring = capture.ring
    gops = [ring.gop(serial) for serial in range(ring.first, ring.complete_end)]
    assert all(before.end_s <= after.start_s for before, after in pairwise(gops))


def test_key_frames_that_are_too_rare_are_noticed_and_encoded() -> None:
    """A key frame each ten seconds is no use to a window of eight: `auto` encodes, and says so."""
    capture = run(RARE.path())
    assert capture.counts.repairs["rare_key_frames"] == 1
    assert capture.opened
    assert not capture.opened.video_copied
    *_, encoded = films(capture)
    assert numbers(encoded) == list(range(len(numbers(encoded))))
    newest = [
        gop.start_s
        for gop in map(capture.ring.gop, range(capture.ring.first, capture.ring.complete_end))
        if gop.epoch == 2
    ]
    assert [after - before for before, after in pairwise(newest)] == pytest.approx([1.0] * (len(newest) - 1))
    assert_one_timeline(capture)


def test_key_frames_may_be_rare_where_copying_is_asked_for() -> None:
    """Who writes `copy` gets a copy."""
    capture = run(RARE.path(), video="copy")
    assert capture.counts.repairs == {}
    assert [numbers(film) for film in films(capture)] == [list(range(RARE.frames))]


def mute(path: Path) -> None:
    """A film that announces an audio track with nothing in it."""
    path.write_bytes(transport_stream(SMALL._replace(audio=None), announced="aac"))


def test_sound_that_is_announced_and_never_comes_costs_no_video() -> None:
    """The source is not opened again for it, and every frame is there."""
    capture = run(crafted(mute, ".ts"))
    assert capture.counts.repairs.total() == 0
    assert [numbers(film) for film in films(capture)] == [list(range(SMALL.frames))]


def other_size(path: Path) -> None:
    """A camera that is switched to another size while it streams: one transport stream, two parameter sets."""
    clips = [SMALL._replace(audio=None, size=size, seconds=4) for size in ((192, 108), (128, 72))]
    path.write_bytes(b"".join(map(transport_stream, clips)))


def transport_stream(clip: Clip, announced: str | None = None) -> bytes:
    """A clip's video as MPEG-TS, whose parameter sets stand in band; `announced` audio has a place and no packet."""
    target = io.BytesIO()
    with av.open(target, "w", format="mpegts") as file:
        video = add_video(clip, file)
        if announced:
            file.add_stream(announced, rate=48_000, layout="mono")
        for _, picture in zip(range(clip.frames), draw(clip), strict=False):
            file.mux(video.encode(picture))
        file.mux(video.encode(None))
    return target.getvalue()


def test_parameter_sets_that_change_open_the_source_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied track cannot go on with others; the next epoch has the new ones."""
    path = crafted(other_size, ".ts")
    later = SMALL._replace(audio=None, size=(128, 72), seconds=4).path()
    opened = iter([path, later])
    monkeypatch.setattr(
        capture_module,
        "open_source",
        lambda _command, **_: open_source(a_command(next(opened)))._replace(paced=False),
    )
    capture = run(path)
    assert capture.counts.repairs["format_changed"] == 1
    first, second = films(capture)
    assert numbers(first) == list(range(60))
    assert numbers(second) == list(range(60))
    assert_one_timeline(capture)


def test_tracks_of_takes_that_fell_off_the_ring_are_forgotten() -> None:
    """A source that is opened again and again does not fill the memory."""
    capture = Capture(a_command(SMALL.path(), buffer_s=3.0))
    for _ in range(3):
        capture.outage = None
        capture.run()
    assert list(capture.tracks) == [2, 3]


def a_camera_and_a_microphone(monkeypatch: pytest.MonkeyPatch, *openings: float | Outage) -> Capture:
    """A capture whose microphone gives so many seconds each time that it is opened, or the reason why it is not."""
    camera = SMALL._replace(audio=None, seconds=SECONDS)
    each = iter(openings)

    def beside(*_: object) -> Feed:
        match next(each):
            case Outage() as outage:
                raise outage
            case seconds:
                tone = av.open(f"sine=sample_rate=48000:duration={seconds},arealtime", format="lavfi")
                return Feed(tone, None, 0, clock="samples")

    monkeypatch.setattr(
        capture_module, "open_source", lambda _command, **_: open_source(a_command(camera.path(), loop=False))
    )
    monkeypatch.setattr(microphone, "open_alsa", beside)
    monkeypatch.setattr(microphone, "RETRY_S", 0.05)
    return Capture(a_command("v4l2:/dev/video0", microphone="alsa:hw:1"))


def assert_whole(capture: Capture) -> list[tuple[float, float]]:
    """All frames are there, and audio from the first to the last; returns when its packets begin, and are how long."""
    assert capture.outage
    assert capture.outage.detail == "v4l2:/dev/video0 ended"
    (film,) = films(capture)
    assert numbers(film) == list(range(15 * SECONDS))
    sound = packet_times(film)
    assert sound[0][0] == pytest.approx(0, abs=0.15)
    assert sound[-1][0] == pytest.approx(SECONDS, abs=1.2)
    assert max(after[0] - before[0] for before, after in pairwise(sound)) < 0.6
    return sound


SECONDS = 6
UNPLUGGED = Outage(Reason.NOT_FOUND, "microphone alsa:hw:1: there is no sound card 1")


def test_a_microphone_beside_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two inputs become one source: video and audio of the same time are in the same file."""
    capture = a_camera_and_a_microphone(monkeypatch, 8)
    capture.run()
    assert_whole(capture)
    assert capture.opened
    assert capture.opened.description == "h264 192x108 (copied), pcm_s16le 48000 Hz (encoded as aac)"
    assert loud(capture) >= set(range(1, SECONDS))  # a thread may start late


def test_losing_a_microphone_costs_its_sound_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence takes its place, the description says why, and audio is there again once the device is, in one epoch."""
    capture = a_camera_and_a_microphone(monkeypatch, 2, *[UNPLUGGED] * 20, 8)
    said: set[str] = set()
    real = capture.changed.notify_all

    def notify_all() -> None:
        said.add(_described(capture))
        real()

    monkeypatch.setattr(capture.changed, "notify_all", notify_all)
    capture.run()
    assert_whole(capture)
    assert loud(capture) >= {0, 1, SECONDS - 1}
    assert 3 not in loud(capture)
    assert "h264 192x108 (copied), silence (microphone alsa:hw:1: there is no sound card 1)" in said
    assert "h264 192x108 (copied), pcm_s16le 48000 Hz (encoded as aac)" in said


def test_a_microphone_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera does not wait for it, and takes it as soon as it is there."""
    capture = a_camera_and_a_microphone(monkeypatch, *[UNPLUGGED] * 30, 8)
    capture.run()
    assert_whole(capture)
    assert loud(capture) >= {SECONDS - 2, SECONDS - 1}
    assert 0 not in loud(capture)
    assert capture.audio_fault is None


def _described(capture: Capture) -> str:
    capture.refresh_description()
    return capture.opened.description if capture.opened else ""


def loud(capture: Capture) -> set[int]:
    """The seconds of a film in which there is a tone: a clip's is loud at the begin of each."""
    (film,) = films(capture)
    with opened(film) as file:
        frames = [(frame.time, memoryview(frame.planes[0]).cast("f")) for frame in file.decode(audio=0)]
    return {int(time) for time, samples in frames if time is not None and max(map(abs, samples)) > 0.03}


def test_a_camera_that_fails_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What FFmpeg says then is reported as it is when a source is opened."""

    def unplugged(feed: Feed) -> Iterator[tuple[AvPacket, float]]:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(reader_module, "read_packets", unplugged)
    capture = Capture(a_command(SMALL.path()))
    capture.run()
    assert capture.outage
    assert capture.outage.reason is Reason.NOT_FOUND


def held_media() -> list[object]:
    """The packets and the frames that somebody holds; a decoder keeps an empty frame ready, which has no format."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, av.Packet | av.VideoFrame)]
    return [thing for thing in found if getattr(thing, "format", "of a packet") is not None]


@pytest.mark.parametrize("video", ["copy", "h264"])
def test_no_packet_outlives_its_source(video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a source is closed nothing of it is held, for V4L2's packets call the demuxer, whose memory is freed then.

    An unplugged camera ended its process by SIGSEGV else: the traceback held the last packet, and the frame of it.
    """
    close, before = Feed.close, held_media()
    left: list[list[object]] = []

    def unplugged(feed: Feed) -> Iterator[ArrivedPacket]:
        for number, arrived in enumerate(read_packets(feed)):
            yield arrived
            if number == 20:
                raise OSError(errno.ENODEV, "No such device")

    def closed(feed: Feed) -> None:
        left.append([thing for thing in held_media() if thing not in before])
        close(feed)

    monkeypatch.setattr(reader_module, "read_packets", unplugged)
    monkeypatch.setattr(Feed, "close", closed)
    Capture(a_command(SMALL._replace(audio=None).path(), video=video)).run()
    assert left == [[]]


def test_a_source_that_changes_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened anew so often, then it has failed; no thread of the encoders that it needed is left."""
    opened = []

    def changes(*_: object) -> None:
        opened.append(len(list(Path("/proc/self/task").iterdir())))
        raise ReopenSource(SourceHints(), "format_changed")

    monkeypatch.setattr(Capture, "_read", changes)
    outage = captured_until_it_ends(a_command(SMALL._replace(audio=None).path()))
    assert len(opened) == REOPENS_MAX + 1
    assert max(opened) - min(opened) <= 2 * (os.cpu_count() or 1)
    assert outage.reason is Reason.INVALID_MEDIA
    assert "again and again" in outage.detail


def test_pictures_that_are_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that sends no further key frame has failed when the time is over that the buffer holds."""
    monkeypatch.setattr(capture_module, "open_source", open_source)
    path = SMALL._replace(gop=SMALL.frames).path()
    outage = captured_until_it_ends(a_command(path, video="copy", buffer_s=1.0))
    assert outage.reason is Reason.INVALID_MEDIA
    assert "for 1 s nothing to begin with" in outage.detail


def test_pictures_whose_size_nobody_tells(tmp_path: Path) -> None:
    """A stream that was opened while no key frame came says so, and is tried again: it cannot be copied yet."""
    file = tmp_path / "headless.h264"
    with av.open(str(Clip(audio=None).path())) as clip:
        video = clip.streams.video[0]
        annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", video)
        rest = [packet for packet in clip.demux(video) if packet.size and not packet.is_keyframe]
        file.write_bytes(b"".join(bytes(part) for packet in rest for part in annex_b.filter(packet)))
    outage = captured_until_it_ends(a_command(file))
    assert (outage.reason, type(outage)) == (Reason.INVALID_MEDIA, Outage)
    assert "no video whose size can be told" in str(outage)


@pytest.mark.parametrize("path", [unusual_clips.refreshed, unusual_clips.refreshed_film])
def test_intra_refresh_is_encoded(path: Callable[[], Path]) -> None:
    """Nobody could begin at its key frames, so each recording begins with a real one, and the description says why."""
    capture = run(path())
    assert capture.counts.repairs == {"intra_refresh": 1}
    assert capture.opened
    assert capture.opened.description == "h264 192x108 (encoded as h264 192x108: intra refresh), silence"
    *_, encoded = films(capture)
    assert numbers(encoded) == list(range(unusual_clips.FRAMES))


def test_intra_refresh_cannot_be_copied() -> None:
    """Who asks for a copy is told what to do."""
    outage = captured_until_it_ends(a_command(unusual_clips.refreshed(), video="copy"))
    assert (type(outage), outage.reason) == (Refused, Reason.UNSUPPORTED)
    assert 'set video = "auto"' in outage.detail


def test_a_format_that_goes_on_changing_is_encoded() -> None:
    """A copy would have to begin anew each time, and after five of them the camera would be given up for a while."""
    capture = Capture(a_command(unusual_clips.changing_size()))
    capture.run()
    assert capture.outage
    assert capture.outage.reason is Reason.SOURCE_ENDED
    assert capture.opened
    assert "(encoded as h264 192x108: its format changes)" in capture.opened.description
    *_, encoded = films(capture)
    assert numbers(encoded) == list(range(unusual_clips.FRAMES))


def test_a_source_without_any_key_frame_is_encoded() -> None:
    """There is nothing to begin with; its decoder begins anywhere, and sees all of it a moment later."""
    capture = run(unusual_clips.without_key_frames())
    assert capture.counts.repairs["no_key_frames"] == 1
    assert capture.opened
    assert capture.opened.description == "h264 192x108 (encoded as h264 192x108: no key frames), silence"
    *_, encoded = films(capture)
    seen = numbers(encoded)
    assert seen[2 * unusual_clips.FPS :] == list(range(2 * unusual_clips.FPS + 1, unusual_clips.FRAMES))
