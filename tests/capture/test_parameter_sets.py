"""Whether a key frame of H.264 is one to begin with, and its parameter sets: of its head, and in real streams."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture import unusual_clips
from capture.material import captured, media, numbers
from interhuman2mqtt.capture.parameter_sets import KeyFrameChecker, exp_golomb, read_head, recovery_frames
from interhuman2mqtt.capture.ring import Packet

START = b"\x00\x00\x00\x01"
AUD, SPS, PPS, IDR, SLICE = b"\x09\xf0", b"\x67\x42\x00\x1e", b"\x68\xce", b"\x65\x88\x84", b"\x41\x9a"
RECOVERS_AT_ONCE = b"\x06\x06\x01\xc4\x80"
RECOVERS_AFTER_14 = b"\x06\x05\x02\xab\xcd\x06\x02\x1e\x90\x80"
"""Behind user data."""


def annexb(*units: bytes) -> bytes:
    return b"".join(START + unit for unit in units)


def lengths(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


@pytest.mark.parametrize(("form", "size"), [(annexb, 0), (lengths, 4)], ids=["annex-b", "lengths"])
def test_the_head_of_a_key_frame(form: Callable[..., bytes], size: int) -> None:
    """Parameter sets, whether it is an IDR frame, and after how many frames it recovers; up to the first slice."""
    head = read_head(form(AUD, SPS, PPS, IDR, SPS), size)
    assert (head.sets, head.sequence, head.is_idr, head.recovers_after) == ((SPS, PPS), SPS, True, 0)
    assert read_head(form(RECOVERS_AT_ONCE, SLICE), size)[:3] == ((), False, 0)
    assert read_head(form(AUD, RECOVERS_AFTER_14, SLICE), size).recovers_after == 14
    assert read_head(form(SPS), size)[:2] == ((SPS,), False)
    assert read_head(b"", size).sets == ()


@given(st.binary(max_size=60), st.sampled_from((0, 1, 2, 4)))
def test_rubbish_has_some_head(data: bytes, size: int) -> None:
    """Whatever a camera sends, it is read to its end and raises nothing."""
    assert read_head(data, size).recovers_after >= 0
    assert (recovery_frames(data) or 0) >= 0


def test_numbers_of_exp_golomb() -> None:
    """`recovery_frame_cnt` is coded so; what ends within one is none."""
    assert [exp_golomb(bytes([bits])) for bits in (0b10000000, 0b01000000, 0b01100000, 0b00111000)] == [0, 1, 2, 6]
    assert exp_golomb(b"") is None
    assert exp_golomb(b"\x00") is None
    assert exp_golomb(b"\x00\x80") is None


def test_what_recovers_later_is_no_beginning() -> None:
    """An I frame of an open GOP is one, and an IDR frame in any case."""
    keys = KeyFrameChecker(b"")
    assert keys.check(annexb(RECOVERS_AT_ONCE, SLICE)) is None
    assert keys.check(annexb(RECOVERS_AFTER_14, IDR)) is None
    for _ in range(2):
        assert keys.check(annexb(RECOVERS_AFTER_14, SLICE)) == "no_beginning"
        assert keys.check(annexb(IDR)) is None
    found = [keys.check(annexb(RECOVERS_AFTER_14, SLICE)) for _ in range(2)]
    assert found == ["no_beginning", "intra_refresh"]


def test_a_key_frame_gets_the_parameter_sets_that_it_lacks() -> None:
    """Those that were in band last, where the stream's own are others: they may have been sent once only."""
    bare = Packet(0, 0, 1, key=True, size=7, data=annexb(IDR))
    keys = KeyFrameChecker(annexb(SPS, PPS))
    assert keys.complete(bare) is bare
    keys.check(annexb(SPS, PPS, IDR))
    assert keys.complete(bare) is bare
    keys.check(annexb(SPS, b"\x68\xcf", IDR))
    completed = keys.complete(bare)
    assert read_head(completed.data, 0).sets == (SPS, b"\x68\xcf")
    assert completed.size == len(completed.data)
    assert keys.complete(completed) is completed


def test_parameter_sets_that_take_turns_are_copied() -> None:
    """Every frame decodes: of the whole recording, and of one that begins at any of its key frames."""
    whole = captured(unusual_clips.taking_turns())
    assert whole.opened
    assert whole.opened.video_copied
    assert whole.counts.repairs == {}
    assert numbers(media(list(whole.chunks(whole.record(), source_ended=True)))) == list(range(unusual_clips.FRAMES))
    alone = whole.chunks(whole.record("standalone", chunk_s=1.0), source_ended=True)
    assert [numbers(payload)[0] for _, payload in alone] == list(range(0, unusual_clips.FRAMES, unusual_clips.FPS))


@pytest.mark.parametrize("path", [unusual_clips.open_gops, unusual_clips.plain_i_frames])
def test_i_frames_are_copied(path: Callable[[], Path]) -> None:
    """Who begins at any of them sees its first frame, be it no IDR frame, and marked or not."""
    whole = captured(path())
    assert whole.opened
    assert whole.opened.video_copied
    alone = list(whole.chunks(whole.record("standalone", chunk_s=1.0), source_ended=True))
    begins = [numbers(payload)[0] for _, payload in alone]
    assert begins == list(range(begins[0] or 0, unusual_clips.FRAMES, unusual_clips.FPS))
    assert len(begins) >= unusual_clips.SECONDS - 1
