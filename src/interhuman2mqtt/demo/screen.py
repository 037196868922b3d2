"""Lines on the terminal: what happens scrolls, how the cameras are stands below."""

from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from interhuman2mqtt.control.inbox import Incoming
from interhuman2mqtt.runtime.sanitize import clean, clean_lines
from interhuman2mqtt.watch.fleet import Camera, Fleet
from interhuman2mqtt.watch.lines import line
from interhuman2mqtt.watch.places import place
from interhuman2mqtt.watch.screen import as_text

BASE = "interhuman"


class Screen:
    """Shows what is heard of one box; on something that is no terminal, the lines alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._fleet = Fleet()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Something of our own."""
        self._console.print(clean_lines(text), style="dim", highlight=False, soft_wrap=True)

    def show(self, heard: Incoming) -> None:
        """A message was published."""
        where = place(BASE, heard.topic)
        if where is None or heard.payload is None:
            return
        if (what := line(where, heard.payload)) is not None:
            self._console.print(as_text(what, box=False), highlight=False, soft_wrap=True)
        self._fleet.take(where, heard.payload)
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table("camera", "state", "engagement", "signals", "quality", expand=True)
        for box in self._fleet.boxes.values():
            for name, camera in box.cameras.items():
                table.add_row(*map(Text, (clean(name, 64), *_cells(camera))))
        return table


def _cells(camera: Camera) -> tuple[str, str, str, str]:
    index = camera.quality.index if camera.quality else None
    return (
        clean(camera.status.state) if camera.status else "",
        clean(camera.engagement.state) if camera.engagement else "",
        clean(", ".join(camera.signals.signals)) if camera.signals else "",
        "" if index is None else f"{index:.0f}",
    )
