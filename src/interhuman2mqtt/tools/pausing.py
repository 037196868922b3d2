"""Whether a camera is paused: then the tools do not open it by its name either."""

from interhuman2mqtt import statefolder
from interhuman2mqtt.policy.pauses import Pauses


def why_paused(camera: str) -> str | None:
    """A sentence, where it is; a folder that no service has made yet pauses nobody. Blocks."""
    state = statefolder.find()
    pauses = Pauses(state, statefolder.find_runtime(state))
    try:
        pauses.folder.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # which reading it tells better
    return pauses.read().why(camera)
