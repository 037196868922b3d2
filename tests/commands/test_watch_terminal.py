"""What stands on a terminal of 80 columns, and in a pipe."""

import io
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from interhuman2mqtt.commands.watch_model import Fleet, Place
from interhuman2mqtt.commands.watch_output import line
from interhuman2mqtt.commands.watch_table import Detail, natural, span, table
from interhuman2mqtt.commands.watch_terminal import Screen, Terminal, as_text
from interhuman2mqtt.runtime.sanitize import clean

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BEFORE = (NOON - timedelta(minutes=3)).isoformat()


def box(
    name: str, files: str = "aaaaaaaaaaaa", state: str = "online", **health: Any
) -> dict[tuple[str, str, str], Any]:
    """What a box's bridge has published."""
    return {
        (name, "bridge", "state"): {"state": state, "boot_id": "1", "since": BEFORE},
        (name, "bridge", "info"): {"version": "0.2.0", "config_hash": "c" * 12, "files_hash": files, "boot_id": "1"},
        (name, "bridge", "health"): health,
    }


FLEET: dict[tuple[str, str, str], Any] = {
    **box("hall-1", outbox_rows=12, cameras={"north": {"lag_seconds": 0.4, "gap_seconds": 65.0}}),
    **box("lobby-1", files="bbbbbbbbbbbb"),
    **box("yard-1", state="offline"),
    ("hall-1", "north", "status"): {"state": "streaming", "since": BEFORE, "source": "h264"},
    ("hall-1", "north", "state/engagement"): {"state": "engaged"},
    ("hall-1", "north", "state/signals"): {"signals": {"stress": {}, "hesitation": {}}},
    ("hall-1", "north", "state/conversation_quality"): {"overall": {"quality_index": 61.2}},
    ("lobby-1", "front", "status"): {
        "state": "connecting",
        "reason": "cloud_unreachable",
        "since": BEFORE,
        "gap": {"start_at": BEFORE, "end_at": None},
    },
    ("yard-1", "gate", "status"): {"state": "streaming", "since": BEFORE},
}
PICTURE = """\
2 of 3 boxes online, 1 of 3 cameras streaming; 1 with other files than most
camera          state               engagement  signals        qual   lag  gaps
lobby-1 online for 3m  0.2.0  files bbbbbbbbbbbb  config cccccccccccc
  front         connecting                                             3m    3m
                cloud_unreachable
yard-1 offline for 3m  0.2.0  files aaaaaaaaaaaa  config cccccccccccc
  gate          was streaming
hall-1 online for 3m  12 waiting  0.2.0  files aaaaaaaaaaaa  config cccccccccccc
  north         streaming           engaged     stress,          61  0.4s   65s
                                                hesitation
"""


def fleet(messages: dict[tuple[str, str, str], Any]) -> Fleet:
    known = Fleet()
    for where, payload in messages.items():
        known.apply(Place(*where), json.dumps(payload).encode())
    return known


