"""Messages as they go through the pipes between the daemon and a capture worker.

Both ways in one format::

    4 bytes  length of the header, big endian
    4 bytes  length of the payload, big endian
    header   JSON with the key "type"
    payload  bytes: the media of a chunk, or a JPEG, else nothing
"""

# Why not `multiprocessing`: its pipes carry pickles, so that a worker that was taken over by a broken stream could run
# code in the daemon, and its children import the parent's main module, or share its locks and descriptors where they
# are forked, with trio's loop among them. Its queues have threads that die with their process, a half message behind
# them. Here a frame is two lengths, typed JSON that msgspec checks, and the media beside it; what is no frame is an
# IpcError, and the worker is replaced. A worker can be tried by hand: `python -m interhuman2mqtt.capture`.

import struct
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from interhuman2mqtt.capture.ipc import Command, Frame

PREFIX = struct.Struct(">II")
HEADER_MAX = 64 << 10
PAYLOAD_MAX = 256 << 20
DECODE_ERRORS = (ValueError, RecursionError)
"""The errors of msgspec: its own, that of text which is no UTF-8, and that of lists in lists in lists."""


class IpcError(Exception):
    """The bytes from the pipe are no frame: the worker is broken and must be replaced."""


_encode = msgspec.json.Encoder().encode
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_frames: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


def pack(message: Command | Frame, payload_size: int = 0) -> bytes:
    """Return one message as it goes through the pipe, but for its payload, which comes next."""
    header = _encode(message)
    return PREFIX.pack(len(header), payload_size) + header


def unpack_prefix(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and payload; raises IpcError where they cannot be true."""
    header, payload = PREFIX.unpack(prefix)
    if not 0 < header <= HEADER_MAX or payload > PAYLOAD_MAX:
        raise IpcError(f"a frame of {header} + {payload} bytes cannot be")
    return header, payload


def unpack_command(header: bytes) -> Command:
    """Return a command by its header; raises IpcError."""
    try:
        return _commands.decode(header)
    except DECODE_ERRORS as error:
        raise IpcError(f"not a command: {error}") from error


class _FirstFrame(Struct):
    type: str
    version: str = ""


def unpack_version(header: bytes) -> str:
    """Return which version a worker is of, by its first frame; empty: one before there was `Hello`. Raises IpcError."""
    try:
        return msgspec.json.decode(header, type=_FirstFrame).version
    except DECODE_ERRORS as error:
        raise IpcError(f"not a frame: {error}") from error


def unpack_frame(header: bytes) -> Frame:
    """Return a frame by its header; raises IpcError."""
    try:
        return _frames.decode(header)
    except DECODE_ERRORS as error:
        raise IpcError(f"not a frame: {error}") from error


def frames(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Yield the whole frames at the head of the buffer, and remove them from it."""
    while len(buffer) >= PREFIX.size:
        header, payload = unpack_prefix(bytes(buffer[: PREFIX.size]))
        middle = PREFIX.size + header
        if len(buffer) < middle + payload:
            return
        frame = bytes(buffer[PREFIX.size : middle]), bytes(memoryview(buffer)[middle : middle + payload])
        del buffer[: middle + payload]
        yield frame
