"""A capture process that works gives every frame, in its time, to each of its recordings."""

from itertools import pairwise

import pytest
import trio
import trio.testing

from capture.material import SMALL, Failing, a_command, numbers
from capture.workers import ENOUGH_S, MOUNT, PATIENT, film, is_gone, pull, working
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime.clock import BoxClock
from support.clips import Clip, packet_times
from support.rtsp import rtsp_server

RARE = Clip(size=(192, 108), fps=15, gop=150, seconds=40, audio=None)


def is_copied(worker: CaptureProcess) -> bool:
    return worker.opened is not None and worker.opened.video_copied


def assert_runs_on(seen: list[int | None], length: int) -> None:
    """Numbers that follow each other, the first after the last."""
    assert None not in seen
    assert all(after == ((before or 0) + 1) % length for before, after in pairwise(seen))


async def test_a_file_loops_without_a_seam() -> None:
    """The frames run on over the loop, in video and audio, at their own pace; the process is gone afterwards."""
    clip = SMALL._replace(seconds=2, audio_rate=48_000)
    async with working(a_command(clip.path())) as worker:
        process = worker._process.pid
        chunks = await pull(worker.record("continuous", 2.0, 0.0), 3)
    seen = numbers(film(chunks))
    assert len(seen) >= 75
    assert seen[0] == 0
    assert_runs_on(seen, clip.frames)
    shown = [begin for begin, _ in packet_times(film(chunks), "video")]
    assert [after - before for before, after in pairwise(shown)] == pytest.approx(
        [1 / 15] * (len(shown) - 1), abs=0.002
    )
    sounds = packet_times(film(chunks))
    assert all(-0.001 < after[0] - sum(before) < 0.045 for before, after in pairwise(sounds))
    assert is_gone(process)


async def test_chunks_say_when_they_were() -> None:
    """Chunks follow each other in time without a gap, and their UTC is the time at which the frames were captured."""
    async with rtsp_server(MOUNT) as server, working(a_command(server.url("/cam"))) as worker:
        recording = worker.record("continuous", 1.0, 0.0)
        chunks = await pull(recording, 2)
        captured = server.captured_at("/cam", 0)
    first, second = chunks
    assert numbers(first.payload)[0] == 0
    clock = BoxClock()
    assert clock.utc(clock.since_boot(first.captured_from)).timestamp() == pytest.approx(captured, abs=0.1)
    assert first.media_start == 0.0
    assert second.media_start == pytest.approx(first.media_end)
    assert second.captured_from - first.captured_from == pytest.approx(second.media_start, abs=0.001)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_every_frame_of_an_rtsp_camera_arrives(transport: str) -> None:
    """From the first, which FFmpeg gives without any time, on; and the right time between any two."""
    async with rtsp_server(MOUNT) as server, working(a_command(server.url("/cam"), transport=transport)) as worker:
        chunks = await pull(worker.record("continuous", 1.0, 0.0), 3)
    seen = numbers(film(chunks))
    assert seen == list(range(len(seen)))
    shown = [begin for begin, _ in packet_times(film(chunks), "video")]
    assert [after - before for before, after in pairwise(shown)] == pytest.approx(
        [1 / 15] * (len(shown) - 1), abs=0.002
    )


async def test_b_frames_of_an_rtsp_camera_are_shown_in_order() -> None:
    """Though FFmpeg does not tell the DTS of the first ones."""
    mounts = {"/cam": SMALL._replace(b_frames=2)}
    async with rtsp_server(mounts) as server, working(a_command(server.url("/cam"))) as worker:
        chunks = await pull(worker.record("continuous", 1.0, 0.0), 3)
    seen = numbers(film(chunks))
    assert seen == list(range(len(seen)))
    shown = sorted(begin for begin, _ in packet_times(film(chunks), "video"))
    assert [after - before for before, after in pairwise(shown[1:])] == pytest.approx(
        [1 / 15] * (len(shown) - 2), abs=0.002
    )


