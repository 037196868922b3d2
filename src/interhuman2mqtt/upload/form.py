"""`multipart/form-data` (RFC 7578) with one file, read piece by piece while it is sent."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from uuid import uuid4

import trio

from interhuman2mqtt.errors import Outage, Reason, Refused

BeforeEnd = Callable[[], Awaitable[None]]

PIECE = 64 << 10
"""Bytes that are read and sent at a time."""


class FormBody:
    """The body of a submit.

    Args:
        fields: Names and values; a name may be repeated.
        source: The file's content, or where it is.
        size: Its bytes.
        filename: What the file is called there.
        before_end: Awaited before the last piece is sent: until then nobody can have accepted the file.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        source: Path | bytes,
        size: int,
        filename: str,
        before_end: BeforeEnd | None = None,
    ) -> None:
        boundary = uuid4().hex  # random: that it stood within a file would be a chance of one in 2 to the 128th
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(filename)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._source = source
        self._size = size
        self._before_end = before_end
        self.is_ending = False
        """Whether the last piece was asked for: an answer that comes before that is about no whole file."""
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.size = len(self._head) + size + len(self._tail)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield it, piece by piece; raise Refused where the file cannot be read, Outage where it became shorter."""
        yield self._head
        for start in range(0, self._size, PIECE):
            yield await self._read(start, min(PIECE, self._size - start))
        if self._before_end is not None:
            await self._before_end()
        self.is_ending = True
        yield self._tail

    async def _read(self, start: int, size: int) -> bytes:
        """Return a piece of the file, which is opened anew for each: it is not held open while an uplink is slow."""
        if isinstance(self._source, bytes):
            return self._source[start : start + size]
        try:
            piece = await trio.to_thread.run_sync(_read_at, self._source, start, size)
        except OSError as error:
            raise unreadable(self._source, error) from error
        if len(piece) < size:
            raise Outage(Reason.INVALID_MEDIA, f"{self._source.name} became shorter while it was sent")
        return piece


def _read_at(source: Path, start: int, size: int) -> bytes:
    with source.open("rb") as file:
        file.seek(start)
        return file.read(size)


async def size_of(source: Path | bytes) -> int:
    """Return how many bytes a file has; raise Refused where it cannot be read."""
    if isinstance(source, bytes):
        return len(source)
    try:
        return (await trio.Path(source).stat()).st_size
    except OSError as error:
        raise unreadable(source, error) from error


def unreadable(source: Path, error: OSError) -> Refused:
    """Return the error for a file that cannot be read."""
    reason = Reason.NO_PERMISSION if isinstance(error, PermissionError) else Reason.NOT_FOUND
    return Refused(reason, f"{source.name} cannot be read: {error.strerror or error}")


def _quoted(filename: str) -> str:
    """Return a name as browsers write it: what would end the header is escaped."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
