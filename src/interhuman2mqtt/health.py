"""The daemon's own state: `bridge/info`, `bridge/health`, and one line for systemd."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.control.dispatcher import RequestDispatcher
from interhuman2mqtt.events import State, utc_now
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.publish.mqtt.types import BrokerPhase
from interhuman2mqtt.publish.payloads import BridgeHealth, BridgeInfo
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.reload import RunningConfig
from interhuman2mqtt.runtime.watchdog import Overdue


class HealthReporter(NamedTuple):
    """Reports how everything is, as often as it is asked to."""

    topics: Topics
    running: RunningConfig
    service: PublishService
    fleet: Fleet
    coverage: Coverage
    policy: Policy
    dispatcher: RequestDispatcher
    began: float
    """Trio's time at the start."""

    def publish(self) -> None:
        """Publish `bridge/health`."""
        self.service.publish(self.topics.bridge_health(self.health()))

    def health(self) -> BridgeHealth:
        """Return `bridge/health`."""
        outbox, cameras = self.service.outbox, self.fleet.cameras
        depth = outbox.depth
        return BridgeHealth(
            at=utc_now(),
            uptime=round(trio.current_time() - self.began, 1),
            outbox_rows=depth.rows,
            outbox_bytes=depth.bytes,
            outbox_age=round(depth.age, 1),
            outbox_parked=depth.parked,
            store=outbox.trouble,
            subscriptions=self.service.unsubscribed,
            dropped=dict(self.service.drops.counts),
            requests=self.dispatcher.counts,
            budgets=self.policy.budgets.as_health(),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            states=states(cameras),
            cameras={name: each.counters.as_dict() | self.coverage.seconds(name) for name, each in cameras.items()},
        )

    def sentence(self, stuck: Sequence[Overdue] = ()) -> str:
        """Return the whole daemon in one line, what is wrong first, the stages that hang before all."""
        reload, broker, trouble = self.running.last_reload, self.service.broker, self.service.outbox.trouble
        parts = [f"{stage} has hung for {seconds:.0f} s" for stage, seconds in stuck]
        if reload is not None and reload.problems:
            parts.append(f"configuration rejected: {reload.problems[0]}")
        if self.running.needs_restart:
            parts.append(f"needs_restart: {sections(self.running.needs_restart)}")
        if broker is None or broker.phase is not BrokerPhase.ONLINE:
            phase, detail = (broker.phase, broker.detail) if broker else ("not tried", None)
            parts.append(f"broker {phase}: {detail}" if detail else f"broker {phase}")
        parts += [trouble] if trouble else []
        return "; ".join([*parts, _streaming(states(self.fleet.cameras))])


def info(running: RunningConfig, boot_id: str) -> BridgeInfo:
    """Return what this box runs."""
    config = running.config
    return BridgeInfo(
        version=__version__,
        boot_id=boot_id,
        config_hash=running.config_hash,
        files_hash=running.files_hash,
        config=tomllib.loads(configfile.effective_toml(config)),
        cameras=tuple(config.cameras),
        reload=running.last_reload,
        needs_restart=running.needs_restart,
    )


def sections(names: Sequence[str]) -> str:
    """Return sections of the configuration, as the file has them."""
    return ", ".join(f"[{name}]" for name in names)


def states(cameras: Mapping[str, Camera]) -> Counter[str]:
    """Return how many cameras are in each state."""
    return Counter(camera.status.current.state for camera in cameras.values())


def _streaming(counts: Counter[str]) -> str:
    """Return how many cameras stream, and what the others do; where there is none, what to do."""
    if not counts:
        return "no camera yet: add what `interhuman2mqtt devices --toml` prints to the configuration, then reload"
    others = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if state != State.STREAMING)
    streaming = f"{counts[State.STREAMING]} of {counts.total()} cameras streaming"
    return f"{streaming} ({others})" if others else streaming
