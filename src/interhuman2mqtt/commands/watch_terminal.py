"""The screen of `watch`: the table of the fleet, and below it the events that scroll by.

In a pipe there are lines alone, without colours.
"""

from collections import deque
from datetime import datetime
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from interhuman2mqtt.commands.watch_keys import View
from interhuman2mqtt.commands.watch_model import BRIDGE, Fleet
from interhuman2mqtt.commands.watch_output import Line
from interhuman2mqtt.commands.watch_table import Detail, table
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime.sanitize import clean

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


HEAD = 2
"""Lines of the table that stay when it is scrolled: the sums, and the names of the columns."""


class _Rendered:
    """Lines that were drawn already."""

    def __init__(self, lines: list[list[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()


class Screen:
    """Shows a fleet, and what happens in it."""

    def __init__(self, console: Console, fleet: Fleet) -> None:
        self.fleet = fleet
        self.view = View()
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

    def print_status(self, text: str, style: str = "dim") -> None:
        """Show the state of the connection to the broker."""
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
            self._live.update(self.render(), refresh=True)

    def render(self, *, height: int | None = None) -> Group:
        """Return all of it, as high as the terminal: events keep a third of it where there are so many."""
        height = height or self._console.height
        heads = [self._headline, *self._filter_line()]
        room = max(3, height - len(heads) - 1 - min(len(self._lines), height // 3))
        lines = next((of for of in map(self._table, Detail) if len(of) <= room), self._table(Detail.TROUBLE))
        shown = self._scrolled(lines, room)
        below = height - len(heads) - 1 - len(shown)
        events = list(self._lines)[-below:] if below > 0 else []
        return Group(*heads, _Rendered(shown), *events)

    def _table(self, detail: Detail) -> list[list[Segment]]:
        drawn = table(self.fleet, self._console.width, utc_now(), detail, self.view.filter)
        return self._console.render_lines(drawn)

    def _scrolled(self, lines: list[list[Segment]], room: int) -> list[list[Segment]]:
        """Return the lines that there is room for, from where the arrows have led, and how many follow."""
        if len(lines) <= room:
            self.view.top = 0
            return lines
        head, rows = lines[:HEAD], lines[HEAD:]
        self.view.top = top = min(self.view.top, len(rows) - (room - HEAD - 1))
        seen = rows[top : top + room - HEAD - 1]
        more = f"{top} lines above, {len(rows) - top - len(seen)} below: arrows scroll, / filters, q quits"
        return [*head, *seen, *self._console.render_lines(Text(more, "dim", no_wrap=True, overflow="ellipsis"))]

    def _filter_line(self) -> list[Text]:
        if not (self.view.filter or self.view.is_typing):
            return []
        mark = "_" if self.view.is_typing else "   (Esc: all)"
        return [Text(f"/{clean(self.view.filter)}{mark}", "bold", no_wrap=True, overflow="ellipsis")]

    def print_all(self) -> None:
        """Print the table once, however long."""
        self._console.print(table(self.fleet, self._console.width, utc_now()))

    def _print(self, text: Text) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def as_text(line: Line, *, box: bool = True) -> Text:
    """Return a line as it is printed: when, where, what; with `box` where there may be several."""
    where = line.camera if not box else line.box if line.camera == BRIDGE else f"{line.box}/{line.camera}"
    text = Text(f"{_time(line.at)}  {where:<{18 if box else 8}} ", "dim", no_wrap=True, overflow="ellipsis")
    return text.append(f"{line.kind:<11}{line.text}", COLOURS.get(line.kind, "default"))


def _time(at: datetime) -> str:
    try:
        return f"{at.astimezone():%H:%M:%S}"
    except OverflowError:  # of the first or the last day of the calendar, which it is not everywhere
        return "--:--:--"
