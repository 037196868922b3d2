"""The peer: what one would write today in an afternoon, with asyncio, PyAV, websockets and aiomqtt.

    python -m bench.naive RTSP_URL WS_URL CA_FILE BROKER_PORT

It decodes the camera, scales it to 640x360 at 15 frames a second, encodes VP8 and Opus into WebM, sends it in pieces of
two seconds, and publishes what comes back.
"""

import asyncio
import io
import ssl
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction

import aiomqtt
import av
import websockets

CHUNK_S = 2.0
FPS = 15


class Pipe(io.RawIOBase):
    """What the muxer wrote since it was emptied last."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Keep it."""
        self.parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All of it."""
        parts, self.parts = self.parts, []
        return b"".join(parts)


def pieces(url: str) -> Iterator[bytes]:
    """The camera as pieces of one WebM."""
    source = av.open(url, options={"rtsp_transport": "tcp"})
    pipe = Pipe()
    film = av.open(pipe, "w", format="webm", options={"live": "1"})
    video = film.add_stream("libvpx", rate=FPS, options={"deadline": "realtime", "cpu-used": "8"})
    video.width, video.height, video.pix_fmt, video.bit_rate = 640, 360, "yuv420p", 1_000_000
    sound = film.add_stream("libopus", rate=48_000)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000, frame_size=960)
    shown = sent = 0.0
    for frame in source.decode(source.streams.video[0], source.streams.audio[0]):
        if isinstance(frame, av.VideoFrame):
            seconds = frame.time or 0.0  # PyAV's types do not know that it may be None
            if seconds < shown:
                continue
            shown = seconds + 1 / FPS - 0.001
            picture = frame.reformat(640, 360, "yuv420p")
            picture.pts, picture.time_base = round(seconds * 1000), Fraction(1, 1000)
            film.mux(video.encode(picture))
            if seconds - sent >= CHUNK_S:
                sent = seconds
                yield pipe.take()
        elif isinstance(frame, av.AudioFrame):
            for samples in resampler.resample(frame):
                film.mux(sound.encode(samples))


async def main(source: str, url: str, ca_file: str, port: int) -> None:
    """One camera, one session, one broker."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def capture() -> None:
        for piece in pieces(source):
            loop.call_soon_threadsafe(queue.put_nowait, piece)

    context = ssl.create_default_context(cafile=ca_file)
    async with (
        websockets.connect(url, ssl=context, max_size=None) as websocket,
        aiomqtt.Client("127.0.0.1", port) as mqtt,
    ):

        async def publish() -> None:
            async for text in websocket:
                await mqtt.publish("naive/event", text, qos=1)

        threading.Thread(target=capture, daemon=True).start()
        events = asyncio.create_task(publish())
        while not events.done():
            await websocket.send(await queue.get())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
