"""The API key, kept out of sight."""

from interhuman2mqtt import redaction


class HiddenBytes(bytes):
    """Bytes that are sent like any others, and do not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


class Key:
    """The API key, which must not be seen when a traceback shows local values."""

    def __init__(self, key: str) -> None:
        self._key = key
        redaction.hide(key)  # some servers name the key that they refuse

    def __repr__(self) -> str:
        return "Key(***)"

    def header(self) -> bytes:
        """The value of `Authorization`."""
        return HiddenBytes(f"Bearer {self._key}".encode())
