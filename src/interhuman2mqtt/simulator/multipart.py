"""`multipart/form-data` (RFC 7578) as the upload endpoints take it: one file, and fields of which some are repeated."""

from collections.abc import Mapping, Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from typing import NamedTuple

from interhuman2mqtt.simulator.errors import Answer


class Form(NamedTuple):
    """The parts of a request."""

    fields: Mapping[str, Sequence[str]]
    """The values of each field, in their order."""
    file: bytes | None
    filename: str

    def one(self, name: str) -> str | None:
        """Return the value of a field that may come once."""
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise Answer("ih4005", f"{name} may be sent once.")
        return values[0] if values else None


def parse_form(content_type: str, body: bytes) -> Form:
    """Return the parts of a body; raise Answer (ih4005) where it is no form."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Answer("ih4005", "The body must be multipart/form-data.")
    # A boundary does not occur within a part (RFC 2046, 5.1.1), so that cutting is all there is to it. The parser of
    # the `email` package would cut 32 MB of video into lines first.
    delimiter = b"\r\n--" + boundary.encode()
    parts = (b"\r\n" + body).split(delimiter)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise Answer("ih4005", "The body is not terminated by its boundary.")
    fields: dict[str, list[str]] = {}
    file, filename = None, ""
    for part in parts[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name, file_name = _disposition(head.lstrip(b"\r\n"))
        if name == "file":
            file, filename = value, file_name or ""
        else:
            fields.setdefault(name, []).append(value.decode(errors="replace"))
    return Form(fields, file, filename)


def _disposition(head: bytes) -> tuple[str, str | None]:
    """Return the name of a part, and its file's name."""
    headers = BytesHeaderParser().parsebytes(head)
    name = headers.get_param("name", header="Content-Disposition")
    if not isinstance(name, str):
        raise Answer("ih4005", "A part of the form has no name.")
    return name, headers.get_filename()
