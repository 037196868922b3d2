"""Every error that the API can answer with: its words, its HTTP status, and the close code that follows it.

Source: the vendor's error page and SDK, as gathered in the protocol notes. Where the vendor documents no close code,
the one here is our choice, and a client must not rely on it.
"""

from msgspec import Struct

_DOCUMENTATION = "https://docs.interhuman.ai/api-reference/error-handling"


class ApiError(Struct, frozen=True):
    """One documented error."""

    code: str
    """ihNNNN, the only part that a client may branch on."""
    message: str
    status: int
    """HTTP status where the upgrade is refused with it."""
    close: int
    """WebSocket close code where it ends a session."""

    @property
    def link(self) -> str:
        """Where the vendor explains it."""
        slug = "-".join("".join(c if c.isalnum() else " " for c in self.message.lower()).split())
        return f"{_DOCUMENTATION}#{self.code}-{slug}"


_ERRORS = (
    ApiError("ih1001", "Internal server error", 500, 1011),
    ApiError("ih1002", "Instance overloaded", 503, 1013),
    ApiError("ih1003", "No backend serves the model", 503, 1013),
    ApiError("ih1004", "Interrupted", 500, 1011),
    ApiError("ih2001", "Invalid credentials", 401, 1008),
    ApiError("ih2002", "Missing credentials", 401, 1008),
    ApiError("ih2003", "Missing scope", 403, 4003),
    ApiError("ih2010", "Client token expired", 401, 1008),
    ApiError("ih2011", "Client token invalid", 401, 1008),
    ApiError("ih2014", "Client token revoked", 401, 1008),
    ApiError("ih3001", "Rate limit exceeded", 429, 1013),
    ApiError("ih3002", "Concurrency limit reached", 429, 1001),
    ApiError("ih3003", "Usage quota exhausted", 429, 1008),
    ApiError("ih3006", "Client token video budget spent", 429, 1008),
    ApiError("ih4001", "No file", 400, 1008),
    ApiError("ih4002", "Unsupported container", 400, 1008),
    ApiError("ih4003", "File too large", 413, 1009),
    ApiError("ih4004", "File too long", 400, 1008),
    ApiError("ih4005", "Invalid parameter", 400, 1008),
    ApiError("ih4007", "File too short", 400, 1008),
    ApiError("ih4021", "No such job", 404, 1008),
    ApiError("ih5001", "No usable video", 422, 1008),
    ApiError("ih5002", "Media unreadable", 422, 1008),
    ApiError("ih5003", "Media unusable", 422, 1008),
    ApiError("ih5004", "Malformed segment", 422, 1008),
    ApiError("ih5005", "Media unusable", 422, 1008),
    ApiError("ih5006", "Segment too short", 422, 1008),
    ApiError("ih5007", "Media unusable", 422, 1008),
    ApiError("ih5008", "No audio track", 422, 1008),
    ApiError("ih6001", "Invalid message", 400, 1008),
    ApiError("ih6002", "Message too large", 413, 1009),
    ApiError("ih6003", "Session idle timeout", 408, 1000),
    ApiError("ih6004", "Session maximum duration", 408, 1000),
)

CATALOGUE: dict[str, ApiError] = {error.code: error for error in _ERRORS}


def lookup(code: str) -> ApiError:
    """Return the documented error, or one of that id with nothing known about it, as a newer server would send."""
    return CATALOGUE.get(code) or ApiError(code, "Unknown error", 500, 1011)


class Answer(Exception):  # noqa: N818 - the server's answer to a mistake of the client's, not a fault of ours
    """An error that a client has earned by what it sent: an envelope, and the session goes on; or an HTTP answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = lookup(code)
        self.message = message
