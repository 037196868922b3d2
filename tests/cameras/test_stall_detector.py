"""Progress is judged on our own clock, for each track by itself."""

import pytest
import trio
import trio.testing

from interhuman2mqtt.cameras.stall_detector import NOTICE_S, STALL_S, StallDetector, Timeouts
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Outage, Reason

SILENT_SOUND = ipc.WorkerHeartbeat(
    video_packets=0, audio_packets=0, audio_expected=True, ring_s=0, ring_bytes=0, repairs={}
)


async def test_stalls_is_judged_per_track(autojump_clock: trio.testing.MockClock) -> None:
    """A source that is open owes each of its tracks from then on; synthesized silence owes nothing."""
    stalls = StallDetector(20.0)
    await trio.sleep(100)
    stalls.judge(Timeouts(open=101))
    stalls.opened()
    stalls.observe(SILENT_SOUND)
    stalls.judge(Timeouts())
    await trio.sleep(4)
    stalls.observe(SILENT_SOUND)
    stalls.judge(Timeouts())
    await trio.sleep(4.5)
    stalls.observe(SILENT_SOUND)
    with pytest.raises(Outage, match="nothing for 8 s"):
        stalls.judge(Timeouts())


async def test_stalls_of_a_silence_of_our_own(autojump_clock: trio.testing.MockClock) -> None:
    """A picture that goes on is enough where no audio is expected."""
    stalls = StallDetector(20.0)
    stalls.opened()
    for second in range(20):
        await trio.sleep(1)
        stalls.observe(
            ipc.WorkerHeartbeat(
                video_packets=second, audio_packets=0, audio_expected=False, ring_s=0, ring_bytes=0, repairs={}
            )
        )
        stalls.judge(Timeouts())


def heartbeat(video: int, audio: int) -> ipc.WorkerHeartbeat:
    return ipc.WorkerHeartbeat(
        video_packets=video, audio_packets=audio, audio_expected=True, ring_s=0, ring_bytes=0, repairs={}
    )


@pytest.mark.parametrize("last", [(3, 4), (4, 3)], ids=["audio", "video"])
async def test_stalls_of_a_camera_that_freezes(autojump_clock: trio.testing.MockClock, last: tuple[int, int]) -> None:
    """Where both tracks end at once, that is what it says, also when the last of one came in a later heartbeat."""
    stalls = StallDetector(20.0)
    stalls.opened()
    with pytest.raises(Outage) as caught:  # noqa: PT012 - by one of the looks
        for video, audio in [(1, 1), (2, 2), (3, 3), *[last] * 10]:
            await trio.sleep(1)
            stalls.observe(heartbeat(video, audio))
            assert stalls.audio_missing(Timeouts()) is None
            stalls.judge(Timeouts())
    assert caught.value.reason is Reason.STALLED
    assert trio.current_time() <= 3 + STALL_S + NOTICE_S
