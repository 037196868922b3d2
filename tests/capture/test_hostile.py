"""What a server that means harm can do stays inside the worker: a reason is reported, and the process is gone."""

from pathlib import Path

import pytest
import trio

from capture.material import Failing, a_command
from capture.workers import is_gone
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.capture.__main__ import memory_max
from interhuman2mqtt.errors import Reason
from support.hostile import WAYS, Way, hostile

SHORT = Timeouts(open=4.0, stall=3.0, silence=5.0)
NOTICED_S = 30.0
BUFFER = {"buffer_s": 8.0, "buffer_max": 8 << 20}
"""What makes no GOP for so long is of no use."""
CODE_MAX = 128 << 20
"""Bytes of a worker that are no data."""
REASONS = {
    Reason.INVALID_MEDIA,
    Reason.UNREACHABLE,
    Reason.NOT_FOUND,
    Reason.CAMERA_PASSWORD,
    Reason.NO_VIDEO,
    Reason.OPEN_TIMEOUT,
    Reason.STALLED,
    Reason.VIDEO_STALLED,
    Reason.SOURCE_ENDED,
    Reason.UNSUPPORTED,
}
"""What is not the worker's fault."""


def peak_memory(worker: CaptureProcess) -> int:
    """Bytes that the process has held at most; 0 when it is a zombie."""
    status = Path(f"/proc/{worker._process.pid}/status").read_text()
    return sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_hostile_server(way: Way) -> None:
    """In whichever way: it is an outage of this camera with a reason, in time, and takes a bounded memory."""
    peak = 0

    async def watch(worker: CaptureProcess) -> None:
        nonlocal peak
        while True:
            peak = max(peak, peak_memory(worker))
            await trio.sleep(0.1)

    async with hostile(way) as port:
        command = a_command(f"rtsp://127.0.0.1:{port}/cam", username="viewer", password="p@ss", **BUFFER)
        with trio.fail_after(NOTICED_S):
            async with Failing() as outages, start_worker(command, SHORT) as worker, trio.open_nursery() as nursery:
                process = worker._process.pid
                nursery.start_soon(watch, worker)
                await worker.wait_open()
                await worker.ended.wait()
                assert worker.outage
                raise worker.outage
    assert {outage.reason for outage in outages} <= REASONS
    assert peak < memory_max(command) + CODE_MAX
    assert is_gone(process)
