"""Recordings as people have them become parts that the cloud takes, or a sentence that says why not."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.simulator import upload_media
from interhuman2mqtt.simulator.settings import Uploads
from interhuman2mqtt.upload import scratch, split_worker
from interhuman2mqtt.upload.cuts import CutUnit, Limits, plan_cuts
from interhuman2mqtt.upload.split import SplitRecording, split
from interhuman2mqtt.upload.split_files import seconds
from interhuman2mqtt.upload.split_ipc import SplitPart
from upload.recordings import recording

INTER_2, AUDIO = "inter-2", "inter-2-audio"


async def parts_of(name: str, folder: Path, model: str | None = None) -> SplitRecording:
    """Split a recording, and show that the cloud takes each part."""
    made = await split(recording(name), folder, model, lambda _: None)
    for part in made.parts:
        media = upload_media.check(content_of(part), made.described.model, Uploads())
        assert media.duration == pytest.approx(part.end - part.start, abs=0.2)
    assert made.parts[0].start == pytest.approx(0, abs=0.1)
    assert made.parts[-1].end == pytest.approx(made.described.duration, abs=0.2)
    return made


def content_of(part: SplitPart) -> bytes:
    return Path(part.path).read_bytes()


def tracks_of(path: str) -> list[tuple[str, int]]:
    """Codec and width (audio: 0) of each track."""
    with av.open(path) as container:
        return [(s.codec_context.codec.canonical_name, getattr(s, "width", 0)) for s in container.streams]


SOUND, VIDEO = [("mp3", 0)], [("h264", 320), ("aac", 0)]
PEOPLES = {
    "meeting.mp4": (INTER_2, VIDEO, ""),
    "portrait.mp4": (INTER_2, [("h264", 180), ("aac", 0)], ""),
    "music.mp3": (AUDIO, SOUND, "it has no video"),
    "cut.mkv": (INTER_2, VIDEO, "it is cut off after"),
    "silent.mp4": (INTER_2, VIDEO, "silence is sent in its place"),
    "tracks.mkv": (INTER_2, VIDEO, "it has 3 audio tracks: number 1 is sent"),
    "old.avi": (INTER_2, VIDEO, ""),
    "screen.mkv": (INTER_2, VIDEO, ""),
    "talk.mp3": (AUDIO, SOUND, "it has no video"),
    "rates.mp4": (INTER_2, VIDEO, ""),
    "huge.mp4": (INTER_2, VIDEO, ""),
    "browser.webm": (INTER_2, [("vp8", 320), ("opus", 0)], ""),
    "joined.ts": (INTER_2, VIDEO, ""),
}
"""The model of each recording, its tracks, and what is said about it."""
SAMPLE = ("portrait.mp4", "music.mp3", "cut.mkv", "silent.mp4")


@pytest.mark.parametrize(
    "name", [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.full) for name in PEOPLES]
)
async def test_recordings_as_people_have_them(tmp_path: Path, name: str) -> None:
    """Whatever FFmpeg reads becomes what the cloud takes, upright, and what was done to it is said."""
    model, tracks, note = PEOPLES[name]
    made = await parts_of(name, tmp_path)
    assert made.described.model == model
    assert [tracks_of(part.path) for part in made.parts] == [tracks]
    assert note in " ".join(made.notes)
    assert bool(note) == bool(made.notes)


@pytest.mark.parametrize(
    "name", ["tracks.mkv", *(pytest.param(name, marks=pytest.mark.full) for name in ("meeting.mp4", "rates.mp4"))]
)
async def test_what_the_cloud_takes_is_copied(tmp_path: Path, name: str) -> None:
    """Frames that the cloud takes as they are leave as they came, each at its own time."""
    made = await parts_of(name, tmp_path)
    assert frames_of(made.parts[0].path) == frames_of(str(recording(name)))


def frames_of(path: str) -> list[tuple[float, int]]:
    """Time and size of each frame of video; of a NAL unit's length and of a start code there are four bytes alike."""
    with av.open(path) as container:
        [stream, *_] = container.streams.video
        frames = [(seconds(packet), packet.size) for packet in container.demux(stream) if packet.size]
    zero = min(frames)[0]
    return sorted((round(at - zero, 3), size) for at, size in frames)


