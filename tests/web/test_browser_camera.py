"""What a browser sends, on its way to the camera's capture: in order, once, and from one browser at a time."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx  # noqa: ASYNC127 - the SDK of the vendor brings it
import pytest
import trio
import trio.testing
from starlette.applications import Starlette

from interhuman2mqtt.web.browser import CHUNK_MAX, BrowserCamera
from interhuman2mqtt.web.browser_stream import HELLO_S, why_closed
from interhuman2mqtt.web.browsers import GRACE_S, SWEEP_S, Browsers
from interhuman2mqtt.web.http import RequestError, answer_error
from interhuman2mqtt.web.invites import Invite, Invites, Kind
from interhuman2mqtt.web.links import HEADER, Links
from web.helpers import Capture

if TYPE_CHECKING:
    from interhuman2mqtt.web.page import Page

ONE, OTHER = "browser-1", "browser-2"
BUFFER_S = 20.0
SHOWN = {"permissions-policy": "camera=(self), microphone=(self), screen-wake-lock=(self), geolocation=()"}


class Cards:
    """The page, as far as it is asked."""

    cards: dict[Any, Any] = {}  # noqa: RUF012 - never added to


class Phone:
    """A browser with a link."""

    def __init__(self, client: httpx.AsyncClient, token: str, name: str = ONE) -> None:
        self.client = client
        self.token = token
        self.name = name

    async def send(self, chunk: object, content: bytes = b"x", recorder: object = 0) -> httpx.Response:
        """Send a chunk."""
        query = {"browser": self.name, "recorder": str(recorder), "chunk": str(chunk)}
        return await self.client.post("/api/browser/chunk", params=query, content=content, headers={HEADER: self.token})

    async def told(self, chunk: object, **more: Any) -> object:
        """What a chunk is answered with: the number that is due, or what to do."""
        answer = (await self.send(chunk, **more)).json()
        return answer.get("do", answer.get("next"))

    async def assert_refused(self, sentence: str) -> None:
        """Begin, and be told to stop for a reason."""
        answer = await self.send(0)
        assert (answer.status_code, answer.json()["do"]) == (409, "stop")
        assert sentence in answer.json()["error"]

    async def end(self) -> int:
        """Say that it is over."""
        query = {"browser": self.name}
        return (await self.client.post("/api/browser/end", params=query, content=self.token)).status_code

    async def may_begin(self) -> bool:
        """Whether it is let in."""
        answer = await self.client.get("/api/browser", params={"browser": self.name}, headers={HEADER: self.token})
        return bool(answer.json()["may_begin"])


class Scene:
    """A page, a daemon's end, and two browsers with the same link."""

    def __init__(self, folder: Path, client: httpx.AsyncClient, invites: Invites, browsers: Browsers) -> None:
        invite = Invite(kind=Kind.BROWSER, box="b", camera="table", created_at=1.0, expires_at=None)
        token = invites.add(invite)
        self.capture = Capture(folder)
        self.invites = invites
        self.browsers = browsers
        self.one, self.other = Phone(client, token), Phone(client, token, OTHER)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    invites = Invites(folder)
    links = Links(invites, now=lambda: 5.0)
    browsers = Browsers(folder, links)
    routes = BrowserCamera(links, browsers, cast("Page", Cards())).routes()
    app = Starlette(routes=routes, exception_handlers={RequestError: answer_error})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
        made = Scene(folder, client, invites, browsers)
        async with made.capture.listening(), trio.open_nursery() as nursery:
            nursery.start_soon(browsers.run)
            yield made
            nursery.cancel_scope.cancel()


async def sent(phone: Phone, chunks: Iterable[tuple[int, bytes]]) -> list[object]:
    return [await phone.told(number, content=content) for number, content in chunks]


async def test_each_chunk_is_handed_on_once(tmp_path: Path) -> None:
    """A chunk whose answer was lost is sent again, and taken once; one that comes too early is asked for in order."""
    async with scene(tmp_path) as at:
        chunks = [(0, b"init"), (0, b"init"), (1, b"a"), (0, b"init"), (3, b"c"), (2, b"b"), (3, b"c")]
        assert await sent(at.one, chunks) == [1, 1, 2, 2, "send", 3, 4]
        assert await at.capture.read() == b"initabc"
        assert (await at.one.send(4)).json() == {"next": 5, "buffer": BUFFER_S}


async def test_a_recorder_begins_with_its_init_segment(tmp_path: Path) -> None:
    """The middle of a recorder that nobody reads is refused; the next recorder ends the one before it."""
    async with scene(tmp_path) as at:
        assert await at.one.told(7) == "begin"
        assert await sent(at.one, [(0, b"first"), (1, b".")]) == [1, 2]
        assert await at.one.told(0, content=b"second", recorder=1) == 1
        assert await at.one.told(2, recorder=0) == "begin"
        assert [await at.capture.read(0), await at.capture.read(1)] == [b"first.", b"second"]
        assert await at.capture.read(0) == b""
        await at.capture.streams[1].aclose()
        assert await at.one.told(1, recorder=1) == "begin"


