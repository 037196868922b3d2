"""A browser as a source: what its recorder sends is captured whole, and what is no recorder's harms nothing."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import av
import pytest
import trio

from capture.material import SMALL, a_command, crafted, numbers
from capture.workers import PATIENT, film, pull
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.capture.device import open_source
from interhuman2mqtt.errors import Outage, Reason, Refused
from support.clips import Clip
from support.processes import PATIENCE_S

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
RARE = SMALL._replace(gop=90, seconds=16, audio=None)


def as_mp4(path: Path) -> None:
    """A fragmented MP4 with H.264, as a recorder of Safari or Chromium writes it."""
    _remuxed(path, FRAGMENTED)


def as_webm(path: Path) -> None:
    """A live WebM (here Matroska) with H.264, as a recorder of Chromium writes it."""
    _remuxed(path, {"live": "1"})


def audio_alone(path: Path) -> None:
    """A recorder without video."""
    with av.open(SMALL.path()) as source, av.open(path, "w", format="mp4", options=FRAGMENTED) as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)


def rare_key_frames(path: Path) -> None:
    """A key frame every six seconds, as of a browser that cannot be asked for more."""
    _remuxed(path, FRAGMENTED, RARE)


def _remuxed(path: Path, options: dict[str, str], clip: Clip = SMALL) -> None:
    form = "mp4" if "movflags" in options else "matroska"
    with av.open(clip.path()) as source, av.open(path, "w", format=form, options=options) as target:
        streams = [target.add_stream_from_template(source.streams.video[0])]
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = streams[0]
                target.mux(packet)


@asynccontextmanager
async def recording_browser(**changes: Any) -> AsyncIterator[tuple[CaptureProcess, trio.SocketStream]]:
    """A worker with a connection, and the page's end of it."""
    ours, theirs = socket.socketpair()
    with theirs, trio.fail_after(PATIENCE_S):
        command = a_command("browser:", connection=theirs.fileno(), audio="none", **changes)
        async with start_worker(command, PATIENT) as worker:
            theirs.close()
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as page:
                yield worker, page


@pytest.mark.parametrize("make", [as_mp4, as_webm])
async def test_what_a_recorder_sends_is_captured_whole(make: Callable[[Path], None]) -> None:
    """Every frame, copied, in pieces that end anywhere; its end is the source's end."""
    content = crafted(make, ".media").read_bytes()
    async with recording_browser() as (worker, page):
        for at in range(0, len(content), 10_007):
            await page.send_all(content[at : at + 10_007])
        await worker.wait_open()
        assert worker.opened is not None
        assert worker.opened.video_copied
        await page.aclose()
        chunks = await pull(worker.record("continuous", 2.0, 0.0), 4)
        await worker.ended.wait()
        assert worker.outage is not None
        assert worker.outage.reason is Reason.SOURCE_ENDED
    assert numbers(film(chunks)) == list(range(SMALL.frames))


async def test_a_recorder_that_must_be_encoded_begins_anew() -> None:
    """What cannot be copied, and not be opened again, ends with the word that the next recorder is to be encoded."""
    async with recording_browser() as (worker, page):
        with suppress(trio.BrokenResourceError):
            await page.send_all(crafted(rare_key_frames, ".mp4").read_bytes())
        await worker.ended.wait()
        assert worker.outage is not None
        assert (worker.outage.reason, worker.must_encode) == (Reason.SOURCE_ENDED, True)


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 100,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /x\n",
        b"",
    ],
    ids=["text", "hls", "concat", "nothing"],
)
async def test_what_is_no_recorders_opens_nothing(content: bytes) -> None:
    """Text, and lists by which FFmpeg would open files or addresses, are refused; the process ends by it alone."""
    async with recording_browser() as (worker, page):
        await page.send_all(content)
        await page.aclose()
        with pytest.raises(Outage) as caught:
            await worker.wait_open()
    assert caught.value.reason in {Reason.INVALID_MEDIA, Reason.SOURCE_ENDED}


def test_a_browser_is_a_camera_of_the_service_alone() -> None:
    """Whoever opens it without the service's connection is told what it is."""
    with pytest.raises(Refused, match="of the running service alone") as caught:
        open_source(a_command("browser:"))
    assert caught.value.reason is Reason.NO_BROWSER
