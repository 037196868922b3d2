"""Files of every container and clock play in real time and loop without a gap or a pile-up; no test waits for it."""

import hashlib
import subprocess
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

from capture.material import a_command, numbers
from capture.test_reader import films
from interhuman2mqtt.capture import demuxer
from interhuman2mqtt.capture.capture_thread import Capture
from interhuman2mqtt.capture.device import Feed, open_source
from interhuman2mqtt.capture.file_player import PlaybackClock, play
from interhuman2mqtt.capture.preroll import ArrivedPacket
from support.clips import Clip, made, packet_times

CLIP = Clip(size=(192, 108), fps=15, gop=15, seconds=4)
REORDERED = CLIP._replace(b_frames=2)
LONG = CLIP._replace(seconds=8, video=None)
PASSES = 3


class Kind(NamedTuple):
    """A file: how ffmpeg makes it of the clip, `{clip}`; what joins several of them is `+`."""

    suffix: str
    options: str
    clip: Clip = CLIP
    has_audio: bool = True
    inputs: str = "-i {clip}"
    numbered: bool = True
    """Whether the pictures can still be read after an encoder has had them."""
    fps: float = 15


COPY = "-c copy"
FILES = {
    "mp4": Kind("mp4", COPY),
    "fragmented mp4": Kind("mp4", "-c copy -movflags frag_keyframe+empty_moov+default_base_moof"),
    "mov": Kind("mov", COPY),
    "edit list": Kind("mov", COPY, inputs="-ss 1.5 -i {clip}", numbered=False),
    "mkv": Kind("mkv", COPY),
    "mkv with B-frames": Kind("mkv", COPY, REORDERED),
    "avi": Kind("avi", COPY),
    "avi with B-frames": Kind("avi", COPY, REORDERED),
    "flv": Kind("flv", COPY),
    "ts": Kind("ts", COPY),
    "ts with B-frames": Kind("ts", COPY, REORDERED),
    "ts from ten hours on": Kind("ts", "-c copy -output_ts_offset 36000"),
    "ts that wraps": Kind("ts", "-c copy -muxdelay 0 -output_ts_offset 95441"),
    "ts joined to itself": Kind("ts+ts", COPY),
    "ts joined to one from far ahead": Kind("ts+ts", "-c copy -output_ts_offset {offset}"),
    "3gp": Kind("3gp", "-c copy"),
    "webm": Kind("webm", "-c:v libvpx -b:v 1M -g 15 -deadline realtime -cpu-used 8 -c:a libopus"),
    "mpg": Kind("mpg", "-c:v mpeg2video -r 25 -b:v 1M -c:a mp2", fps=25, numbered=False),
    "wmv": Kind("asf", "-c:v wmv2 -b:v 1M -c:a wmav2"),
    "raw h264": Kind("h264", "-an -c copy", has_audio=False),
    "raw h264 with B-frames": Kind("h264", "-an -c copy", REORDERED, has_audio=False),
    "raw h265": Kind(
        "h265", "-an -c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=0", has_audio=False
    ),
    "mjpeg": Kind("mjpeg", "-an -c:v mjpeg -q:v 3 -f mjpeg", has_audio=False, fps=25),
    "sound longer": Kind("mp4", "-c copy -map 0:v -map 1:a", inputs="-i {clip} -i {long}"),
    "sound shorter": Kind("mp4", "-c:v copy -c:a aac -af atrim=end=2.5"),
    "video later": Kind("mp4", "-c copy -map 0:v -map 1:a", inputs="-itsoffset 1.5 -i {clip} -i {long}"),
    "sound later": Kind("mkv", "-c copy -map 0:v -map 1:a", inputs="-i {clip} -itsoffset 1.5 -i {clip}"),
    "another frame rate each second": Kind(
        "mkv", "-c:v libx264 -g 15 -bf 0 -fps_mode vfr -vf select='not(mod(n,1+mod(floor(t),3)))' -c:a copy", fps=0
    ),
}
SAMPLE = (
    "mp4",
    "edit list",
    "avi with B-frames",
    "ts that wraps",
    "ts joined to one from far ahead",
    "raw h264 with B-frames",
    "mjpeg",
    "sound longer",
    "video later",
    "another frame rate each second",
)
HOLES = {"sound shorter": 1.6, "sound later": 1.6, "edit list": 0.6}
"""Seconds without audio that are in the file itself."""
SURPLUS = {"sound later": 1.6}
"""Seconds of audio after the last picture, where the container does not tell how long the video is: played once."""
UNTOLD: dict[str, set[str]] = {"mkv with B-frames": {"no_dts", "repeated"}, "raw h264 with B-frames": set()}
"""What FFmpeg does not know of a file's times, and is completed; two pictures of a GOP may be shown at one time."""


