"""How far `analyze` is: a bar on a terminal, lines elsewhere, and nothing in either that a terminal obeys."""

import io

import pytest

from interhuman2mqtt.commands.analyze_progress import progress
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.upload.jobs import PartRecord, PartState, RecordingRecord
from interhuman2mqtt.upload.split_ipc import Progress


class Screen(io.StringIO):
    """Takes what is printed, as a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def shown(*, is_terminal: bool, parts: int) -> str:
    """What is shown of a recording with a name that would like to colour the screen."""
    screen = Screen(is_terminal=is_terminal)
    pending = PartRecord(start=0, end=5)
    record = RecordingRecord(model="inter-2", recorded_at=None, duration=10, parts=(pending,) * parts)
    done = record.with_part(0, PartRecord(start=0, end=5, state=PartState.COMPLETED))
    with progress("[red]\x1b[31m.mp4", screen) as listener:
        listener.preparing(Progress("encoding", 0.5))
        listener.parts(record)
        listener.waiting(Outage(Reason.CLOUD_ERROR, "it failed"), 5)
        listener.parts(done)
        listener.parts(done)
    return screen.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    """Each step is a line, once."""
    assert shown(is_terminal=False, parts=2).splitlines() == [
        "[red]\N{REPLACEMENT CHARACTER}[31m.mp4: is encoded for the cloud",
        "[red]\N{REPLACEMENT CHARACTER}[31m.mp4: 0 of 2 parts analysed",
        "[red]\N{REPLACEMENT CHARACTER}[31m.mp4: it failed: tried again in 5 s",
        "[red]\N{REPLACEMENT CHARACTER}[31m.mp4: 1 of 2 parts analysed",
    ]
    assert shown(is_terminal=False, parts=1).splitlines()[-1].endswith(": analysed")


@pytest.mark.parametrize("parts", [1, 2])
def test_a_bar_on_a_terminal(parts: int) -> None:
    """The bar is gone in the end; what went wrong on the way stays."""
    screen = shown(is_terminal=True, parts=parts)
    assert "[red]\N{REPLACEMENT CHARACTER}[31m.mp4: it failed: tried again in 5 s" in screen
    assert "\x1b[31m" not in screen
