"""The scripted camera says and sends what the script says, and FFmpeg takes it for a camera."""

import time
from itertools import pairwise

import av
import pytest
import trio
from av.error import FFmpegError

from support.clips import Clip, frame_number
from support.processes import PATIENCE_S
from support.scripted_camera import Answer, Login, Request, ScriptedCamera, scripted_camera
from support.scripted_tracks import honest, pausing, sound, video

CLIP = Clip(size=(160, 96), seconds=8)
G711 = CLIP._replace(audio="pcm_alaw")
Came = tuple[str, float, float]
"""Kind of track, PTS in seconds, time.monotonic()."""


def read(url: str, seconds: float) -> list[Came]:
    """The packets of a stream, from its first one on."""
    came: list[Came] = []
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=10) as camera:
        for packet in camera.demux():
            came.append((packet.stream.type, float((packet.pts or 0) * packet.time_base), time.monotonic()))
            if came[-1][2] - came[0][2] > seconds:
                return came
    return came


async def came(camera: ScriptedCamera, seconds: float, user: str = "") -> list[Came]:
    return await trio.to_thread.run_sync(read, camera.url().replace("//", f"//{user}"), seconds)


def times(of: list[Came], kind: str) -> list[float]:
    return [pts for track, pts, _ in of if track == kind]


@pytest.mark.parametrize("clip", [CLIP, G711, CLIP._replace(b_frames=2)])
async def test_an_honest_camera(clip: Clip) -> None:
    """FFmpeg decodes each picture of it, in order, beside its audio."""

    def watch(url: str) -> tuple[list[int | None], list[str]]:
        numbers: list[int | None] = []
        kinds: list[str] = []
        with av.open(url, options={"rtsp_transport": "tcp"}, timeout=10) as camera:
            for packet in camera.demux():
                kinds.append(packet.stream.type)
                numbers += [frame_number(frame) for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
                if len(numbers) >= 20:
                    return numbers, kinds
        return numbers, kinds

    async with scripted_camera(video(clip), sound(clip)) as camera:
        numbers, kinds = await trio.to_thread.run_sync(watch, camera.url())
    assert numbers[:20] == list(range(20))
    assert set(kinds) == {"video", "audio"}
    assert camera.methods()[:5] == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"]


async def test_a_clock_at_another_rate() -> None:
    """The stamps say what `stamp` says, whatever the time of sending."""
    fast = video(CLIP, fps=30)._replace(stamp=lambda seconds: seconds * 2, reports=None)
    async with scripted_camera(fast) as camera:
        pts = times(await came(camera, 1.0), "video")
    assert [after - before for before, after in pairwise(pts[2:20])] == pytest.approx([2 / 30] * 17, abs=0.001)


async def test_a_track_that_pauses() -> None:
    """Nothing comes for as long, and the clock runs on."""
    track = sound(G711)._replace(sent=pausing(0.5, 1.5))
    async with scripted_camera(video(G711), track) as camera:
        pts = times(await came(camera, 2.0), "audio")
    assert max(after - before for before, after in pairwise(pts)) == pytest.approx(1.02, abs=0.001)


async def test_a_burst() -> None:
    """What was captured in the first second comes at once."""
    held = video(CLIP)._replace(sent=lambda seconds: max(seconds, 1.0))
    async with scripted_camera(held) as camera:
        packets = await came(camera, 1.0)
    first = [at for _, _, at in packets[:14]]
    assert first[-1] - first[0] < 0.3
    assert honest(1.0) == 1.0


async def test_answers_of_the_script() -> None:
    """A status instead of what is usual; what was asked is reported, and who has left."""

    def refuse(request: Request) -> Answer | None:
        return Answer("453 Not Enough Bandwidth") if request.method == "SETUP" else None

    async with scripted_camera(video(CLIP), answer=refuse) as camera:
        with pytest.raises(FFmpegError):
            await came(camera, 1.0)
        assert camera.methods()[:3] == ["OPTIONS", "DESCRIBE", "SETUP"]
        with trio.fail_after(PATIENCE_S):
            await camera.has_left(1)


async def test_a_redirect_and_an_answer_that_takes_long() -> None:
    """One camera sends the client to another one, which takes its time."""

    def slow(request: Request) -> Answer | None:
        return Answer(delay=0.5) if request.method == "DESCRIBE" else None

    async with scripted_camera(video(CLIP), answer=slow) as there:

        def redirect(request: Request) -> Answer | None:
            moved = Answer("302 Moved Temporarily", {"Location": there.url("/there")})
            return moved if request.method == "DESCRIBE" else None

        async with scripted_camera(answer=redirect) as camera:
            asked = time.monotonic()
            assert await came(camera, 0.2)
    assert there.plays[0] - asked > 0.5
    assert there.requests[0].url == there.url("/there")


@pytest.mark.parametrize("scheme", ["Basic", "MD5"])
async def test_a_password(scheme: str) -> None:
    """Who has it watches, nobody else does."""
    async with scripted_camera(video(CLIP), login=Login("viewer", "secret", (scheme,))) as camera:
        with pytest.raises(FFmpegError, match="401"):
            await came(camera, 0.2, "viewer:wrong@")
        assert await came(camera, 0.2, "viewer:secret@")
