"""How the connection to the broker is, for who wants to know."""

from typing import Protocol

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState


class BrokerObserver(Protocol):
    """Wants to know how the connection is."""

    def broker_changed(self, state: BrokerState) -> None:
        """Note a new state."""


class BrokerStatus:
    """The state of the connection, of which each change is reported once.

    Args:
        observer: Gets the changes.
    """

    def __init__(self, observer: BrokerObserver) -> None:
        self._observer = observer
        self._state: BrokerState | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything was reported yet."""
        return self._state is not None

    def report(self, phase: BrokerPhase, reason: Reason | None = None, detail: str | None = None) -> None:
        """Report a state, unless it is the one that was reported last."""
        old = self._state
        if old is None or (old.phase, old.reason, old.detail) != (phase, reason, detail):
            self._state = BrokerState(phase=phase, reason=reason, detail=detail, since=utc_now())
            self._observer.broker_changed(self._state)
