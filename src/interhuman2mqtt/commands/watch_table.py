"""The boxes and cameras of a fleet as a table for a terminal of 80 columns or more.

Trouble comes first. The room on the terminal decides how much is shown of boxes that are well: each camera, or a line
for the box (`Detail`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import IntEnum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from interhuman2mqtt.commands.watch_model import Box, Camera, Fleet, Status
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
WELL = ("streaming", "paused")
ENGAGEMENT = {"engaged": "green", "disengaged": "yellow"}
"""Not red, which is for machines: nobody has done anything wrong who looks away."""


class Detail(IntEnum):
    """The detail in which boxes that are well are shown."""

    ALL = 0
    """Every camera."""
    TROUBLE = 1
    """A line for each; cameras that stream are only counted in the others too."""


def table(fleet: Fleet, width: int, now: datetime, detail: Detail = Detail.ALL, name: str = "") -> RenderableType:
    """Return the fleet, or those of its boxes and cameras whose name holds `name`, as a table."""
    parts: list[RenderableType] = [_heading(fleet), _rows(width, [[Text(name, "bold") for name in COLUMNS]])]
    for box_id, box, cameras in _selected(fleet, name):
        if detail is Detail.TROUBLE and not _in_trouble(box):
            parts.append(_summary(box_id, box, cameras, now))
            continue
        parts.append(_box_line(box_id, box, fleet.files_hash, now))
        shown, left_out = _chosen(box, cameras, only_trouble=detail is Detail.TROUBLE)
        parts.append(_rows(width, [_cells(camera, of, box, now) for camera, of in shown.items()]))
        if left_out:
            parts.append(Text(f"  and {left_out} more that stream", "dim"))
    return Group(*parts)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people do: `hall-2` before `hall-10`."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (0, part) for part in re.split(r"(\d{1,9})", name)
    ]


def _selected(fleet: Fleet, name: str) -> Iterator[tuple[str, Box, Mapping[str, Camera]]]:
    for box_id, box in sorted(fleet.boxes.items(), key=lambda item: (not _in_trouble(item[1]), natural(item[0]))):
        cameras = {camera: box.cameras[camera] for camera in sorted(box.cameras, key=natural)}
        if name not in box_id:
            cameras = {camera: of for camera, of in cameras.items() if name in camera}
        if name in box_id or cameras:
            yield box_id, box, cameras


def _in_trouble(box: Box) -> bool:
    """Return whether a person should look: the box is gone, or a camera neither streams nor is paused."""
    return not box.is_online or any(
        camera.status is None or camera.status.state not in WELL for camera in box.cameras.values()
    )


def _summary(box_id: str, box: Box, cameras: Mapping[str, Camera], now: datetime) -> Text:
    """Return a box that is well in one line: its cameras, how people are, and the signals of now."""
    text = Text.assemble(
        (clean(box_id, 64), "bold"), f"  {sum(map(_streams, cameras.values()))} of {len(cameras)} streaming"
    )
    levels = Counter(of.engagement.state for of in cameras.values() if of.engagement)
    for level, count in sorted(levels.most_common(3)):  # the same order in each line
        text.append(f"  {count} {clean(level, 16)}", ENGAGEMENT.get(level, ""))
    signals = sorted({kind for of in cameras.values() if of.signals for kind in list(of.signals.signals)[:16]})
    if signals:
        text.append(f"  {', '.join(clean(kind, 24) for kind in signals[:16])}", "cyan")
    if paused := sum(of.status is not None and of.status.state == "paused" for of in cameras.values()):
        text.append(f"  {paused} paused", "dim")
    lags = [lag for camera, of in cameras.items() if (lag := _lag(camera, of, box, now)) is not None]
    if lags:
        text.append(f"  lag {span(max(lags))}", "dim")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


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


def _chosen(box: Box, cameras: Mapping[str, Camera], *, only_trouble: bool) -> tuple[Mapping[str, Camera], int]:
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
        _text(engagement, ENGAGEMENT.get(engagement, "")),
        Text(signals, "cyan"),
        Text("" if index is None else f"{index:.0f}", "magenta"),
        Text("" if (lag := _lag(name, camera, box, now)) is None else span(lag)),
        Text(_gaps(name, camera, box, now), "yellow"),
    ]


def _state(status: Status | None) -> Text:
    if status is None:
        return Text("?")
    text = Text(clean(status.state, 12), STYLES.get(status.state, ""))
    if status.reason and status.reason != status.state:
        text.append(f" {clean(status.reason, 24)}", "dim")
    return text


def _lag(name: str, camera: Camera, box: Box, now: datetime) -> float | None:
    """Return how many seconds the media that the cloud has of a camera is behind the present."""
    if camera.status is not None and camera.status.gap is not None:
        return (now - camera.status.gap.start_at).total_seconds()
    return _counters(name, box).get("lag_seconds")


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
