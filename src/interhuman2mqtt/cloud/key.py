"""The API key, kept out of sight."""


class HiddenBytes(bytes):
    """Bytes that are sent like any others, and do not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


class Key:
    """The API key, which must not be seen when a traceback shows local values."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Key(***)"

    def header(self) -> bytes:
        """The value of `Authorization`."""
        return HiddenBytes(f"Bearer {self._key}".encode())

    def hide(self, text: str) -> str:
        """What the other side said, without the key: some servers name the key that they refuse."""
        return text.replace(self._key, "***") if self._key else text
