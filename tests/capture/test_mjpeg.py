"""MJPEG, as USB cameras send it, over a bus that loses some of it."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from capture.material import LEGIBLE, captured, media, numbers
from support.clips import Clip

CLIP = Clip(size=(192, 108), seconds=4, fps=15, video="mjpeg", audio=None)
DAMAGED = 20


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 3]


def without_end(data: bytes) -> bytes:
    return data[:-40]


def zeroed(data: bytes) -> bytes:
    return data[:400] + bytes(len(data) - 400)


def headless(data: bytes) -> bytes:
    return data[300:]


def another_size(data: bytes) -> bytes:
    """Its header says that it is as wide as can be."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + b"\xff\xf0\xff\xf0" + data[at + 9 :]


def another_size_a_little(data: bytes) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + b"\x00\x40\x00\x40" + data[at + 9 :]


def empty(_data: bytes) -> bytes:
    return b"\0"


def nonsense(data: bytes) -> bytes:
    return bytes((7 * n + 13) % 251 for n in range(len(data)))


@pytest.mark.parametrize(
    "damage",
    [cut_short, without_end, zeroed, headless, another_size, another_size_a_little, empty, nonsense],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_frame_costs_one_frame(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Whatever is wrong with it, all others are there, in their places."""
    film = tmp_path / "damaged.mkv"
    with av.open(CLIP.path()) as clean, av.open(film, "w") as file:
        stream = file.add_stream_from_template(clean.streams.video[0])
        for number, packet in enumerate(packet for packet in clean.demux(video=0) if packet.size):
            data = bytes(packet)
            copy = av.Packet(damage(data) if number == DAMAGED else data)
            copy.stream, copy.pts, copy.dts, copy.time_base = stream, packet.pts, packet.dts, packet.time_base
            copy.is_keyframe = True
            file.mux(copy)
    whole = captured(film, video_bitrate=LEGIBLE, audio="none")
    shown = numbers(media(list(whole.chunks(whole.record()))))
    others = [number for number in range(CLIP.frames) if number != DAMAGED]
    assert [number for number in shown if number in others] == others
    assert len(shown) in {CLIP.frames, CLIP.frames - 1}
    assert whole.counts.repairs["undecodable"] == CLIP.frames - len(shown)