def file(name: str) -> Path:
    """The file of that name, made once."""
    kind = FILES[name]
    key = hashlib.sha256(repr(kind).encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    suffix, *joined = kind.suffix.split("+")
    return made(f"file-{key}.{suffix}", lambda path: make(kind, path, len(joined)))


def make(kind: Kind, path: Path, joined: int) -> None:
    parts = []
    for number in range(joined + 1):
        part = path.with_stem(f"part{number}") if joined else path
        command = f"ffmpeg -y -v error {kind.inputs} {kind.options} {part}"
        values = {"clip": kind.clip.path(), "long": LONG.path(), "offset": 5000 * number}
        subprocess.run(command.format(**values).split(), check=True)
        parts.append(part)
    if joined:
        path.write_bytes(b"".join(part.read_bytes() for part in parts))


class Ticking:
    """A clock that only goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 500.0
        self.clock = PlaybackClock(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds < 5, "nobody waits for so long"
        self.now += seconds


def length(name: str) -> float:
    """Seconds of one pass."""
    kind = FILES[name]
    if name == "mjpeg":
        return kind.clip.frames / 25  # nothing in the file says otherwise
    return kind.clip.seconds * (1 + kind.suffix.count("+"))


def playing(feed: Feed, seconds: float) -> Iterator[ArrivedPacket]:
    """What is played in so long a time."""
    ticking = Ticking()
    return takewhile(lambda arrived: arrived.at < 500 + seconds, play(feed, ticking.clock))


def tracks(name: str, passes: float) -> dict[str, list[tuple[float, float]]]:
    """Time on the timeline and of arrival of each packet, by the kind of its track."""
    feed = open_source(a_command(file(name)))
    found: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    try:
        for packet, at in playing(feed, length(name) * passes):
            assert packet.pts is not None
            track = "video" if packet.stream_index == feed.video else "audio"
            found[track].append((float(packet.pts * packet.time_base), at - 500))
    finally:
        feed.close()
    return found


WHOLE = [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.full) for name in FILES]


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_plays_in_real_time_and_again(name: str) -> None:
    """Each packet comes when it is due, from zero on, at an even pace through all the passes."""
    found = tracks(name, PASSES)
    fps = FILES[name].fps
    video = sorted(stamp for stamp, _ in found["video"])
    assert video[0] == pytest.approx(0, abs=0.15)
    gaps = [after - before for before, after in pairwise(video)]
    assert min(gaps) > 0 or name in UNTOLD
    assert max(gaps) < 3.1 / (fps or 15) + SURPLUS.get(name, 0)
    if fps and name != "edit list":  # whose length is another one
        assert len(video) == pytest.approx(fps * (length(name) * PASSES - SURPLUS.get(name, 0)), abs=8)
    assert all(at - stamp == pytest.approx(0, abs=0.5) for stamp, at in found["video"])
    assert bool(found["audio"]) is FILES[name].has_audio
    sound = [stamp for stamp, _ in found["audio"]]
    steps = [after - before for before, after in pairwise(sound)]
    assert all(0 < step < HOLES.get(name, 0.0) + 0.15 for step in steps)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_made_of_a_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes are one film: every frame once and in its order, nothing repaired, audio as long as the video."""
    monkeypatch.setattr(demuxer, "play", lambda feed: playing(feed, length(name) * 2))
    capture = Capture(a_command(file(name)))
    capture.run()
    assert capture.counts.repairs.keys() <= UNTOLD.get(name, set())
    *_, film = films(capture)
    seen = numbers(film)
    frames, fps = FILES[name].clip.frames, FILES[name].fps
    if FILES[name].numbered and fps:
        assert len(seen) == pytest.approx((length(name) * 2 - SURPLUS.get(name, 0)) * fps, abs=fps)
        seen = seen[: -FILES[name].clip.b_frames or None]  # the last ones come before those that are shown first
        start = seen[0] or 0
        assert seen == [(start + number) % frames for number in range(len(seen))]
    heard = packet_times(film)[-1][0]
    assert heard == pytest.approx(2 * length(name), abs=2.0 + HOLES.get(name, 0))
