"""Lines on the terminal: what happens scrolls, how the cameras are stands below."""

from typing import Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from interhuman2mqtt.demo.lines import Line, line
from interhuman2mqtt.demo.listener import Heard

COLOURS = {
    "status": "bold",
    "signal": "cyan",
    "engagement": "green",
    "quality": "magenta",
    "session": "dim",
    "coverage": "yellow",
    "error": "bold red",
}


class Screen:
    """Shows what is heard; on something that is no terminal, the lines alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._now: dict[str, dict[str, str]] = {}
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
        self._console.print(text, style="dim", highlight=False, soft_wrap=True)

    def show(self, heard: Heard) -> None:
        """A message was published."""
        if (what := line(heard.topic, heard.payload)) is not None:
            self._console.print(_text(what), highlight=False, soft_wrap=True)
        self._remember(heard)
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _remember(self, heard: Heard) -> None:
        *_, camera, group, name = ("", "", *heard.topic.split("/"))
        if group == "state":
            value = msgspec.json.decode(heard.payload) if heard.payload else {}
            self._now.setdefault(camera, {})[name] = _summary(name, value)
        if name == "status" and heard.payload:
            self._now.setdefault(group, {})["status"] = msgspec.json.decode(heard.payload)["state"]

    def _table(self) -> Table:
        table = Table("camera", "state", "engagement", "signals", "quality", expand=True)
        for camera, now in self._now.items():
            table.add_row(
                camera, *(now.get(key, "") for key in ("status", "engagement", "signals", "conversation_quality"))
            )
        return table


def _summary(name: str, value: dict[str, object]) -> str:
    match name, value:
        case "engagement", {"state": state}:
            return str(state)
        case "signals", {"signals": dict(signals)}:
            return ", ".join(signals)
        case "conversation_quality", {"overall": {"quality_index": float() | int() as index}}:
            return f"{index:.0f}"
    return ""


def _text(what: Line) -> Text:
    text = Text(f"{what.at.astimezone():%H:%M:%S}  {what.camera:<8} ", style="dim")
    return text.append(f"{what.kind:<11}{what.text}", style=COLOURS.get(what.kind, "default"))