@pytest.mark.parametrize(
    ("name", "model", "reason", "sentence"),
    [
        ("short.mp4", None, Reason.MEDIA_REJECTED, "the cloud needs 3 s at least"),
        ("cut.mp4", None, Reason.INVALID_MEDIA, "its end, where an MP4 has its index, is missing"),
        ("talk.mp3", INTER_2, Reason.NO_VIDEO, "it has no video, and inter-2 needs one: inter-2-audio"),
        pytest.param(
            *("talk.mp3", "inter-1", Reason.NO_VIDEO, "it has no video, and inter-1 needs one"), marks=pytest.mark.full
        ),
        pytest.param(
            *("silent.mp4", AUDIO, Reason.NO_AUDIO, "it has no audio, and inter-2-audio analyses nothing else"),
            marks=pytest.mark.full,
        ),
    ],
)
async def test_recordings_that_cannot_be_analysed(
    tmp_path: Path, name: str, model: str | None, reason: Reason, sentence: str
) -> None:
    """A recording that cannot be analysed is refused before anything is sent, with what is wrong with it."""
    with pytest.raises(Refused, match=sentence) as caught:
        await split(recording(name), tmp_path, model, lambda _: None)
    assert caught.value.reason is reason


async def test_no_picture_is_sent_to_a_model_of_audio(tmp_path: Path) -> None:
    """By inter-2-audio the audio of a video is sent alone."""
    made = await parts_of("meeting.mp4", tmp_path, AUDIO)
    assert [tracks_of(part.path) for part in made.parts] == [[("aac", 0)]]


async def test_what_a_phone_writes_beside_the_video_stays_here(tmp_path: Path) -> None:
    """When it was recorded is read, and where it was is not sent."""
    made = await parts_of("meeting.mp4", tmp_path)
    assert made.described.recorded_at == datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    place = b"loci"  # the box of a place (3GPP TS 26.244, 8.2)
    assert place in recording("meeting.mp4").read_bytes()
    assert place not in content_of(made.parts[0])


async def test_recordings_that_were_joined_byte_by_byte(tmp_path: Path) -> None:
    """Where times jump back the recording goes on; FFmpeg loses a frame at the joint, whose end it does not see."""
    made = await split(recording("joined.ts"), tmp_path, None, lambda _: None)
    frames = frames_of(made.parts[0].path)
    assert len(frames) in {239, 240}
    assert made.described.duration == pytest.approx(16, abs=0.2)


@pytest.mark.full
async def test_parts_are_dated_from_where_the_recording_begins(tmp_path: Path) -> None:
    """What stands before the first frame of video is left out, and said; the part begins where that frame is."""
    made = await split(recording("late.mkv"), tmp_path, None, lambda _: None)
    assert made.notes == ("its first 3 s are left out: they have no video",)
    assert made.parts[0].start == pytest.approx(3, abs=0.1)


def damaged(name: str, seed: int) -> bytes:
    """A recording with bytes changed, missing or repeated."""
    random, data = Random(seed), bytearray(recording(name).read_bytes())
    for _ in range(random.choice((1, 30, 300))):
        data[random.randrange(len(data) if seed % 2 else 3000)] = random.randrange(256)
    at = random.randrange(len(data))
    match seed % 3:
        case 0:
            del data[at:]
        case 1:
            data[at:at] = data[at : at + random.randrange(30_000)]
    return bytes(data)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["meeting.mp4", "tracks.mkv", "camera.ts", "old.avi", "browser.webm", "talk.mp3"])
async def test_damaged_recordings(tmp_path: Path, name: str, seed: int) -> None:
    """A damaged recording becomes what the cloud takes, or a sentence; never a crash of ours."""
    file = tmp_path / name
    file.write_bytes(damaged(name, seed))
    try:
        made = await split(file, tmp_path, None, lambda _: None)
    except Refused:
        return
    for part in made.parts:
        assert content_of(part)


