"""A camera's spool: kept within its bounds, and uploaded beside the live session."""

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.backfill.spool import CameraSpool, SpoolBounds
from interhuman2mqtt.backfill.uploader import UploadContext, Uploader
from interhuman2mqtt.cameras.context import CameraContext
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.retry_triggers import SecretWatch
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import State
from interhuman2mqtt.policy.policy import Permit
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.supervisor import Health, Quarantine, RetryInfo, RetryNow, keep_running
from interhuman2mqtt.upload.client import UploadClient, endpoint_of
from interhuman2mqtt.upload.current_key import CurrentKey

WELL_S = 60.0
"""Seconds for which a live session must have gone well before anything is uploaded beside it."""
LOOK_S = 0.5
LAG_S = 15.0
"""Seconds beyond two chunks by which the delivery may lag behind: more, and the uplink is needed for what is live."""

log = structlog.get_logger(__name__)


class LiveSession:
    """Looks at how the live path of a camera is (`segment_upload.LivePath`)."""

    # The live path is looked at, and not asked to report: what is uploaded must stop whatever is wrong, also where
    # nothing is said. Only a pause does not wait for the next look.

    def __init__(
        self, camera: config.CameraConfig, context: CameraContext, permit: Permit, status: StatusTracker
    ) -> None:
        self._camera = camera
        self._context = context
        self._permit = permit
        self._status = status
        self._well_since = math.inf

    async def keep_looking(self) -> None:
        """Know since when it goes well, for ever."""
        while True:
            if self._trouble() is not None:
                self._well_since = math.inf
            else:
                self._well_since = min(self._well_since, trio.current_time())
            await trio.sleep(LOOK_S)

    async def wait_well(self) -> None:
        """Wait until it may stream, streams, and has done so without trouble for a while."""
        while True:
            missing_s = self._well_since + WELL_S - trio.current_time()
            if self._trouble() is None and missing_s <= 0:
                return
            await trio.sleep(LOOK_S)

    async def wait_unwell(self) -> str:
        """Wait until one of that is not so, and return which."""
        while (trouble := self._trouble()) is None:
            with trio.move_on_after(LOOK_S):
                await self._permit.wait_refused()
        return trouble

    def _trouble(self) -> str | None:
        verdict, status = self._permit.verdict, self._status.current
        if verdict is None or not verdict.allowed:
            return "it may not stream"
        if status.state is not State.STREAMING or status.reason is not None:
            return "its live session is in trouble"
        if self._context.coverage.lag(self._camera.id) > LAG_S + 2 * self._context.chunk_s:
            return "its live session lags behind"
        return None


class BackfillTask:
    """Runs for as long as the camera does, paused or not."""

    def __init__(
        self,
        camera: config.CameraConfig,
        context: CameraContext,
        *,
        permit: Permit,
        status: StatusTracker,
        counters: Counters,
    ) -> None:
        self._camera = camera
        self._context = context
        self._counters = counters
        self._bugs = Quarantine(context.bugs)  # of its own: what is live must not stand still for it
        self._spool: CameraSpool = context.spools.of(camera.id)
        self._live = LiveSession(camera, context, permit, status)
        self._trouble = RateLimitedLogger(log)

    async def run(self) -> None:
        """Keep the spool, and upload it when the live session allows it."""
        camera, context = self._camera, self._context
        around = UploadContext(
            box=context.box,
            redact=context.redact,
            clock=context.clock,
            live=self._live,
            budgets=context.policy.budgets,
            publisher=context.publisher,
            counters=self._counters,
            new_client=self._new_client,
        )
        uploader = Uploader(camera, self._spool, around)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._live.keep_looking)
            nursery.start_soon(self._keep, self._tend, RetryNow())
            await self._keep(uploader.run, SecretWatch(camera.api_key))

    async def _keep(self, run: Callable[[Health], Awaitable[bool]], retry_now: RetryNow) -> None:
        await keep_running(run, self._on_retry, self._bugs, self._context.backoff, retry_now=retry_now)

    async def _tend(self, _health: Health) -> bool:
        camera = self._camera
        await self._spool.tend(SpoolBounds(camera.backfill or 0, camera.backfill_max_age), self._counters)
        return True

    def _new_client(self) -> tuple[UploadClient, int]:
        if self._camera.api_key is None:
            raise Refused(Reason.SECRET_MISSING, "no api_key is configured: set interhuman.api_key")
        server = self._context.server
        endpoint = endpoint_of(server.url, ca_file=server.ca_file, proxy=server.proxy)
        return UploadClient(endpoint, CurrentKey(self._camera.api_key, "api_key")), endpoint.version

    def _on_retry(self, retry: RetryInfo) -> None:
        outage: Outage = retry.outage
        self._trouble.emit(
            "upload", outage.detail, "back-fill waits", level="warning", reason=outage.reason, detail=outage.detail
        )
