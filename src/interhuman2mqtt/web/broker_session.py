"""The page's session at the broker, over restarts: its client id, and up to where events were received.

With MQTT 5 the broker keeps the subscription of a client id that comes again within a day, and what comes by it. What
the next process must know to tell whether anything is missing is written when this one ends in order. One that is
killed leaves nothing, and the time until the next begins is then not known. ::

    session.json    {"format": 1, "client_id": "interhuman-web-1f0c...", "continuity": {...} or null}
"""

from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from interhuman2mqtt.commands.watch_subscription import settings_for
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.web.continuity import SavedContinuity

NAME = "session.json"
EXPIRY_MAX_S = 86400
"""A broker is not to queue for longer for a page that never comes back."""


class _Saved(Struct, frozen=True):
    client_id: str
    continuity: SavedContinuity | None
    format: Literal[1] = 1


class BrokerSession:
    """State that was left by the process before, and is left to the next.

    Args:
        folder: Of the page's state. Blocks; raises OSError where nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        saved = _read(self._path)
        self._client_id = saved.client_id
        self.continuity = saved.continuity
        """Up to where events were received; None: not known."""
        self.save(None)  # it holds for one process: what this one receives is not in it

    def settings(self, mqtt: Mqtt, keep: float) -> ConnectSettings:
        """Return how to connect, so that the broker keeps our session for a while."""
        settings = settings_for(mqtt, "web")
        own = structs.replace(settings.mqtt, client_id=self._client_id)
        return settings._replace(mqtt=own, session_expiry=int(min(EXPIRY_MAX_S, keep)))

    def save(self, continuity: SavedContinuity | None) -> None:
        """Leave it to the next process. Blocks; raises OSError."""
        state_dir.replace(self._path, msgspec.json.encode(_Saved(self._client_id, continuity)))


def _read(path: Path) -> _Saved:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Saved)
    except (OSError, msgspec.MsgspecError):  # of a newer version, or none: a new session, and nothing is known before
        return _Saved(f"interhuman-web-{uuid4().hex[:12]}", None)