def drawn(known: Fleet, width: int = 80, **options: Any) -> str:
    """A table as text, without the blanks at the ends of its lines."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table(known, width, NOON, **options))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_the_table_fits_80_columns() -> None:
    """State and reason, engagement, signals, quality, lag and gaps of each camera of each box, in 80 columns."""
    assert drawn(fleet(FLEET)) == PICTURE


@pytest.mark.parametrize("width", [80, 81, 132, 200])
def test_wider_terminals_are_used(width: int) -> None:
    """What fits is on one line, and no line is longer than the terminal."""
    text = drawn(fleet(FLEET), width)
    assert ("connecting cloud_unreachable" in text) == (width > 100)


def test_trouble_stays_when_room_is_short() -> None:
    """Where not all fits, boxes that are well have a line each below those in trouble, which keep their cameras."""
    text = drawn(fleet(FLEET), detail=Detail.TROUBLE)
    assert "north" not in text
    assert text.splitlines()[-1] == "hall-1  1 of 1 streaming  1 engaged  hesitation, stress  lag 0.4s"
    assert text.index("front") < text.index("gate") < text.index("hall-1")


def test_names_are_in_the_order_of_people() -> None:
    """Box 2 stands before box 10, with digits of any script, and however long a number is."""
    names = ["hall-10", "hall-2", "hall-\u0662", "9" * 30, "a", ""]
    assert sorted(names[:2], key=natural) == ["hall-2", "hall-10"]
    assert len(sorted(names, key=natural)) == len(names)


def test_thirty_boxes_fit_a_small_terminal() -> None:
    """On 80x24 trouble stands first, the arrows lead to the last box, and a third is left for events."""
    shown = Screen(Console(file=io.StringIO(), width=80, height=24), thirty_boxes())
    for number in range(30):
        said = line(Place("box-1", f"cam{number}", "event/x"), json.dumps(EVENT).encode())
        assert said
        shown._lines.append(as_text(said))
    first = rendered(shown)
    assert len(first) == 23
    assert [row.split()[0] for row in first[3:5]] == ["box-7", "front"]
    assert [row.split()[0] for row in first[6:9]] == ["box-1", "box-2", "box-3"]
    assert sum("engagement neutral" in row for row in first) == 24 // 3
    for _ in range(60):
        shown.view.press("down")
    last = rendered(shown)
    assert any(row.startswith("box-30 ") for row in last)
    assert last[1:3] == first[1:3]


def test_levels_stand_in_one_order() -> None:
    """The lines of healthy boxes can be compared: whichever camera comes first, the levels stand as in the others."""
    messages = {**box("hall-1"), **box("hall-2")}
    for name, levels in (("hall-1", ["neutral", "engaged"]), ("hall-2", ["engaged", "neutral"])):
        for camera, level in enumerate(levels):
            messages[name, f"cam-{camera}", "status"] = {"state": "streaming", "since": BEFORE}
            messages[name, f"cam-{camera}", "state/engagement"] = {"state": level}
    first, second = drawn(fleet(messages), detail=Detail.TROUBLE).splitlines()[-2:]
    assert first == second.replace("hall-2", "hall-1") == "hall-1  2 of 2 streaming  1 engaged  1 neutral"


def test_a_filter_shows_what_is_meant() -> None:
    """A part of a name leaves the boxes and cameras that hold it; Esc shows all again."""
    shown = Screen(Console(file=io.StringIO(), width=80, height=24), thirty_boxes())
    for key in ["/", "b", "o", "x", "-", "3", "enter"]:
        assert not shown.view.press(key)
    rows = rendered(shown)
    assert rows[1] == "/box-3   (Esc: all)"
    assert [row.split()[0] for row in rows if row.startswith("box-")] == ["box-3", "box-30"]
    shown.view.press("esc")
    assert len([row for row in rendered(shown) if row.startswith("box-")]) > 10


def thirty_boxes() -> Fleet:
    messages: dict[tuple[str, str, str], Any] = {}
    for number in range(1, 31):
        messages |= box(f"box-{number}")
        state = {"state": "refused", "reason": "unauthorized"} if number == 7 else {"state": "streaming"}
        messages[f"box-{number}", "front", "status"] = {**state, "since": BEFORE}
    return fleet(messages)


def rendered(shown: Screen) -> list[str]:
    shown._console.file = io.StringIO()
    shown._console.print(shown.render())
    return [row.rstrip() for row in printed(shown).splitlines()]


EVIL = "\x1b]0;owned\x07[bold red]x[/]\u202egnp\n\x9b31m"


def test_nothing_that_was_published_reaches_the_terminal_as_a_command() -> None:
    """Control characters and markup, in names, words and payloads, are shown and not interpreted."""
    shown = fleet(
        {
            **box(EVIL, files=EVIL),
            (EVIL, EVIL, "status"): {"state": EVIL, "reason": EVIL, "since": BEFORE},
            (EVIL, EVIL, "state/engagement"): {"state": EVIL},
            (EVIL, EVIL, "state/signals"): {"signals": {EVIL: {}}},
        }
    )
    text = drawn(shown, 400)
    assert not set(text) & set("\x1b\x07\x9b\u202e")
    assert "[bold red]x[/]" in text
    event = {"type": f"signal.{EVIL}", "received_at": BEFORE, "data": {"signal_type": EVIL}, "camera": "front"}
    said = line(Place(EVIL, EVIL, "event/x"), json.dumps(event).encode())
    assert said
    assert all(part.isprintable() for part in said[1:])


def test_long_words_are_cut() -> None:
    """A text that is long beyond reason ends with a mark."""
    assert clean("x" * 600, 10) == "xxxxxxxxx…"
    assert clean("é ok") == "é ok"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0.0s"), (0.44, "0.4s"), (12, "12s"), (180, "3m"), (7201, "2h"), (200_000, "2d"), (1e12, "9999d")],
)
def test_spans_are_short(seconds: float, text: str) -> None:
    """A length of time takes at most five characters, whatever somebody published."""
    assert span(seconds) == text
    assert len(text) <= 5


def screen(*, terminal: bool, height: int = 24) -> Screen:
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=terminal)
    return Screen(console, fleet(FLEET))


EVENT = {"type": "engagement.updated", "received_at": BEFORE, "data": {"state": "neutral"}}


def printed(shown: Screen) -> str:
    file = shown._console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_events_scroll_below_the_table() -> None:
    """On a terminal the newest events stand below the table, as many as there is room for."""
    shown = screen(terminal=True, height=16)
    for number in range(30):
        said = line(Place("hall-1", f"cam{number}", "event/x"), json.dumps(EVENT).encode())
        assert said
        shown.show(said)
    shown._console.print(shown.render())
    text = printed(shown)
    assert text.index("yard-1") < text.index("cam26") < text.index("cam29")
    assert "cam20" not in text
    assert len(text.splitlines()) <= 16


def test_a_pipe_gets_plain_lines() -> None:
    """Where there is no terminal there are lines, with the box in each, and neither colours nor a table."""
    with screen(terminal=False) as shown:
        shown.print_status("connected: [red]localhost:1883")
        said = line(Place("hall-1", "north", "event/x"), json.dumps(EVENT).encode())
        assert said
        shown.show(said)
        shown.refresh()
        connected, event = printed(shown).splitlines()
    assert connected == "connected: [red]localhost:1883"
    assert event.endswith("hall-1/north       engagement neutral")


def test_a_reader_that_leaves_is_a_broken_pipe() -> None:
    """`watch | head` ends by the error that `main` expects, and not by rich's own way out."""
    reading, writing = os.pipe()
    os.close(reading)
    file = os.fdopen(writing, "w", buffering=1)
    shown = Screen(Terminal(file=file, force_terminal=False), Fleet())
    with pytest.raises(BrokenPipeError):
        shown.print_status("connected")
    with pytest.raises(BrokenPipeError):
        file.close()


def test_a_camera_in_trouble_is_found_among_hundreds() -> None:
    """When the fleet is higher than the terminal, what does not stream is still on it."""
    many = {("hall-1", f"c{n:03}", "status"): {"state": "streaming", "since": BEFORE} for n in range(300)}
    trouble = {("hall-1", "zz", "status"): {"state": "refused", "reason": "unauthorized", "since": BEFORE}}
    shown = Screen(Console(file=io.StringIO(), width=80, height=24), fleet({**box("hall-1"), **many, **trouble}))
    shown._console.print(shown.render())
    text = printed(shown)
    assert "refused" in text
    assert "and 300 more that stream" in text
