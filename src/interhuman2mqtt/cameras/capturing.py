"""A camera's first half: one capture process after another."""

import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.shared import Counters, Shared, capture_of
from interhuman2mqtt.cameras.standing import Standing
from interhuman2mqtt.cameras.worker import Worker, start_worker
from interhuman2mqtt.capture import wire
from interhuman2mqtt.config import secrets
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.supervise import Health

LAST_MEDIA_S = 5.0
"""How long what is left of a source that has ended may still be pulled."""


class Capturing:
    """Keeps a worker that a session can pull from."""

    def __init__(self, camera: config.Camera, shared: Shared, standing: Standing, counters: Counters) -> None:
        self.worker: Worker | None = None
        self._camera = camera
        self._shared = shared
        self._standing = standing
        self._counters = counters
        self._opened = trio.Event()
        self._pulled_out = trio.Event()

    async def run(self, health: Health) -> bool:
        """One worker, from its start until its source fails, which is raised."""
        if self._camera.schedule or self._camera.budget or self._shared.has_budget:
            # fail closed: who limits what may be seen must not be streamed beyond it
            raise Refused(Reason.UNSUPPORTED, "schedule and budget are not supported yet: without them it would stream")
        self._counters.captures += 1
        promise = self._shared.alive.of(capture_of(self._camera.id))
        async with start_worker(open_command(self._camera), self._shared.timeouts, promise) as worker:
            self._standing.captures(await worker.wait_open())
            health.well()
            self.worker, self._pulled_out = worker, trio.Event()
            self._opened.set()
            try:
                await worker.ended.wait()
                with trio.move_on_after(LAST_MEDIA_S):
                    await self._pulled_out.wait()
            finally:
                self._forget()
            raise worker.outage or Outage(Reason.SOURCE_ENDED, "the source ended")

    async def wait_worker(self) -> Worker:
        """The worker, as soon as its source is open."""
        while self.worker is None:
            await self._opened.wait()
        return self.worker

    def session_over(self, worker: Worker) -> None:
        """Nobody pulls from it now; one whose source has ended is of no more use."""
        if worker is self.worker and worker.ended.is_set():
            self._forget()

    def _forget(self) -> None:
        self.worker = None
        if self._opened.is_set():  # else somebody may be waiting for it already
            self._opened = trio.Event()
        self._pulled_out.set()


def open_command(camera: config.Camera) -> wire.Open:
    """What the worker is told; raises Refused where the password is missing."""
    password = None
    if camera.password is not None:
        password = secrets.read(camera.password, what=f"cameras.{camera.id}.password").reveal()
    return wire.Open(
        camera=camera.id,
        source=camera.source,
        username=camera.username,
        password=password,
        transport=camera.transport,
        size=camera.size,
        fps=camera.fps,
        video_bitrate=camera.video_bitrate,
        microphone=camera.microphone,
        video=camera.video,
        audio=camera.audio,
        buffer_s=camera.buffer,
        buffer_max=camera.buffer_max,
    )
