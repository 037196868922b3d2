"""Whatever is published: the page goes on, and shows, keeps and exports the rest."""

import io
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from starlette.responses import JSONResponse

from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.web.export import rows, write_csv
from interhuman2mqtt.web.fleet import camera_json, summary
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import CameraKey
from support.payloads import ODD_MESSAGES, OddMessage

FRONT = CameraKey("hall", "front")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@settings(max_examples=40)
@given(ODD_MESSAGES)
def test_nonsense_is_survived(folder: Path, messages: list[OddMessage]) -> None:
    """No message of anybody who may publish ends the page, nor what it writes, shows and exports."""
    with closing(History(folder / "history.sqlite")) as history:
        page = Page("interhuman", history, keep=1e6, max_size=1 << 30, rationale=True)
        for camera, about, payload in messages:
            page.receive(IncomingMessage(topic=f"interhuman/hall/{camera}/{about}", payload=payload))
            page.receive(IncomingMessage(topic=f"interhuman/hall/{camera}/{about}", payload=payload, retained=True))
        trio.run(page.stop)
        cards = [camera_json(page.fleet, FRONT, page.recent, 1.8e9)]
        JSONResponse([cards, summary([card for card in cards if card])])
        write_csv(rows(history, FRONT, (0.0, 1e11)), None, io.StringIO())
