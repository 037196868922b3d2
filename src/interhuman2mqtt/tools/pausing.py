"""Whether a camera is paused: then the tools do not open it by its name either."""

from interhuman2mqtt.policy.pauses import Pauses
from interhuman2mqtt.runtime import state_dir


def why_paused(camera: str) -> str | None:
    """A sentence, where it is; a folder that no service has made yet pauses nobody. Blocks."""
    state = state_dir.find()
    pauses = Pauses(state, state_dir.find_runtime(state))
    try:
        pauses.folder.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # which reading it tells better
    return pauses.read().why(camera)
