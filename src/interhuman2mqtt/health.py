"""The daemon's own state: `bridge/info`, `bridge/health`, and one line for systemd."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence

import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.control.dispatcher import RequestDispatcher
from interhuman2mqtt.events import State, utc_now
from interhuman2mqtt.policy.budget_store import BudgetTable
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.publish.message import DropLog
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.payloads import BridgeHealth, BridgeInfo, ReloadInfo
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.reload import RunningConfig
from interhuman2mqtt.runtime.watchdog import Overdue


class HealthReporter:
    """Reports how everything is, as often as it is asked to; uptime counts from when it is made."""

    def __init__(  # noqa: PLR0913 - whatever may be unwell
        self,
        topics: Topics,
        running: RunningConfig,
        *,
        service: PublishService,
        fleet: Fleet,
        coverage: Coverage,
        policy: Policy,
        dispatcher: RequestDispatcher,
    ) -> None:
        self._began = trio.current_time()
        self._topics = topics
        self._running = running
        self._service = service
        self._fleet = fleet
        self._coverage = coverage
        self._policy = policy
        self._dispatcher = dispatcher

    def publish(self) -> None:
        """Publish `bridge/health`."""
        report = health(
            self._began,
            self._service.outbox,
            self._service.drops,
            self._fleet.cameras,
            coverage=self._coverage,
            budgets=self._policy.budgets.as_health(),
            requests=self._dispatcher.counts,
            subscriptions=self._service.unsubscribed,
        )
        self._service.publish(self._topics.bridge_health(report))

    def sentence(self, stuck: Sequence[Overdue]) -> str:
        """Return the whole daemon in one line, the stages that hang first."""
        running, service = self._running, self._service
        return sentence(
            self._fleet.cameras,
            service.broker,
            trouble=service.outbox.trouble,
            stuck=stuck,
            reload=running.last_reload,
            waits=running.needs_restart,
        )


def info(running: RunningConfig, boot_id: str) -> BridgeInfo:
    """Return what this box runs."""
    config = running.config
    return BridgeInfo(
        version=__version__,
        boot_id=boot_id,
        config_hash=configfile.config_hash(config),
        files_hash=running.files_hash,
        config=tomllib.loads(configfile.effective_toml(config)),
        cameras=tuple(config.cameras),
        reload=running.last_reload,
        needs_restart=running.needs_restart,
    )


def health(  # noqa: PLR0913 - whatever may be unwell
    began: float,
    outbox: OutboxQueue,
    losses: DropLog,
    cameras: Mapping[str, Camera],
    *,
    coverage: Coverage,
    budgets: BudgetTable,
    requests: Mapping[str, int],
    subscriptions: str | None = None,
) -> BridgeHealth:
    """Return `bridge/health`; `began` is trio's time at the start, `requests` counts those by what became of them.

    `subscriptions` says what we are not subscribed to.
    """
    depth = outbox.depth
    return BridgeHealth(
        at=utc_now(),
        uptime=round(trio.current_time() - began, 1),
        outbox_rows=depth.rows,
        outbox_bytes=depth.bytes,
        outbox_age=round(depth.age, 1),
        outbox_parked=depth.parked,
        store=outbox.trouble,
        subscriptions=subscriptions,
        dropped=dict(losses.counts),
        requests=requests,
        budgets=budgets,
        tasks=trio.lowlevel.current_statistics().tasks_living,
        states=states(cameras),
        cameras={name: camera.counters.as_dict() | coverage.seconds(name) for name, camera in cameras.items()},
    )


def sections(names: Sequence[str]) -> str:
    """Return sections of the configuration, as the file has them."""
    return ", ".join(f"[{name}]" for name in names)


def states(cameras: Mapping[str, Camera]) -> Counter[str]:
    """Return how many cameras are in each state."""
    return Counter(camera.status.current.state for camera in cameras.values())


def sentence(  # noqa: PLR0913 - whatever may be unwell
    cameras: Mapping[str, Camera],
    broker: BrokerState | None,
    *,
    trouble: str | None = None,
    stuck: Sequence[Overdue] = (),
    reload: ReloadInfo | None = None,
    waits: Sequence[str] = (),
) -> str:
    """Return the whole daemon in one line, what is wrong first."""
    parts = [f"{stage} has hung for {seconds:.0f} s" for stage, seconds in stuck]
    if reload is not None and reload.problems:
        parts.append(f"configuration rejected: {reload.problems[0]}")
    if waits:
        parts.append(f"needs_restart: {sections(waits)}")
    if broker is None or broker.phase is not BrokerPhase.ONLINE:
        phase, detail = (broker.phase, broker.detail) if broker else ("not tried", None)
        parts.append(f"broker {phase}: {detail}" if detail else f"broker {phase}")
    parts += [trouble] if trouble else []
    return "; ".join([*parts, _streaming(states(cameras))])


def _streaming(counts: Counter[str]) -> str:
    """Return how many cameras stream, and what the others do; where there is none, what to do."""
    if not counts:
        return "no camera yet: add what `interhuman2mqtt devices --toml` prints to the configuration, then reload"
    others = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if state != State.STREAMING)
    streaming = f"{counts[State.STREAMING]} of {counts.total()} cameras streaming"
    return f"{streaming} ({others})" if others else streaming
