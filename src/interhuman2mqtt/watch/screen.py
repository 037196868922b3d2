"""The terminal: the table stands, what happens scrolls below it. In a pipe there are lines alone, without colours."""

from collections import deque
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime.sanitize import clean
from interhuman2mqtt.watch.fleet import Fleet
from interhuman2mqtt.watch.lines import Line
from interhuman2mqtt.watch.places import BRIDGE
from interhuman2mqtt.watch.table import table

COLOURS = {
    "status": "bold",
    "signal": "cyan",
    "engagement": "green",
    "quality": "magenta",
    "session": "dim",
    "coverage": "yellow",
    "error": "bold red",
}
KEPT = 200
"""Lines that are remembered: more than a terminal is high."""


class Terminal(Console):
    """A console whose reader may leave: rich ends the process by `SystemExit(1)` there, amid the tasks of a nursery."""

    def on_broken_pipe(self) -> None:
        """Let the `BrokenPipeError` that rich is handling pass on.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        raise  # noqa: PLE0704 - rich calls this while it handles the error


class Screen:
    """Shows a fleet, and what happens in it."""

    def __init__(self, console: Console, fleet: Fleet) -> None:
        self.fleet = fleet
        self._console = console
        self._lines: deque[Text] = deque(maxlen=KEPT)
        self._headline = Text("")
        live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live = live if console.is_terminal else None

    @property
    def is_live(self) -> bool:
        """Whether the table stands, and not only lines go by."""
        return self._live is not None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self.refresh()
            self._live.stop()

    def say(self, text: str, style: str = "dim") -> None:
        """How it is with the broker."""
        self._headline = Text(clean(text), style, no_wrap=True, overflow="ellipsis")
        if not self._live:
            self._print(self._headline)

    def show(self, line: Line) -> None:
        """Something happened."""
        text = as_text(line)
        if self._live:
            self._lines.append(text)
        else:
            self._print(text)

    def refresh(self) -> None:
        """Draw everything as it is now, on a terminal."""
        if self._live:
            self._live.update(self.picture(), refresh=True)

    def picture(self, *, height: int | None = None) -> Group:
        """All of it, as high as the terminal: where there are too many cameras, those that stream go first."""
        height = height or self._console.height
        whole = [table(self.fleet, self._console.width, utc_now(), only_trouble=little) for little in (False, True)]
        fits = next((shown for shown in whole if self._height(shown) + 2 <= height), whole[-1])
        room = max(0, height - self._height(fits) - 2)
        below = list(self._lines)[-room:] if room else []
        return Group(self._headline, fits, *below)

    def whole(self) -> None:
        """Print the table once, however long."""
        self._console.print(table(self.fleet, self._console.width, utc_now()))

    def _height(self, shown: object) -> int:
        return len(self._console.render_lines(shown))  # type: ignore[arg-type]  # anything that rich can draw

    def _print(self, text: Text) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def as_text(line: Line, *, box: bool = True) -> Text:
    """A line as it is printed: when, where, what; `box` where there may be several."""
    where = line.camera if not box else line.box if line.camera == BRIDGE else f"{line.box}/{line.camera}"
    text = Text(
        f"{line.at.astimezone():%H:%M:%S}  {where:<{18 if box else 8}} ", "dim", no_wrap=True, overflow="ellipsis"
    )
    return text.append(f"{line.kind:<11}{line.text}", COLOURS.get(line.kind, "default"))
