"""The page by which a browser is a camera: it records, and sends what it records in numbered chunks.

::

    GET  /api/browser?browser=B                         whether it may begin now
    POST /api/browser/chunk?browser=B&recorder=R&chunk=N    the N-th chunk of its R-th recorder
    POST /api/browser/end?browser=B                     it is over; the link's token is the body

Plain requests rather than a WebSocket: each is small, is checked as every other one is (Host, Origin, link), passes any
proxy, and may be sent again when its answer was lost, since its number says whether it was taken before.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interhuman2mqtt.web.browser_stream import NotTakenError
from interhuman2mqtt.web.browsers import BeginError, Browsers, ChunkId, WrongChunkError
from interhuman2mqtt.web.http import RequestError, file_handler, read_body
from interhuman2mqtt.web.invites import Kind
from interhuman2mqtt.web.links import HEADER, Links
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import CameraKey

CHUNK_MAX = 4 << 20
BODY_S = 30.0
"""For a chunk to come in; a line on which a second of video takes longer cannot carry it."""
CHUNKS_MAX = 4
"""Chunks of a camera that are under way at once: a broken line leaves one behind, and the same is sent again."""
BROWSER = re.compile(r"[0-9a-zA-Z-]{8,64}")
TOKEN_MAX = 256
HEADERS = {
    "permissions-policy": "camera=(self), microphone=(self), screen-wake-lock=(self), geolocation=()",
    "referrer-policy": "same-origin",  # with no-referrer the Origin of a beacon is null
}


class BrowserCamera:
    """The routes of browsers that are cameras.

    Args:
        links: Who may be one.
        browsers: Who is one now.
        page: The state of the cameras, by which it is said why one is off.
    """

    def __init__(self, links: Links, browsers: Browsers, page: Page) -> None:
        self._links = links
        self._browsers = browsers
        self._page = page
        self._under_way: Counter[str] = Counter()

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return [
            Route("/browser", file_handler("browser.html", HEADERS)),
            Route("/api/browser", self._show),
            Route("/api/browser/chunk", self._chunk, methods=["POST"]),
            Route("/api/browser/end", self._end, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        invite = (await self._links.invitation(request, Kind.BROWSER)).invite
        why = self._browsers.why_not(invite.camera, _browser(request))
        card = self._page.cards.get(CameraKey(invite.box, invite.camera), {})
        return JSONResponse(
            {
                "box": invite.box,
                "camera": invite.camera,
                "may_begin": why is None,
                "why": why,
                "reason": card.get("reason"),
                "state": card.get("state"),
                "audio_only": card.get("audio_only", False),
                "expires_at": invite.expires_at,
            }
        )

    async def _chunk(self, request: Request) -> Response:
        invite = (await self._links.invitation(request, Kind.BROWSER)).invite
        sent = ChunkId(_browser(request), _count(request, "recorder"), _count(request, "chunk"))
        if self._under_way[invite.camera] >= CHUNKS_MAX:
            raise RequestError(429, "too many chunks come in at once")
        self._under_way[invite.camera] += 1
        try:
            taken = await self._browsers.take(invite.camera, sent, request.headers[HEADER], await _content(request))
        except WrongChunkError as error:
            return _refused("send", error, next=error.due)
        except BeginError as error:
            return _refused("begin", error)
        except NotTakenError as error:
            return _refused("stop", error)
        finally:
            self._under_way[invite.camera] -= 1
        return JSONResponse({"next": taken.next, "buffer": taken.buffer_s})

    async def _end(self, request: Request) -> Response:
        # A tab that is closed can send a beacon and nothing else, and that has no header of ours.
        token = (await read_body(request, TOKEN_MAX, BODY_S)).decode("latin-1")
        invite = (await self._links.find(token, Kind.BROWSER)).invite
        self._browsers.end(invite.camera, _browser(request))
        return Response(status_code=204)


async def _content(request: Request) -> bytes:
    content = await read_body(request, CHUNK_MAX, BODY_S)
    if not content:
        raise RequestError(400, "the chunk is empty")
    return content


def _refused(do: str, error: Exception, **more: Any) -> Response:
    """Return the answer by which the browser knows what to do: `send` another chunk, `begin` a recorder, or `stop`."""
    return JSONResponse({"error": str(error), "do": do, **more}, status_code=409)


def _browser(request: Request) -> str:
    browser = request.query_params.get("browser", "")
    if BROWSER.fullmatch(browser) is None:
        raise RequestError(400, "browser has to be 8 to 64 letters and digits")
    return browser


def _count(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RequestError(400, f"{name} has to be a number from 0 on")
    return int(text)
