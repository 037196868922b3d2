"""What a box that is away, or a camera that was removed, leaves behind is not calm."""

import json
from contextlib import closing
from pathlib import Path

import pytest
import trio

from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.lanes import read_lanes
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import CameraKey

FRONT = CameraKey("lobby-1", "front")
AT = 1_800_000_000.0
ISO = "2027-01-15T08:00:00Z"


def say(page: Page, about: str, **payload: object) -> None:
    content = json.dumps(payload).encode() if payload else b""
    page.receive(IncomingMessage(topic=f"interhuman/lobby-1/{about}", payload=content, retained=False))


@pytest.mark.parametrize(
    "go",
    [
        ("bridge/state", {"state": "offline", "boot_id": "1"}),
        ("bridge/state", {"state": "stopped", "boot_id": "1"}),
        ("front/status", {}),
    ],
)
def test_who_is_away_is_not_calm(tmp_path: Path, go: tuple[str, dict[str, object]]) -> None:
    """Nobody is shown as engaged by a camera whose box is off, or which is none any more, however long that lasts."""
    now = AT
    with closing(History(tmp_path / "history.sqlite")) as history:
        page = Page("interhuman", history, keep=1e6, max_size=1 << 30, rationale=False, clock=lambda: now)
        page.connected(resumed=False)
        say(page, "bridge/state", state="online", boot_id="1")
        say(page, "front/status", state="streaming", since=ISO)
        event = {"id": "lobby-1/front/s/1", "type": "engagement.updated", "session": "s", "received_at": ISO}
        say(page, "front/event/engagement.updated", **event, data={"state": "engaged"})
        now = AT + 60
        say(page, "bridge/health", outbox_rows=0)
        page.look()
        say(page, go[0], **go[1])
        for now in range(int(AT) + 65, int(AT) + 3600, 5):  # noqa: B007 - the clock
            page.look()
        ribbon = page.recent.ribbon(FRONT, (AT, now))
        trio.run(page.stop)
        lanes = read_lanes(history, FRONT, (AT, now), page.live())
    assert [one.kind for one in lanes.engagement] == ["engaged", "not_known"] == [one.kind for one in ribbon]
    assert lanes.engagement[0].end <= AT + 60
