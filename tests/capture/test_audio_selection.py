"""Of several audio tracks the one that carries audio is taken, and a codec that nobody knows costs its track only."""

from collections.abc import Sequence

import pytest
import trio

from capture.material import a_command, numbers
from capture.test_device import outage
from capture.workers import film, pull, working
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.audio_selection import SdpTrack, parse_sdp
from interhuman2mqtt.capture.ffmpeg_log import LogLine
from interhuman2mqtt.errors import Reason, Refused
from support.clips import Clip
from support.scripted_camera import scripted_camera
from support.scripted_tracks import Track, pausing, sound, video

CLIP = Clip(size=(160, 96), seconds=8)
VIDEO, AAC = video(CLIP), sound(CLIP)
G711 = sound(CLIP._replace(audio="pcm_alaw"))
NEVER = pausing(0.0, 1e9)
DEAD = AAC._replace(sent=NEVER, payload_type=98)
BACK = G711._replace(sent=NEVER, payload_type=99, attributes=("sendonly",))
QUIET = G711._replace(payload_type=100, units=tuple(unit._replace(payloads=(b"\xd5" * 160,)) for unit in G711.units))
VENDOR = G711._replace(rtpmap="X-VENDOR/8000", payload_type=101)
EVENTS = G711._replace(rtpmap="telephone-event/8000", payload_type=102)
LATER = G711._replace(payload_type=103)
WHOLE = "h264 160x96 (copied), "
CASES: dict[str, tuple[Sequence[Track], str, str]] = {
    "one": ((AAC,), "auto", "aac 48000 Hz (copied)"),
    "back channel first": ((BACK, AAC), "auto", "aac 48000 Hz, track 2 of 2 (copied)"),
    "back channel alone": ((BACK,), "auto", "silence (the camera's only audio is a back channel, to its loudspeaker)"),
    "dead jack": ((DEAD, LATER), "auto", "pcm_alaw 8000 Hz, track 2 of 2 (encoded as aac)"),
    "silent jack": ((QUIET, LATER), "auto", "pcm_alaw 8000 Hz, track 2 of 2 (encoded as aac)"),
    "both alive": ((AAC, LATER), "auto", "aac 48000 Hz, track 1 of 2 (copied)"),
    "vendor": ((VENDOR,), "auto", "silence (the camera's audio is X-VENDOR, which FFmpeg cannot decode)"),
    "vendor first": ((VENDOR, AAC), "auto", "aac 48000 Hz, track 2 of 2 (copied)"),
    "events": ((EVENTS,), "auto", "silence (the camera's audio is telephone-event, which FFmpeg cannot decode)"),
    "vendor, none": ((VENDOR,), "none", "no audio track"),
    "vendor, silence": ((VENDOR,), "silence", "silence"),
}


async def opened(tracks: Sequence[Track], audio: str) -> tuple[ipc.Opened, list[int | None]]:
    """What a camera turns out to be, and the frames that come from it."""
    async with scripted_camera(VIDEO, *tracks) as camera, working(a_command(camera.url(), audio=audio)) as worker:
        media = film(await pull(worker.record("continuous", 1.0, None), 2))
        assert worker.opened
        return worker.opened, numbers(media)


@pytest.mark.parametrize("third", [0, 1, 2])
async def test_which_sound_is_taken(third: int) -> None:
    """Never a back channel, not a dead jack where another is alive, and what nobody can decode is silence."""
    found: dict[str, tuple[ipc.Opened, list[int | None]]] = {}

    async def look(name: str, tracks: Sequence[Track], audio: str) -> None:
        found[name] = await opened(tracks, audio)

    cases = dict(list(CASES.items())[third::3])
    async with trio.open_nursery() as nursery:
        for name, (tracks, audio, _) in cases.items():
            nursery.start_soon(look, name, tracks, audio)
    assert {name: said.description for name, (said, _) in found.items()} == {
        name: WHOLE + said for name, (_, _, said) in cases.items()
    }
    assert all(len(shown) >= 15 and None not in shown for _, shown in found.values())


async def test_video_that_nobody_can_decode() -> None:
    """It is refused by its name, since no retry helps."""
    async with scripted_camera(VIDEO._replace(rtpmap="X-VIDEO/90000", attributes=()), AAC) as camera:
        found = await outage(a_command(camera.url()))
    assert (type(found), found.reason) == (Refused, Reason.UNSUPPORTED)
    assert found.detail.endswith("sends X-VIDEO, which FFmpeg cannot decode: set the camera to H.264")


SDP = """SDP:
v=0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
m=audio 0 RTP/AVP 0
a=control:track2
m=audio 0 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=sendonly

"""


def test_what_a_camera_announces() -> None:
    """Payload types without a name (RFC 3551), several in one section, and directions."""
    assert parse_sdp([LogLine(40, "tcp", "connected"), LogLine(40, "rtsp", SDP)]) == [
        SdpTrack("video", "H264", is_back_channel=False),
        SdpTrack("audio", "RTP payload type 0", is_back_channel=False),
        SdpTrack("audio", "PCMA", is_back_channel=True),
    ]
    assert parse_sdp([]) == []