async def test_one_browser_at_a_time(tmp_path: Path) -> None:
    """A second one is told so, and costs the first nothing; it may begin once the first has ended."""
    async with scene(tmp_path) as at:
        assert await at.one.told(0) == 1
        assert [await at.other.told(0), await at.other.may_begin(), await at.one.may_begin()] == ["stop", False, True]
        assert "another browser" in (await at.other.send(0)).json()["error"]
        assert await at.other.end() == 204
        assert await at.one.told(1) == 2
        assert await at.one.end() == 204
        assert await at.other.told(0) == 1


async def test_a_pause_is_told_at_the_next_chunk(tmp_path: Path) -> None:
    """Where the camera may not stream there is no socket: whatever a browser sends, it is to stop."""
    async with scene(tmp_path) as at:
        assert await at.one.told(0) == 1
        await at.capture.streams[0].aclose()
        at.capture.path.rename(tmp_path / "away")
        assert [await at.one.told(1), await at.one.told(0, recorder=1)] == ["stop", "stop"]
        assert not await at.one.may_begin()
        (tmp_path / "away").rename(at.capture.path)
        assert await at.one.may_begin()
        assert await at.one.told(0, recorder=2) == 1


async def test_a_browser_that_is_gone(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """It keeps its place as long as what it recorded can be made good, and no longer."""
    async with scene(tmp_path) as at:
        assert await at.one.told(0) == 1
        mock_clock.jump(BUFFER_S)
        assert [await at.other.told(0), await at.one.told(1)] == ["stop", 2]
        mock_clock.jump(BUFFER_S + GRACE_S + 2)
        while not await at.other.may_begin():
            pass
        assert await at.other.told(0) == 1
        assert await at.one.told(2) == "stop"


async def test_a_link_that_is_revoked_ends_its_browser(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """Within a second or so, whatever the browser does."""
    async with scene(tmp_path) as at:
        assert await at.one.told(0, content=b"x") == 1
        assert await at.capture.read() == b"x"
        at.invites.revoke("all")
        mock_clock.jump(SWEEP_S)
        assert await at.capture.read() == b""
        assert (await at.one.send(1)).status_code == 404


async def test_a_box_that_takes_nobody(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """A daemon that does not read yet, or that says something else, is a sentence for the browser."""
    async with scene(tmp_path) as at:
        at.capture.says = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.one.assert_refused, "still reads what came before")
            await at.capture.accepted.wait()
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(HELLO_S)
        at.capture.says = b"SSH-2.0\n"
        await at.one.assert_refused("another version")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"chunk": -1}, 400),
        ({"chunk": "9" * 400}, 400),
        ({"chunk": "\u0663"}, 400),
        ({"chunk": 0, "recorder": "x"}, 400),
        ({"chunk": 0, "content": b""}, 400),
        ({"chunk": 0, "content": bytes(CHUNK_MAX + 1)}, 413),
    ],
)
async def test_what_is_no_chunk_is_refused(tmp_path: Path, changed: dict[str, Any], status: int) -> None:
    """It is answered with a sentence, reaches no capture, and costs a browser that streams nothing."""
    async with scene(tmp_path) as at:
        assert await at.one.told(0, content=b"first") == 1
        answer = await at.one.send(**changed)
        assert (answer.status_code, "error" in answer.json()) == (status, True)
        assert await at.one.told(1, content=b".") == 2
        assert await at.capture.read() == b"first."


async def test_only_a_link_to_be_the_camera_lets_in(tmp_path: Path) -> None:
    """No link, another's kind of link: 404, and nothing is connected. Only this page may use the browser's camera."""
    async with scene(tmp_path) as at:
        room = at.invites.add(Invite(kind=Kind.ROOM, box="b", camera="table", created_at=1.0, expires_at=None))
        phones = [Phone(at.one.client, token) for token in ("", room)]
        assert [(await phone.send(0)).status_code for phone in phones] == [404, 404]
        assert [await phone.end() for phone in phones] == [404, 404]
        assert not at.capture.streams
        page = await at.one.client.get("/browser")
        assert SHOWN.items() <= dict(page.headers).items()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """What is wrong with the folder of the sockets is a sentence for the browser, and no error of the page."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    assert "service does not run" in (why_closed(tmp_path, "table") or "")
    assert "symbolic links" in (why_closed(tmp_path / "loop", "table") or "")
    assert "Not a directory" in (why_closed(tmp_path / "file", "table") or "")
