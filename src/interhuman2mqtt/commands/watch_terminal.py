"""The table of all boxes and their cameras, and the screen that shows it above the events that scroll by.

In a pipe there are lines alone, without colours.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from interhuman2mqtt.commands.watch_model import BRIDGE, Box, Camera, Fleet, Status
from interhuman2mqtt.commands.watch_output import Line
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime.sanitize import clean

COLUMNS = {"camera": 15, "state": 19, "engagement": 11, "signals": 14, "qual": 4, "lag": 5, "gaps": 5}
"""Widths of the columns in 80; what there is more goes to GROWING."""
GROWING = ("state", "signals")
NUMBERS = ("qual", "lag", "gaps")
WIDTH = sum(COLUMNS.values()) + len(COLUMNS)
STYLES = {
    "streaming": "green",
    "connecting": "yellow",
    "waiting": "yellow",
    "paused": "dim",
    "stopped": "dim",
    "offline": "bold red",
    "refused": "bold red",
}


def table(fleet: Fleet, width: int, now: datetime, *, only_trouble: bool = False) -> RenderableType:
    """Return the whole fleet as a table. With `only_trouble` cameras that stream are only counted."""
    parts: list[RenderableType] = [_heading(fleet), _rows(width, [[Text(name, "bold") for name in COLUMNS]])]
    for name, box in sorted(fleet.boxes.items()):
        parts.append(_box_line(name, box, fleet.files_hash, now))
        shown, left_out = _chosen(box, only_trouble=only_trouble)
        parts.append(_rows(width, [_cells(camera, of, box, now) for camera, of in shown.items()]))
        if left_out:
            parts.append(Text(f"  and {left_out} more that stream", "dim"))
    return Group(*parts)


def _heading(fleet: Fleet) -> Text:
    streaming = sum(
        box.is_online and _streams(camera) for box in fleet.boxes.values() for camera in box.cameras.values()
    )
    online = sum(box.is_online for box in fleet.boxes.values())
    text = Text(f"{online} of {len(fleet.boxes)} boxes online, ")
    text.append(f"{streaming} of {sum(len(box.cameras) for box in fleet.boxes.values())} cameras streaming")
    if others := sum(box.info is not None and box.info.files_hash != fleet.files_hash for box in fleet.boxes.values()):
        text.append(f"; {others} with other files than most", "bold yellow")
    return text


def _box_line(name: str, box: Box, files_hash: str | None, now: datetime) -> Text:
    state = clean(box.state.state, 12) if box.state is not None else "unknown"
    text = Text.assemble((clean(name, 64), "bold"), " ", (state, "green" if box.is_online else "bold red"))
    if box.state is not None and box.state.since is not None:
        text.append(f" for {span((now - box.state.since).total_seconds())}", "dim")
    if box.health is not None and box.health.outbox_rows:
        text.append(f"  {box.health.outbox_rows} waiting", "yellow")
    if box.info is not None:
        same = box.info.files_hash == files_hash
        text.append(f"  {clean(box.info.version, 20)}  files ", "dim")
        text.append(clean(box.info.files_hash, 12), "dim" if same else "bold yellow")
        text.append(f"  config {clean(box.info.config_hash, 12)}", "dim")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _chosen(box: Box, *, only_trouble: bool) -> tuple[Mapping[str, Camera], int]:
    cameras = dict(sorted(box.cameras.items()))
    if not only_trouble:
        return cameras, 0
    shown = {name: camera for name, camera in cameras.items() if not (box.is_online and _streams(camera))}
    return shown, len(cameras) - len(shown)


def _streams(camera: Camera) -> bool:
    return camera.status is not None and camera.status.state == "streaming"


def _rows(width: int, rows: list[list[Text]]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    more, odd = divmod(max(0, width - WIDTH), len(GROWING))
    for name, least in COLUMNS.items():
        wide = least + (more if name in GROWING else 0) + (odd if name == GROWING[-1] else 0)
        grid.add_column(
            width=wide,
            justify="right" if name in NUMBERS else "left",
            overflow="fold" if name in GROWING else "ellipsis",
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def _cells(name: str, camera: Camera, box: Box, now: datetime) -> list[Text]:
    if not box.is_online:
        last = clean(camera.status.state, 12) if camera.status is not None else "?"
        return [_text(f"  {clean(name, 64)}", "dim"), Text(f"was {last}", "dim"), *[Text("")] * (len(COLUMNS) - 2)]
    engagement = clean(camera.engagement.state, 16) if camera.engagement is not None else ""
    signals = ", ".join(clean(kind, 24) for kind in list(camera.signals.signals)[:16]) if camera.signals else ""
    index = camera.quality.index if camera.quality is not None else None
    return [
        _text(f"  {clean(name, 64)}"),
        _state(camera.status),
        _text(engagement, "green"),
        Text(signals, "cyan"),
        Text("" if index is None else f"{index:.0f}", "magenta"),
        Text(_lag(name, camera, box, now)),
        Text(_gaps(name, camera, box, now), "yellow"),
    ]


def _state(status: Status | None) -> Text:
    if status is None:
        return Text("?")
    text = Text(clean(status.state, 12), STYLES.get(status.state, ""))
    if status.reason and status.reason != status.state:
        text.append(f" {clean(status.reason, 24)}", "dim")
    return text


def _lag(name: str, camera: Camera, box: Box, now: datetime) -> str:
    """Return how far the media that the cloud has of a camera is behind the present."""
    if camera.status is not None and camera.status.gap is not None:
        return span((now - camera.status.gap.start_at).total_seconds())
    told = _counters(name, box).get("lag_seconds")
    return "" if told is None else span(told)


def _gaps(name: str, camera: Camera, box: Box, now: datetime) -> str:
    """Return how much of its time was not analysed since the daemon was started; an open gap included."""
    seconds = _counters(name, box).get("gap_seconds", 0.0)
    if camera.status is not None and camera.status.gap is not None:
        seconds += max(0.0, (now - camera.status.gap.start_at).total_seconds())
    return span(seconds) if seconds >= 1 else ""


def _counters(name: str, box: Box) -> Mapping[str, float]:
    return box.health.cameras.get(name, {}) if box.health is not None else {}


def _text(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True)


def span(seconds: float) -> str:
    """Format a length of time in at most five characters: 0.4s, 12s, 3m, 2h, 5d."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    for unit, size, longest in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < longest:
            return f"{seconds / size:.0f}{unit}"
    return f"{min(seconds / 86_400, 9999):.0f}d"


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
        """Return all of it, as high as the terminal: where there are too many cameras, those that stream go first."""
        height = height or self._console.height
        whole = [table(self.fleet, self._console.width, utc_now(), only_trouble=little) for little in (False, True)]
        fits = next((shown for shown in whole if self._height(shown) + 2 <= height), whole[-1])
        room = max(0, height - self._height(fits) - 2)
        below = list(self._lines)[-room:] if room else []
        return Group(self._headline, fits, *below)

    def print_all(self) -> None:
        """Print the table once, however long."""
        self._console.print(table(self.fleet, self._console.width, utc_now()))

    def _height(self, shown: object) -> int:
        return len(self._console.render_lines(shown))  # type: ignore[arg-type]  # anything that rich can draw

    def _print(self, text: Text) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def as_text(line: Line, *, box: bool = True) -> Text:
    """Return a line as it is printed: when, where, what; with `box` where there may be several."""
    where = line.camera if not box else line.box if line.camera == BRIDGE else f"{line.box}/{line.camera}"
    text = Text(
        f"{line.at.astimezone():%H:%M:%S}  {where:<{18 if box else 8}} ", "dim", no_wrap=True, overflow="ellipsis"
    )
    return text.append(f"{line.kind:<11}{line.text}", COLOURS.get(line.kind, "default"))
