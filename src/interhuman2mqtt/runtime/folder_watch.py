"""Whether anything in some folders may have changed (inotify(7)), so that they need not be read again and again."""

# Why it is only asked, and waits for nothing: a look costs a thread, for the disk may hang, and that costs half a
# millisecond twice a second; to ask the kernel costs a few microseconds. Whoever asks keeps his own time, and so what
# he promises, whether folders can be watched or not. The folder's own times would have to be read from the disk.

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
IN_ONLYDIR = 0x01000000
CHANGES = 0x0FCE
"""All that is done to a folder or what is in it, but for reading: IN_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM,
_MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF."""
LOCAL = {
    "ext": 0xEF53,
    "xfs": 0x58465342,
    "btrfs": 0x9123683E,
    "f2fs": 0xF2F52010,
    "bcachefs": 0xCA451A4E,
    "tmpfs": 0x01021994,
    "ramfs": 0x858458F6,
    "overlayfs": 0x794C7630,
    "ubifs": 0x24051905,
    "jffs2": 0x72B6,
    "vfat": 0x4D44,
}
"""File systems of which the kernel knows all changes, by `f_type` of statfs(2): another machine makes none of them."""
EVENTS_BYTES = 4096


class FolderWatch:
    """Watches folders, as far as that is possible."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)
        self._libc = ctypes.CDLL(None)
        self._events: int | None = None
        self._is_armed = False

    def arm(self) -> None:
        """Watch the folders that are there now; blocks as reading them does, and comes before that."""
        if self._events is None:
            number = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
            self._events = number if number >= 0 else None
        self._is_armed = self._events is not None and all(map(self._watch, self._folders))

    def _watch(self, folder: Path) -> bool:
        path = os.fsencode(folder)
        if self._kind(path) not in LOCAL.values():
            return False
        return bool(self._libc.inotify_add_watch(self._events, path, CHANGES | IN_ONLYDIR) >= 0)

    def _kind(self, path: bytes) -> int | None:
        """Return the `f_type` of the file system, the first word of what statfs(2) fills."""
        filled = ctypes.create_string_buffer(512)
        if self._libc.statfs(path, filled):
            return None
        return ctypes.c_long.from_buffer(filled).value & 0xFFFFFFFF

    def may_have_changed(self) -> bool:
        """Return whether anything changed since the last call; True as well where that cannot be known."""
        if self._events is None or not self._is_armed:
            return True
        has_changed = False
        with suppress(BlockingIOError):
            while os.read(self._events, EVENTS_BYTES):
                has_changed = True
        return has_changed

    def close(self) -> None:
        """Watch nothing any more."""
        if self._events is not None:
            os.close(self._events)
            self._events = None
