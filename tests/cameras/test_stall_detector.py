"""Progress is judged on our own clock, for each track by itself."""

import pytest
import trio
import trio.testing

from interhuman2mqtt.cameras.stall_detector import StallDetector, Timeouts
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Outage

SILENT_SOUND = ipc.WorkerHeartbeat(
    video_packets=0, audio_packets=0, audio_expected=True, ring_s=0, ring_bytes=0, repairs={}
)


async def test_progress_is_judged_per_track(autojump_clock: trio.testing.MockClock) -> None:
    """A source that is open owes each of its tracks from then on; synthesized silence owes nothing."""
    progress = StallDetector(20.0)
    await trio.sleep(100)
    progress.judge(Timeouts(open=101))
    progress.opened()
    progress.observe(SILENT_SOUND)
    progress.judge(Timeouts())
    await trio.sleep(4)
    progress.observe(SILENT_SOUND)
    progress.judge(Timeouts())
    await trio.sleep(4.5)
    progress.observe(SILENT_SOUND)
    with pytest.raises(Outage, match="nothing for 8 s"):
        progress.judge(Timeouts())


async def test_progress_of_a_silence_of_our_own(autojump_clock: trio.testing.MockClock) -> None:
    """A picture that goes on is enough where no sound is expected."""
    progress = StallDetector(20.0)
    progress.opened()
    for second in range(20):
        await trio.sleep(1)
        progress.observe(
            ipc.WorkerHeartbeat(
                video_packets=second, audio_packets=0, audio_expected=False, ring_s=0, ring_bytes=0, repairs={}
            )
        )
        progress.judge(Timeouts())
