"""Parts of every route: an error with its status, a small JSON body, a file of ours."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from importlib import resources
from typing import Any

import msgspec
import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

ASSETS = resources.files("interhuman2mqtt.web") / "assets"
TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
}
NAME = re.compile(r"[a-z0-9-]{1,32}\.[a-z]{1,8}")
BODY_MAX = 4096
BODY_S = 10.0
"""For a small body to come in."""

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
    """Return the answer to a request that raised RequestError, or OSError where the disk hangs or is full."""
    if isinstance(error, RequestError):
        return JSONResponse({"error": str(error)}, status_code=error.status)
    return JSONResponse({"error": f"the history cannot be used now: {error}"}, status_code=503)


async def read_json(request: Request) -> Mapping[str, Any]:
    """Return the body, a JSON object of `BODY_MAX` bytes at most; raises RequestError."""
    raw = await read_body(request, BODY_MAX, BODY_S)
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the request is no JSON object") from error


async def read_body(request: Request, most: int, within: float) -> bytes:
    """Return the body of so many bytes at most, which came within so many seconds; raises RequestError."""
    length = request.headers.get("content-length", "0")
    if not (length.isdecimal() and len(length) < 16 and int(length) <= most):
        raise RequestError(413, "the request is too large")
    try:
        with trio.fail_after(within):
            return await _content(request, most)
    except trio.TooSlowError:
        raise RequestError(408, f"the request did not come within {within:g} s") from None
    except ClientDisconnect:  # nobody reads the answer
        raise RequestError(400, "the request broke off") from None


async def _content(request: Request, most: int) -> bytes:
    content = bytearray()
    async with aclosing(request.stream()) as stream:
        async for part in stream:
            content += part
            if len(content) > most:
                raise RequestError(413, "the request is too large")
    return bytes(content)


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
    if NAME.fullmatch(name) is None:
        raise RequestError(404, "there is no such file")
    return await file_handler(name)(request)
