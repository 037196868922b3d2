"""Parts of every route: an error with its status, a small JSON body, a file of ours."""

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

ASSETS = resources.files("interhuman2mqtt.web") / "assets"
TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
}
BODY_MAX = 4096

Handler = Callable[[Request], Awaitable[Response]]


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: Of HTTP.
        sentence: What is wrong.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def answer_error(_request: Request, error: Exception) -> Response:  # noqa: ASYNC124 - as Starlette calls it
    """Return the answer to a request that raised RequestError."""
    status = error.status if isinstance(error, RequestError) else 500
    return JSONResponse({"error": str(error)}, status_code=status)


async def read_json(request: Request) -> Mapping[str, Any]:
    """Return the body, a JSON object of `BODY_MAX` bytes at most; raises RequestError."""
    raw = await read_body(request, BODY_MAX)
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the request is no JSON object") from error


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of so many bytes at most; raises RequestError."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise RequestError(413, "the request is too large")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise RequestError(413, "the request is too large")
        parts.append(part)
    return b"".join(parts)


def file_handler(name: str, headers: Mapping[str, str] | None = None) -> Handler:
    """Return the handler that answers with a file of `assets`."""

    async def handler(_request: Request) -> Response:  # noqa: ASYNC124 - as Starlette calls it
        file = ASSETS / name
        if not file.is_file():
            raise RequestError(404, "there is no such file")
        kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        return Response(file.read_bytes(), media_type=kind, headers={"cache-control": "no-cache", **(headers or {})})

    return handler


async def answer_asset(request: Request) -> Response:
    """Return the file that the path names."""
    name = request.path_params["name"]
    if not name.replace("-", "").replace(".", "").isalnum() or name.startswith("."):
        raise RequestError(404, "there is no such file")
    return await file_handler(name)(request)
