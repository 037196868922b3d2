"""Draw `watch` for the README: `python tests/bench/watch_picture.py docs/pictures/watch.svg`.

Three boxes run with the simulated cloud, one of them is lost, and what stands on the screen then is saved.
"""

import io
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import trio
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from integration.helpers import Box, Json, Peers, box, run_peers
from interhuman2mqtt.commands.watch_model import Fleet, filters, place
from interhuman2mqtt.commands.watch_output import line
from interhuman2mqtt.commands.watch_subscription import settings_for, subscribed
from interhuman2mqtt.commands.watch_terminal import Screen
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from support.clips import Clip

SECONDS = 40.0
"""Health is published every half minute, and gaps want to be seen."""
HEIGHT = 24
CAMERAS: Json = {
    "front": {"source": f"file:{Clip().path()}", "boxes": ["lobby-1"]},
    "desk": {"source": "test:", "size": "160x96", "fps": 10, "boxes": ["lobby-1"]},
    "stage": {"source": "test:", "size": "160x96", "fps": 10, "boxes": ["hall-*"]},
    "gate": {"source": "rtsp://127.0.0.1:1/stream1", "boxes": ["hall-*"]},
    "night": {"source": "test:", "boxes": ["hall-*"], "schedule": ["Mon 00:00-00:01"]},
    "yard": {"source": "test:", "size": "160x96", "fps": 10, "boxes": ["yard-*"]},
}


async def draw() -> str:
    """Run the boxes, lose one of them, and draw what stands on the screen then, as SVG."""
    console = Console(file=io.StringIO(), record=True, width=80, height=HEIGHT, force_terminal=True)
    screen = Screen(console, Fleet())
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            peers = await stack.enter_async_context(run_peers(Path(folder)))
            screen.print_status(f"connected: localhost:{peers.broker.port}; Ctrl-C ends")
            settings = settings_for(Mqtt(client_id="", url=peers.broker.url), "picture")
            await stack.enter_async_context(
                subscribed(settings, filters("interhuman"), lambda heard: take(screen, heard))
            )
            daemons = [await stack.enter_async_context(a_box(peers, name)) for name in ("lobby-1", "hall-2", "yard-1")]
            await trio.sleep(SECONDS)
            await daemons[-1].kill()
            await trio.sleep(2)
            console.print(screen.render())
    return console.export_svg(title="interhuman2mqtt watch")


def a_box(peers: Peers, name: str) -> AbstractAsyncContextManager[Box]:
    """One box of the fleet, with the same files as the others but for its name."""
    folder = peers.folder / name
    folder.mkdir()
    return box(folder, peers.config(CAMERAS, box={"id": name}))


def take(screen: Screen, heard: IncomingMessage) -> None:
    """Show what was published, as `watch` does."""
    where = place("interhuman", heard.topic)
    if where is None or heard.payload is None:
        return
    is_news = screen.fleet.apply(where, heard.payload)
    if is_news and (said := line(where, heard.payload)) is not None:
        screen.show(said)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(trio.run(draw))
