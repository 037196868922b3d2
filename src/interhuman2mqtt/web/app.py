"""The routes of the page: JSON for the browser's modules, server-sent events, and files."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from interhuman2mqtt.web import timeline
from interhuman2mqtt.web.acting import Acting
from interhuman2mqtt.web.attempts import TooManyAttemptsError
from interhuman2mqtt.web.auth import COOKIE, SESSION_S, Logins, Session, is_forged
from interhuman2mqtt.web.fleet import ribbon_part, summary
from interhuman2mqtt.web.fortnight import Fortnight
from interhuman2mqtt.web.http import Handler, RequestError, answer_asset, answer_error, file_handler, read_json
from interhuman2mqtt.web.lanes import read_lanes
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.rows import LATE, SCORES, CameraKey

SPAN_MAX_S = 32 * 86400.0
"""The longest range of one camera that is drawn."""


class App:
    """The routes, and the parts that they need.

    Args:
        page: The state that they show.
        acting: What who has logged in may do.
        logins: Who has logged in.
        public: Whether the page may be seen without logging in: only where nobody but this machine reaches it.
        secure: Whether cookies are for TLS alone.
    """

    def __init__(self, page: Page, acting: Acting, logins: Logins, *, public: bool, secure: bool) -> None:
        self._page = page
        self._routes = acting
        self._logins = logins
        self._public = public
        self._secure = secure

    def asgi(self, more: Sequence[Route] = ()) -> Starlette:
        """Return the application, with the routes of those who have a link and no login."""
        routes = [
            Route("/", file_handler("index.html")),
            Route("/assets/{name}", answer_asset),
            Route("/healthz", self._health),
            Route("/api/session", self._session),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/logout", self._acting(self._logout), methods=["POST"]),
            Route("/api/fleet", self._seeing(self._fleet)),
            Route("/api/camera/{box}/{name}", self._seeing(self._camera)),
            Route("/api/fortnight", self._seeing(self._fortnight)),
            Route("/api/events", self._seeing(self._events)),
            *more,
            *self._routes.routes(self._acting),
        ]
        return Starlette(routes=routes, exception_handlers={RequestError: answer_error, OSError: answer_error})

    def _seeing(self, handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not self._may_see(request):
                raise RequestError(401, "log in first")
            return await handler(request)

        return checked

    def _may_see(self, request: Request) -> bool:
        return self._public or self._of(request) is not None

    def _acting(self, handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            session = self._of(request)
            if session is None:
                raise RequestError(401, "log in first")
            if is_forged(session, request.headers.get("x-csrf-token")):
                raise RequestError(403, "the request does not carry the token of this login")
            return await handler(request)

        return checked

    def _of(self, request: Request) -> Session | None:
        return self._logins.session(request.cookies.get(COOKIE))

    async def _health(self, _request: Request) -> Response:  # noqa: ASYNC124 - as Starlette calls it
        return Response("everything moves\n", media_type="text/plain")

    async def _session(self, request: Request) -> Response:
        session = self._of(request)
        return JSONResponse(
            {
                "authenticated": session is not None,
                "may_see": self._may_see(request),
                "password_set": self._logins.needs_password,
                "csrf": session.csrf if session is not None else None,
            }
        )

    async def _login(self, request: Request) -> Response:
        password = (await read_json(request)).get("password")
        if not isinstance(password, str):
            raise RequestError(400, "the password is missing")
        try:
            cookie = self._logins.login(password)
        except TooManyAttemptsError as error:
            raise RequestError(429, str(error)) from error
        if cookie is None:
            raise RequestError(401, "the password is wrong" if self._logins.needs_password else "no password is set")
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE, cookie, max_age=int(SESSION_S), httponly=True, samesite="strict", secure=self._secure, path="/"
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        self._logins.logout(request.cookies.get(COOKIE))
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    async def _fleet(self, _request: Request) -> Response:
        cards = [self._page.cards[key] for key in sorted(self._page.cards)]
        number = self._page.stream.number
        return JSONResponse(
            {"broker": self._page.broker, "summary": summary(cards), "cameras": cards, "number": number}
        )

    async def _camera(self, request: Request) -> Response:
        key = CameraKey(request.path_params["box"], request.path_params["name"])
        span = _span(request.query_params)
        history = self._page.history
        (lane, engagement), signals, points = await self._page.use(
            lambda: (
                read_lanes(history, key, span, self._page.live()),
                history.spans("signal", key, *span),
                history.points("quality", key, *span),
            )
        )
        lanes: dict[str, list[list[Any]]] = {}
        for name, kind, start, end, probability, rationale in signals:
            lanes.setdefault(kind, []).append([start, end, probability, rationale, name.startswith(LATE)])
        within = [(row[0], row[1:]) for row in points if span[0] <= row[0] < span[1]]
        return JSONResponse(
            {
                "from": span[0],
                "to": span[1],
                "analysed": [ribbon_part(one) for one in lane],
                "engagement": [ribbon_part(one) for one in engagement],
                "signals": lanes,
                "quality": timeline.broken(within, lane),
                "quality_names": SCORES,
                "now": self._page.cards.get(key),
            }
        )

    async def _fortnight(self, request: Request) -> Response:
        query = request.query_params
        zone, days = _zone(query.get("zone")), int(_number(query, "days", 14, 1, 31))
        cameras = [
            key
            for key in await self._page.use(self._page.history.cameras)
            if query.get("box", key.box) == key.box and query.get("camera", key.name) == key.name
        ]
        today = datetime.now(zone).astimezone(zone).date()
        dates = [today - timedelta(days=back) for back in reversed(range(days))]
        fortnight = Fortnight(dates, zone)
        for key in cameras:
            lanes = await self._page.use(
                partial(read_lanes, self._page.history, key, fortnight.span, self._page.live())
            )
            fortnight.add(lanes.engagement)
        return JSONResponse({"days": [day.isoformat() for day in dates], "hours": fortnight.rows()})

    async def _events(self, request: Request) -> Response:
        # The browser's own word is newer than its first address, which says up to where it had loaded the fleet.
        last = request.headers.get("last-event-id") or request.query_params.get("after", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else None

        async def body() -> AsyncIterator[bytes]:
            # Until who reads has logged out, or for as long as a login lasts.
            async for chunk in self._page.stream.read(after, lambda: self._may_see(request)):
                yield chunk

        return StreamingResponse(body(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _span(query: Mapping[str, str]) -> tuple[float, float]:
    now = datetime.now(UTC).timestamp()
    end = _number(query, "to", now, 0, 1e11)
    start = _number(query, "from", end - 3600, 0, 1e11)
    if not 1 <= end - start <= SPAN_MAX_S:
        raise RequestError(400, "from has to be before to, by 32 days at most")
    return start, end


def _number(query: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    try:
        value = float(query.get(name, default))
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise RequestError(400, f"{name} has to be a number from {least:g} to {most:g}")
    return value


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RequestError(400, "zone has to be a time zone such as Europe/Copenhagen") from error
