"""Whatever a broken worker sends is refused as rubbish, or can be published: never a bug of the daemon."""

import json
import struct
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cameras.helpers import RecordingPublisher
from interhuman2mqtt.cameras.gaps import GapTracker
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.cameras.worker import CaptureProcess, WorkerListener
from interhuman2mqtt.capture import framing
from interhuman2mqtt.capture.framing import frames
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime.clock import BoxClock

CLOCK = BoxClock()
FIELDS = {
    "opened": ["description", "video", "audio", "video_copied", "audio_copied"],
    "failed": ["reason", "detail", "refused"],
    "pulse": ["video_packets", "audio_packets", "audio_expected", "ring_s", "ring_bytes", "repairs"],
    "chunk": ["recording", "index", "start_s", "end_s", "anchor_s", "media_s", "lost", "last"],
}
texts = st.text() | st.sampled_from(list(Reason))
floats = st.floats() | st.sampled_from([0.0, 1e308, -1e308, 1e9, 5e-324])
integers = st.integers(-5, 5) | st.integers()
spans = st.lists(st.lists(floats, min_size=2, max_size=2), max_size=3)
values = st.none() | st.booleans() | integers | floats | texts | spans | st.dictionaries(texts, integers, max_size=3)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "description": texts,
    "detail": texts,
    "video": texts,
    "audio": st.none() | texts,
    "reason": st.sampled_from(list(Reason)),
    "recording": st.integers(0, 3),
    "index": st.integers(-2, 3),
    "lost": spans,
    "repairs": st.dictionaries(texts, integers, max_size=3),
} | {name: st.booleans() for name in ("video_copied", "audio_copied", "refused", "audio_expected", "last")}


def a_header(kind: str) -> st.SearchStrategy[bytes]:
    """A frame's header that is right but for its values, or wrong in any field."""
    likely = {name: LIKELY.get(name, floats if name.endswith("_s") else integers) for name in FIELDS[kind]}
    right = st.fixed_dictionaries({"type": st.just(kind), **likely})
    wrong = st.fixed_dictionaries({"type": st.just(kind)}, optional=dict.fromkeys(FIELDS[kind], values))
    return (right | wrong).map(lambda found: json.dumps(found).encode())


headers = st.sampled_from(list(FIELDS)).flatmap(a_header) | st.binary(max_size=100)


def a_worker(published: RecordingPublisher) -> CaptureProcess:
    """The daemon's side, without a process."""
    status = StatusTracker("front", published, GapTracker(CLOCK, 0.0), CLOCK)
    listener = cast("WorkerListener", SimpleNamespace(opened=status.set_source, heartbeat=lambda _before, _now: None))
    made = CaptureProcess(cast("trio.Process", SimpleNamespace()), 20.0, listener)
    made.record("continuous", 1.0, None)
    return made


@given(st.lists(headers, max_size=8), st.binary(max_size=10))
def test_no_frame_is_a_bug(found: list[bytes], payload: bytes) -> None:
    """Each is no frame, or makes statuses, outages and chunks that MQTT and the cloud can be given."""

    async def take() -> None:
        await trio.lowlevel.checkpoint()  # trio's clock runs only in trio
        published = RecordingPublisher()
        taken = a_worker(published)
        recording = taken.recordings[1]
        for header in found:
            try:
                taken.handle(framing.unpack_frame(header), payload)
                taken.stalls.judge(Timeouts())
            except framing.IpcError as error:
                str(error).encode()
            except Outage as outage:
                msgspec.json.encode(outage.detail)
        status = StatusTracker("front", published, GapTracker(CLOCK, 0.0), CLOCK)
        if taken.outage:
            status.set_capture_failed(taken.outage, 1)
        msgspec.json.encode(published.statuses)
        for chunk in recording._chunks:
            assert chunk.media_end >= chunk.media_start
            msgspec.json.encode(CLOCK.utc(CLOCK.since_boot(chunk.captured_from)))

    trio.run(take)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.binary(max_size=30)), max_size=5), st.data())
def test_frames_come_in_any_pieces(sent: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """However the pipe cuts them, the frames are those that were sent, and nothing is left."""
    stream = b"".join(framing.PREFIX.pack(len(header), len(payload)) + header + payload for header, payload in sent)
    buffer, got = bytearray(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        got += list(frames(buffer))
    assert got == sent
    assert not buffer


@given(st.binary(max_size=300))
def test_rubbish_instead_of_frames(rubbish: bytes) -> None:
    """Lengths that cannot be are refused before anything of the length is waited for."""
    try:
        for header, _ in frames(bytearray(rubbish)):
            framing.unpack_frame(header)
    except framing.IpcError:
        return
    if len(rubbish) >= framing.PREFIX.size:
        header, payload = struct.unpack(">II", rubbish[: framing.PREFIX.size])
        assert header <= framing.HEADER_MAX
        assert payload <= framing.PAYLOAD_MAX


@pytest.mark.parametrize(
    "header",
    [
        b'{"type":"pulse","x":' + b"[" * 60_000,
        b'{"type":"opened","description":"\xed\xa0\x80"}',
        b'{"type":"chunk","recording":1,"index":0,"start_s":0,"end_s":1e300,"anchor_s":0,"media_s":0}',
        b'{"type":"chunk","recording":1,"index":0,"start_s":2,"end_s":1,"anchor_s":0,"media_s":0}',
        b'{"type":"chunk","recording":1,"index":0,"start_s":1,"end_s":2,"anchor_s":0,"media_s":0,"lost":[[9,3]]}',
        b'{"type":"chunk","recording":1,"index":0,"start_s":NaN,"end_s":2,"anchor_s":0,"media_s":0}',
    ],
    ids=["deep", "surrogate", "beyond-the-calendar", "backwards", "lost-backwards", "nan"],
)
def test_what_is_refused(header: bytes) -> None:
    """Depth, text, times and ranges that would fail somewhere behind the pipe fail at the pipe."""
    with pytest.raises(framing.IpcError):
        framing.unpack_frame(header)
