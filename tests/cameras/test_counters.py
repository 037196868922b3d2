"""The counters of a camera grow through all of its capture processes."""

from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.capture import ipc


def heartbeat(video: int, repairs: dict[str, int]) -> ipc.WorkerHeartbeat:
    return ipc.WorkerHeartbeat(
        video_packets=video, audio_packets=2 * video, audio_expected=True, ring_s=1.5, ring_bytes=9, repairs=repairs
    )


def test_heartbeats_add_up_over_processes() -> None:
    """Packets and repairs go on growing when another capture process begins at nought."""
    counters = Counters()
    counters.add_heartbeat(None, heartbeat(10, {"no_dts": 2}))
    counters.add_heartbeat(heartbeat(10, {"no_dts": 2}), heartbeat(15, {"no_dts": 2, "frozen": 1}))
    counters.add_heartbeat(None, heartbeat(3, {"frozen": 1}))
    assert (counters.video_packets, counters.audio_packets, counters.repairs) == (18, 36, 4)
    assert counters.repaired.counts == {"no_dts": 2, "frozen": 2}
    assert counters.as_dict()["ring_seconds"] == 1.5
    counters.end_capture()
    assert (counters.ring_seconds, counters.ring_bytes) == (0.0, 0)
