"""What the daemon says of itself: `bridge/info`, `bridge/health`, and one line for systemd."""

import tomllib
from collections import Counter
from collections.abc import Mapping

import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.config import Config
from interhuman2mqtt.config import file as configfile
from interhuman2mqtt.events import State, utc_now
from interhuman2mqtt.publish.losses import Losses
from interhuman2mqtt.publish.outbox import Outbox
from interhuman2mqtt.publish.publisher import BrokerPhase, BrokerState
from interhuman2mqtt.publish.topics import BridgeHealth, BridgeInfo


def info(config: Config, boot_id: str) -> BridgeInfo:
    """What this box runs."""
    return BridgeInfo(
        version=__version__,
        boot_id=boot_id,
        config_hash=configfile.config_hash(config),
        config=tomllib.loads(configfile.effective_toml(config)),
        cameras=tuple(config.cameras),
    )


def health(
    began: float, outbox: Outbox, losses: Losses, cameras: Mapping[str, Camera], requests: Mapping[str, int]
) -> BridgeHealth:
    """How it goes; `began` is trio's time at the start, `requests` counts those by what became of them."""
    depth = outbox.depth
    return BridgeHealth(
        at=utc_now(),
        uptime=round(trio.current_time() - began, 1),
        outbox_rows=depth.rows,
        outbox_bytes=depth.bytes,
        outbox_age=round(depth.age, 1),
        dropped={str(rule): count for rule, count in losses.counts.items()},
        requests=requests,
        cameras={name: camera.counters.as_dict() for name, camera in cameras.items()},
    )


def sentence(cameras: Mapping[str, Camera], broker: BrokerState | None) -> str:
    """The whole daemon in one line, what is wrong first."""
    states = Counter(camera.standing.status.state for camera in cameras.values())
    streaming = states.pop(State.STREAMING, 0)
    others = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    parts = [f"{streaming} of {len(cameras)} cameras streaming" + (f" ({others})" if others else "")]
    if broker is None or broker.phase is not BrokerPhase.ONLINE:
        parts.insert(
            0, f"broker {broker.phase if broker else 'not tried'}: {broker.detail if broker else ''}".rstrip(": ")
        )
    return "; ".join(parts)
