"""How many pictures a chunk holds, told by its structure alone (ISO/IEC 14496-12: 4.2, 8.8.4 to 8.8.8)."""

from collections.abc import Iterator

VIDEO_TRACK = 1
"""The recorder adds the picture first."""


def pictures(chunk: bytes) -> int:
    """Samples of the video track in fragmented MP4."""
    return sum(
        int.from_bytes(trun[4:8], "big")
        for traf in _within(memoryview(chunk), b"moof", b"traf")
        if any(int.from_bytes(tfhd[4:8], "big") == VIDEO_TRACK for tfhd in _within(traf, b"tfhd"))
        for trun in _within(traf, b"trun")
    )


def _within(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    """The contents of all boxes at a path."""
    kind, *rest = path
    for found, content in _boxes(data):
        if found == kind:
            if rest:
                yield from _within(content, *rest)
            else:
                yield content


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            return
        yield bytes(data[at + 4 : at + 8]), data[at + 8 : at + size]
        at += size