async def test_the_test_picture() -> None:
    """`test:` is a camera: video and a tone, both encoded, and a sentence about it."""
    async with working(a_command(size=(320, 180))) as worker:
        assert worker.opened
        assert worker.opened.description == (
            "raw video 320x180 (encoded as h264 320x180), pcm_s16le 48000 Hz (encoded as aac)"
        )
        chunk = await worker.record("standalone", 1.0, None).next_chunk()
        assert len(numbers(chunk.payload)) >= 14


async def test_a_camera_that_restarts() -> None:
    """The worker says that its source ended, what the ring held can be pulled, and the next worker opens it again."""
    async with rtsp_server(MOUNT) as server:
        async with working(a_command(server.url("/cam"))) as worker:
            recording = worker.record("continuous", 1.0, 0.0)
            before = await pull(recording, 2)
            await server.stop()
            await worker.ended.wait()
            assert worker.outage
            assert worker.outage.reason in {Reason.SOURCE_ENDED, Reason.UNREACHABLE}
            while not before[-1].last:
                before.append(await recording.next_chunk())
        seen = numbers(film(before))
        assert seen == list(range(len(seen)))
        assert len(seen) >= 30
        await server.start()
        async with working(a_command(server.url("/cam"))) as worker:
            assert numbers((await worker.record("continuous", 1.0, 0.0).next_chunk()).payload)[0] == 0


async def test_a_file_that_ends() -> None:
    """Played once it ends as a source does; what was not pulled yet can still be, to its last frame."""
    clip = SMALL._replace(seconds=2)
    async with working(a_command(clip.path(), loop=False)) as worker:
        await worker.ended.wait()
        assert worker.outage
        assert (type(worker.outage), worker.outage.reason) == (Outage, Reason.SOURCE_ENDED)
        recording = worker.record("continuous", 1.0, 0.0)
        chunks = [await recording.next_chunk()]
        while not chunks[-1].last:
            chunks.append(await recording.next_chunk())
        assert numbers(film(chunks)) == list(range(30))
        assert worker.recordings == {}


async def test_a_source_that_cannot_be_opened() -> None:
    """Why is reported by whoever waits for it to open; a person must act where it is refused."""
    sound = a_command(SMALL._replace(video=None).path())
    with trio.fail_after(ENOUGH_S):
        async with Failing() as outages, start_worker(sound, PATIENT) as worker:
            await worker.wait_open()
    assert [(type(outage), outage.reason) for outage in outages] == [(Refused, Reason.NO_VIDEO)]


async def test_rare_key_frames_are_encoded_while_it_runs() -> None:
    """The recording under way ends with the copied take; the next one is of the encoded one, and it is said."""
    async with working(a_command(RARE.path())) as worker:
        assert is_copied(worker)
        recording = worker.record("continuous", 1.0, 0.0)
        while not (await recording.next_chunk()).last:
            pass
        chunk, _ = await pull(worker.record("continuous", 1.0, None), 2)  # a second of chunks: a pulse came as well
        assert not is_copied(worker)
        assert worker.stalls.heartbeat
        assert worker.stalls.heartbeat.repairs["rare_key_frames"] == 1
        assert 14 <= len(numbers(chunk.payload)) <= 31


async def test_two_recordings_of_one_worker() -> None:
    """Each has its own cursor; one that is dropped does not disturb the other, and one that is finished ends."""
    async with working(a_command(SMALL.path())) as worker:
        first, second = worker.record("continuous", 1.0, 0.0), worker.record("standalone", 1.0, 0.0)
        one, two = await first.next_chunk(), await second.next_chunk()
        assert numbers(one.payload) == numbers(two.payload)
        first.drop()
        first.drop()
        second.finish()
        last = await second.next_chunk()
        assert last.last
        assert worker.recordings == {}


async def test_a_pull_that_was_given_up_costs_nothing() -> None:
    """The chunk that it would have got is the next one's."""
    async with working(a_command(SMALL.path())) as worker:
        recording = worker.record("continuous", 1.0, 0.0)
        with trio.move_on_after(0.05):
            await recording.next_chunk()
        chunks = await pull(recording, 2)
    assert numbers(film(chunks))[:2] == [0, 1]