def test_parts_that_a_killed_process_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts show people: they go with their block, and those of a killed process with the next run."""
    monkeypatch.setattr(scratch, "LARGE", tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    left, running = tmp_path / f"{scratch.PREFIX}left", tmp_path / f"{scratch.PREFIX}new"
    for folder in (left, running):
        folder.mkdir()
        (folder / "part-1.mp4").write_bytes(b"a face")
    os.utime(left, (0, 0))
    with scratch.scratch_folder() as first:
        os.utime(first, (0, 0))
        assert first.stat().st_mode & 0o777 == 0o700
        with scratch.scratch_folder() as second:
            assert sorted(tmp_path.iterdir()) == sorted([running, first, second])
    assert list(tmp_path.iterdir()) == [running]


def test_a_place_that_takes_no_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no parts can be written the sentence says where, and what may be done."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "away"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "away"))
    with pytest.raises(Refused, match="away: No such file or directory: TMPDIR may name"), scratch.scratch_folder():
        pass
    full = split_worker.failure(OSError(28, "No space left on device"), "/tmp/parts")
    assert "no space for its parts: TMPDIR may name another folder" in full.detail


@pytest.mark.full
async def test_a_long_meeting_becomes_two_parts(tmp_path: Path) -> None:
    """What lasts 40 minutes is cut at a key frame in its middle, and nothing of it is missing."""
    made = await parts_of("long.mp4", tmp_path)
    first, second = made.parts
    assert first.end == pytest.approx(second.start, abs=0.2)
    assert first.end == pytest.approx(1200, abs=10)
    frames = sum(len(frames_of(part.path)) for part in made.parts)
    assert frames == len(frames_of(str(recording("long.mp4")))) == 4800


@pytest.mark.parametrize(
    "damage", [b"", b"not a recording", b"\x00\x00\x00\x20ftypisom" + bytes(200), b"#EXTM3U\n/etc/hostname\n"]
)
async def test_files_that_are_no_recordings(tmp_path: Path, damage: bytes) -> None:
    """What is no recording is refused, and nothing that it names is opened."""
    file = tmp_path / "file.mp4"
    file.write_bytes(damage)
    with pytest.raises(Refused) as caught:
        await split(file, tmp_path, None, lambda _: None)
    assert caught.value.reason in {Reason.INVALID_MEDIA, Reason.NO_VIDEO}


gops = st.lists(st.tuples(st.floats(0.1, 700), st.integers(1, 3000)), min_size=1, max_size=60)


@given(gops)
def test_cuts_keep_the_limits(lasts_and_sizes: list[tuple[float, int]]) -> None:
    """No part is beyond a limit, and together they are the recording."""
    made, at = [], 0.0
    for lasts, size in lasts_and_sizes:
        made.append(CutUnit(at, at + lasts, size))
        at += lasts
    limits = Limits(2000, 600.0)
    starts = plan_cuts(made, limits)
    if any(gop.size > limits.size or gop.end - gop.start > limits.duration for gop in made):
        assert starts is None
        return
    assert starts is not None
    assert starts[0] == 0
    parts = [
        [gop for gop in made if begin <= gop.start < end] for begin, end in zip(starts, (*starts[1:], at), strict=True)
    ]
    assert [gop for part in parts for gop in part] == made
    for part in parts:
        assert sum(gop.size for gop in part) <= limits.size
        assert part[-1].end - part[0].start <= limits.duration


def test_parts_are_about_as_long() -> None:
    """A recording of 40 minutes becomes two parts of 20, and not one of 30 and one of 10."""
    made = [CutUnit(at, at + 10.0, 100) for at in range(0, 2400, 10)]
    assert plan_cuts(made, Limits(1e9, 1800.0)) == (0, 1200)
    assert plan_cuts([], Limits(1e9, 1800.0)) is None
