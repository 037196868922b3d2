"""How long it takes: from the camera to the cloud, and from the start of the daemon to the first chunk."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trio

from bench.figures import Figure, percentile
from bench.scene import FRAGMENTS, Cloud, configuration, daemon, pouring, quiet_broker
from support.clips import FULL_HD, frame_numbers
from support.processes import running
from support.rtsp import FULL_HD_MOUNT, RtspServer, rtsp_server

CHUNK_S = 2.0
SUBSCRIBER = (sys.executable, "-m", "bench.subscriber")


class Piece(NamedTuple):
    """A fragment that was complete at a time."""

    at: float
    frames: int
    """Of it and of all before it."""


async def capture_to_sent(folder: Path, seconds: float) -> list[Figure]:
    """From the moment at which the camera gave the picture after a piece to the moment when the piece was there."""
    async with (
        rtsp_server(FULL_HD_MOUNT) as camera,
        quiet_broker(folder) as broker,
        pouring(folder, "--save", str(folder), tls=True) as cloud,
    ):
        source = camera.url("/full-hd")
        config = configuration(folder, cloud, broker, {"hall": {"source": source}})
        async with daemon(folder, config):
            await cloud.wait_chunks(lambda chunks: len(chunks) >= 1)
            ours_media = newest_media(camera)
            written: list[tuple[float, bytes]] = []
            with trio.move_on_after(seconds):
                await _fragments(source, written)
            theirs_media = newest_media(camera)
            mine = delays(camera, pieces_of_chunks(folder, cloud), ours_media)
            theirs = delays(camera, _pieces(written), theirs_media)
    ninety_nine = (1000 * percentile(mine, 0.99),)
    peer = (1000 * percentile(theirs, 0.99),)
    what = "capture to sent, beyond the chunk's own length, 99th percentile"
    return [Figure(what, "ms", ninety_nine, "FFmpeg writing its fragment", peer, 50, by_difference=True)]


def pieces_of_chunks(folder: Path, cloud: Cloud) -> list[Piece]:
    """What a cloud that saves has got of the full HD clip, but for the first chunk."""
    chunks = cloud.chunks()
    film = folder / f"{chunks[0]['session']}.mp4"
    first = next(number for _, number in frame_numbers(film) if number is not None)
    per_chunk = round(CHUNK_S * FULL_HD.fps)
    return [Piece(chunk["at"], first + per_chunk * (n + 1)) for n, chunk in enumerate(chunks)][1:]


async def _fragments(source: str, written: list[tuple[float, bytes]]) -> None:
    """What FFmpeg writes, and when."""
    command = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", source, "-c", "copy"]
    command += [*FRAGMENTS, "-flush_packets", "1", "pipe:1"]
    process = await trio.lowlevel.open_process(command, stdout=-1)
    assert process.stdout
    try:
        async for data in process.stdout:
            written.append((time.time(), bytes(data)))  # noqa: PERF401 - it is read while it grows
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _pieces(written: Sequence[tuple[float, bytes]]) -> list[Piece]:
    """The fragments of a whole film, each when its last byte was there; every one is a GOP from frame 0 on."""
    ends, total = [], 0
    for at, data in written:
        total += len(data)
        ends.append((total, at))
    film = b"".join(data for _, data in written)
    pieces: list[Piece] = []
    offset = 0
    while offset + 8 <= len(film):
        size, kind = int.from_bytes(film[offset : offset + 4], "big"), film[offset + 4 : offset + 8]
        offset += size
        if kind == b"mdat" and offset <= len(film):
            at = next(when for reached, when in ends if reached >= offset)
            pieces.append(Piece(at, FULL_HD.gop * (len(pieces) + 1)))
    return pieces[1:]


def newest_media(camera: RtspServer) -> int:
    return max(int(line["media"]) for line in camera.sent if line["event"] == "frame")


def delays(camera: RtspServer, pieces: Sequence[Piece], media: int) -> list[float]:
    """How much later each was there than the camera gave the next picture, which ends it."""
    given = {line["frame"]: line["at"] for line in camera.sent if line["event"] == "frame" and line["media"] == media}
    return [piece.at - given[piece.frames] for piece in pieces if piece.frames in given]


async def starting(folder: Path, runs: int) -> list[Figure]:
    """From the start of `run` to the first chunk at the cloud, and to the first event at a subscriber."""
    sent, opened, received = [], [], []
    async with rtsp_server(FULL_HD_MOUNT, log_every=1_000_000) as camera, quiet_broker(folder) as broker:
        source = camera.url("/full-hd")
        for run in range(runs):
            here = folder / f"start-{run}"
            here.mkdir()
            async with pouring(here, "--events", "1", tls=True) as cloud:
                config = configuration(here, cloud, broker, {"hall": {"source": source}})
                listen = [*SUBSCRIBER, str(broker.port), "interhuman/bench/+/event/signal.detected", "1"]
                async with running(listen) as subscriber:
                    await subscriber.wait_line(lambda line: line == "subscribed")
                    began = time.time()
                    async with daemon(here, config):
                        chunks = await cloud.wait_chunks(lambda chunks: len(chunks) >= 1)
                        await subscriber.wait_line(lambda line: line == "first")
                        received.append(time.time() - began - CHUNK_S)
                    sent.append(chunks[0]["at"] - began - CHUNK_S)
            opened.append(await _opening(source))
    what = "start of `run` to the first {}, beyond the chunk's own length"
    peer = "FFmpeg opening the same source"
    return [
        Figure(what.format("chunk sent"), "s", tuple(sent), peer, tuple(opened), 1.0, by_difference=True),
        Figure(what.format("event"), "s", tuple(received), peer, tuple(opened), 1.0, by_difference=True),
    ]


async def _opening(source: str) -> float:
    command = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", source]
    began = time.time()
    await trio.run_process([*command, "-frames:v", "1", "-c", "copy", "-f", "null", "-"])
    return time.time() - began
