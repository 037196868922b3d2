"""The page on a room's wall: whether its one camera is on, and a button to pause it, for anyone who stands there.

Who has its link needs no login. Resuming needs one: who paused the camera must be able to rely on it.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.web.actions import Actions
from interhuman2mqtt.web.auth import Logins
from interhuman2mqtt.web.fleet import PLANNED
from interhuman2mqtt.web.http import RequestError, file_handler, read_json
from interhuman2mqtt.web.invites import Kind, Named
from interhuman2mqtt.web.links import Links
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import CameraKey

DETAILS = ("engagement", "signals", "score")


class Room:
    """The routes of room pages.

    Args:
        links: Who may see one.
        page: The state of the cameras.
        actions: By which boxes are asked.
        logins: Who may resume, if anybody may.
        details: Whether signals and scores are shown.
    """

    def __init__(self, links: Links, page: Page, actions: Actions, logins: Logins, *, details: bool) -> None:
        self._links = links
        self._page = page
        self._actions = actions
        self._logins = logins
        self._details = details

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return [
            Route("/room", file_handler("room.html")),
            Route("/api/room", self._show),
            Route("/api/room/pause", self._pause, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        named = await self._links.invitation(request, Kind.ROOM)
        card = self._page.cards.get(CameraKey(named.invite.box, named.invite.camera), {})
        shown = room_json(named, card, is_connected=self._page.broker["state"] == "connected")
        details = {name: card[name] for name in DETAILS} if card and self._details else None
        return JSONResponse({**shown, "details": details})

    async def _pause(self, request: Request) -> Response:
        named = await self._links.invitation(request, Kind.ROOM)
        await read_json(request)
        if not self._logins.needs_password:
            raise RequestError(403, "this page has no password, so nobody could resume: set [web] password")
        invite = named.invite
        try:
            answer = await self._actions.ask(invite.box, "pause", invite.camera, by=f"room-{named.id}")
        except Outage as outage:
            raise RequestError(502, outage.detail) from outage
        return JSONResponse(answer)


def room_json(named: Named, card: dict[str, Any], *, is_connected: bool) -> dict[str, Any]:
    """Return what a room's page shows: `is` is on, off (somebody wants it so), trouble (not now), or unknown.

    Args:
        named: The invitation.
        card: Its camera, as `fleet.camera_json` has it; empty where nothing is known of it.
        is_connected: Whether what is known is of now.
    """
    state, reason = card.get("state"), card.get("reason")
    if not is_connected or state in {None, "unknown"} or reason == "box_offline":
        shown = "unknown"
    elif state == "streaming":
        shown = "on"
    else:
        shown = "off" if state in PLANNED or reason in PLANNED else "trouble"
    return {
        "box": named.invite.box,
        "camera": named.invite.camera,
        "is": shown,
        "audio_only": card.get("audio_only", False),
        "paused": shown == "off" and state == "paused",
        "reason": reason if shown in {"off", "trouble"} else None,
        "since": card.get("since") if shown != "unknown" else None,
    }
