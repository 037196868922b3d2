"""Starts serving the metrics, where they are wanted and the extra is installed."""

from typing import NamedTuple

import structlog

from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.config import validation
from interhuman2mqtt.control.dispatcher import RequestDispatcher
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.reload import RunningConfig
from interhuman2mqtt.runtime.watchdog import Heartbeats
from interhuman2mqtt.supervisor import BugBudget

log = structlog.get_logger(__name__)


class Sources(NamedTuple):
    """Sources of the numbers."""

    running: RunningConfig
    fleet: Fleet
    coverage: Coverage
    service: PublishService
    dispatcher: RequestDispatcher
    heartbeats: Heartbeats


async def serve_metrics(sources: Sources, bugs: BugBudget) -> None:
    """Serve them until cancelled; return at once where `metrics.listen` is not set, or the extra is missing."""
    listen = sources.running.config.metrics.listen
    if listen is None:
        return
    if not validation.has_extra():  # the cameras are worth more than their numbers
        log.error("metrics are not served", detail=f"metrics.listen {validation.NEEDS_EXTRA}")
        return
    from interhuman2mqtt.metrics.server import Exporter  # noqa: PLC0415 - an extra, which may be missing

    await Exporter(listen, sources, bugs).run()
