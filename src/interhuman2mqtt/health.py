"""What the daemon says of itself: `bridge/info`, `bridge/health`, and one line for systemd."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence

import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.loader import Loaded
from interhuman2mqtt.events import State, utc_now
from interhuman2mqtt.policy.budget_store import BudgetTable
from interhuman2mqtt.publish.message import DropLog
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.topics import BridgeHealth, BridgeInfo, ReloadInfo
from interhuman2mqtt.runtime.watchdog import Overdue


def info(loaded: Loaded, boot_id: str, reload: ReloadInfo | None, waits: tuple[str, ...] = ()) -> BridgeInfo:
    """What this box runs; `waits`: the sections that wait for a restart."""
    config = loaded.config
    return BridgeInfo(
        version=__version__,
        boot_id=boot_id,
        config_hash=configfile.config_hash(config),
        files_hash=loaded.files_hash,
        config=tomllib.loads(configfile.effective_toml(config)),
        cameras=tuple(config.cameras),
        reload=reload,
        needs_restart=waits,
    )


def health(  # noqa: PLR0913 - whoever has something to tell
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
    """How it goes; `began` is trio's time at the start, `requests` counts those by what became of them.

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
        cameras={name: camera.counters.as_dict() | coverage.told(name) for name, camera in cameras.items()},
    )


def sections(names: Sequence[str]) -> str:
    """Sections of the configuration, as the file has them."""
    return ", ".join(f"[{name}]" for name in names)


def states(cameras: Mapping[str, Camera]) -> Counter[str]:
    """How many cameras are in each state."""
    return Counter(camera.standing.status.state for camera in cameras.values())


def sentence(  # noqa: PLR0913 - whoever has something to tell
    cameras: Mapping[str, Camera],
    broker: BrokerState | None,
    *,
    trouble: str | None = None,
    stuck: Sequence[Overdue] = (),
    reload: ReloadInfo | None = None,
    waits: Sequence[str] = (),
) -> str:
    """The whole daemon in one line, what is wrong first."""
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
