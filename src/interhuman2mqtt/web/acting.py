"""What somebody who is logged in may do: ask boxes to pause or resume, see a snapshot, and have things forgotten."""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.web.actions import COMMANDS, Actions
from interhuman2mqtt.web.http import Handler, RequestError, read_json
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import CameraKey
from interhuman2mqtt.web.snapshots import Snapshots


class Acting:
    """The routes that change something, or show people.

    Args:
        page: The state of the cameras.
        actions: By which boxes are asked.
        snapshots: By which they are asked for pictures.
    """

    def __init__(self, page: Page, actions: Actions, snapshots: Snapshots) -> None:
        self._page = page
        self._actions = actions
        self._snapshots = snapshots

    def routes(self, guard: Callable[[Handler], Handler]) -> Iterator[Route]:
        """Yield them, each behind a guard that lets in only who may act."""
        handlers = {command: self._request(command) for command in COMMANDS}
        handlers |= {"snapshot": self._snapshot, "forget": self._forget}
        for command, handler in handlers.items():
            yield Route(f"/api/{command}", guard(handler), methods=["POST"])

    def _request(self, command: str) -> Handler:
        async def handler(request: Request) -> Response:
            body = await read_json(request)
            box, camera = self._box(body), body.get("camera")
            if not (camera is None or isinstance(camera, str)):
                raise RequestError(400, "camera is a name")
            try:
                return JSONResponse(await self._actions.ask(box, command, camera))
            except Outage as outage:
                raise RequestError(502, outage.detail) from outage

        return handler

    async def _snapshot(self, request: Request) -> Response:
        try:
            jpeg = await self._snapshots.take(self._camera(await read_json(request)))
        except Outage as outage:
            raise RequestError(502, outage.detail) from outage
        return Response(jpeg, media_type="image/jpeg")

    async def _forget(self, request: Request) -> Response:
        body = await read_json(request)
        key = self._camera(body)
        start, end = _moment(body, "from", 0.0), _moment(body, "to", math.inf)
        span = {name: _iso(at) for name, at in (("since", start), ("until", end)) if 0 < at < math.inf}
        try:
            answer = await self._actions.ask(key.box, "forget", key.name, **span)
        except Outage as outage:  # what is known here is forgotten all the same
            answer = {"status": "error", "error": outage.detail}
        rows = await self._page.forget(key, start, end)
        return JSONResponse({"history": rows, "box": {name: answer.get(name) for name in ("status", "error")}})

    def _camera(self, body: Mapping[str, Any]) -> CameraKey:
        camera = body.get("camera")
        if not isinstance(camera, str):
            raise RequestError(400, "camera is a name")
        return CameraKey(self._box(body), camera)

    def _box(self, body: Mapping[str, Any]) -> str:
        box = body.get("box")
        if not isinstance(box, str):
            raise RequestError(400, "box is a name")
        if box not in self._page.fleet.boxes:
            raise RequestError(404, f"there is no box {box}")
        return box


def _moment(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e11:
        raise RequestError(400, f"{name} has to be a number of seconds")
    return float(value)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
