"""The screen of a demo."""

import io

from rich.console import Console

from interhuman2mqtt.commands.demo import Screen
from interhuman2mqtt.publish.mqtt.types import IncomingMessage

STATUS = b'{"camera":"front","state":"offline","reason":"busy","detail":null,"since":"2026-11-22T10:00:00Z"}'
TOPIC = "interhuman/demo/front"


def shown(*messages: IncomingMessage, terminal: bool) -> str:
    """What stands on the screen after these messages."""
    to = io.StringIO()
    with Screen(Console(file=to, force_terminal=terminal, width=90)) as screen:
        screen.print("hello")
        for message in messages:
            screen.show(message)
    return to.getvalue()


def test_lines_alone_where_there_is_no_terminal() -> None:
    """In a pipe there are lines, and neither colours nor a table."""
    text = shown(IncomingMessage(f"{TOPIC}/status", STATUS), terminal=False)
    assert "hello" in text
    assert "front    status     offline - busy" in text
    assert "\x1b" not in text
    assert "engagement" not in text


def test_table_on_a_terminal() -> None:
    """On a terminal the newest engagement, signals and quality of each camera stand below the lines."""
    text = shown(
        IncomingMessage(f"{TOPIC}/status", STATUS),
        IncomingMessage(f"{TOPIC}/state/engagement", b'{"state":"engaged"}'),
        IncomingMessage(f"{TOPIC}/state/signals", b'{"signals":{"stress":{},"interest":{}}}'),
        IncomingMessage(f"{TOPIC}/state/conversation_quality", b'{"overall":{"quality_index":61.2}}'),
        IncomingMessage(f"{TOPIC}/state/last_event", b"{}"),
        terminal=True,
    )
    last = text[text.rindex("offline") :]
    assert "engaged" in last
    assert "stress, interest" in last
    assert " 61 " in last


def test_cleared_state_disappears() -> None:
    """A state that is cleared is no longer shown."""
    text = shown(
        IncomingMessage(f"{TOPIC}/status", STATUS),
        IncomingMessage(f"{TOPIC}/state/engagement", b'{"state":"engaged"}'),
        IncomingMessage(f"{TOPIC}/state/engagement", b""),
        terminal=True,
    )
    table = text[text.rindex("front") :]
    assert "engaged" not in table
