"""The page's session at the broker, over restarts: its client id.

With MQTT 5 the broker keeps the subscription of a client id that comes again within a day, and what comes by it. What
the next process must know to tell whether anything is missing is in the history, with the rows that it is about. ::

    session.json    {"format": 1, "client_id": "interhuman-web-1f0c..."}
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

NAME = "session.json"
EXPIRY_MAX_S = 86400
"""A broker is not to queue for longer for a page that never comes back."""


class _Saved(Struct, frozen=True):
    client_id: str
    format: Literal[1] = 1


def connect_settings(folder: Path, mqtt: Mqtt, keep: float) -> ConnectSettings:
    """Return how to connect, so that the broker keeps our session for a while. Blocks; raises OSError.

    Args:
        folder: Of the page's state.
        mqtt: The broker.
        keep: Seconds of history: a session is not kept for longer.
    """
    path = folder / NAME
    settings = settings_for(mqtt, "web")
    own = structs.replace(settings.mqtt, client_id=_client_id(path))
    return settings._replace(mqtt=own, session_expiry=int(min(EXPIRY_MAX_S, keep)))


def _client_id(path: Path) -> str:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Saved).client_id
    except (OSError, msgspec.MsgspecError):  # of a newer version, or none: a new session, and nothing is known before
        client_id = f"interhuman-web-{uuid4().hex[:12]}"
        state_dir.replace(path, msgspec.json.encode(_Saved(client_id)))
        return client_id
