"""SQLite's write-ahead log, looked at before SQLite opens it. Blocks; raises OSError.

SQLite takes the first frame that does not fit for the end of the log: right after a power cut, and a silent loss of all
that was committed behind it where one bit of the disk has turned. The two can be told apart. What a power cut leaves
half written is the last transaction alone, for each one is on the disk before the next begins (synchronous=FULL). And
the checksum is linear, so that it tells of a frame whether one bit is wrong, and which.

The format is SQLite's own (https://www.sqlite.org/fileformat2.html, 4.1 to 4.3): a header of 32 bytes, then frames of
24 bytes and a page each. Each frame has the two salts of the header, and a checksum that goes on from the one before;
one whose second word is not 0 commits a transaction, and says how many pages the database has then.
"""

import struct
from collections.abc import Iterator
from enum import Enum, auto
from itertools import islice, product
from pathlib import Path
from typing import BinaryIO, NamedTuple

HEADER, FRAME = 32, 24
MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""The first word of a log, and how its checksums take words."""
VERSION = 3007000
ORDINARY_PAGE = 4096
FIRST = 3
"""Frames by which a log is read that has no header any more."""
MORE = 1 << 30
"""Bytes by which a database does not grow at once."""
WORD = 1 << 32
Sums = tuple[int, int]


class WalState(Enum):
    """How a frame is."""

    SOUND = auto()
    """As it was written."""
    MENDED = auto()
    """The same, since the one bit that had turned was turned back."""
    TURNED = auto()
    """One bit of it has turned, and it cannot be told which."""
    MISSING = auto()
    """Something else is there: it was not written, or is damaged beyond that."""


class WalFrame(NamedTuple):
    """One page of one transaction."""

    page: int
    size: int
    """Pages of the database, where it commits; else 0."""
    data: bytes
    state: WalState


class Rebuilt(NamedTuple):
    """What a log and its database come to."""

    image: bytes
    """Of a database that has no log."""
    is_complete: bool
    """Whether all is in it that was committed, as it was written."""


class _Format(NamedTuple):
    """How a log is to be read."""

    page_size: int
    order: str
    salts: Sums
    sums: Sums
    """Those of the header, from which the first frame's go on."""
    is_sound: bool
    """Whether the header is as it was written."""


def damage(database: Path) -> str | None:
    """What is wrong with the log of a database; None where it is whole, not there, or ends as after a power cut."""
    try:
        with _log_of(database).open("rb") as file:
            layout = _format(file, database)
            return None if layout is None else _judged(_frames(file, layout), header_is_sound=layout.is_sound)
    except FileNotFoundError:
        return None


def rebuild(database: Path) -> Rebuilt:
    """The database with all that its damaged log holds, as far as that is as it was written."""
    image = bytearray(database.read_bytes() if database.exists() else b"")
    with _log_of(database).open("rb") as file:
        layout = _format(file, database)
        is_complete = layout is None or _apply_all(image, _frames(file, layout), layout.page_size)
    image[18:20] = b"\x01\x01"  # the versions of a database that has no log (1.3.3)
    return Rebuilt(bytes(image), is_complete)


def _apply_all(image: bytearray, frames: Iterator[WalFrame], page_size: int) -> bool:
    """Whether all are as they were written up to the last one that commits."""
    pages: dict[int, bytes] = {}
    is_complete = is_certain = True
    for frame in frames:
        is_certain &= frame.state in (WalState.SOUND, WalState.MENDED)
        if frame.state is WalState.MISSING:
            continue
        pages[frame.page] = frame.data
        if frame.size:
            _apply(image, pages, page_size, frame.size * page_size)
            pages.clear()
            is_complete &= is_certain
    return is_complete


def _apply(image: bytearray, pages: dict[int, bytes], page_size: int, length: int) -> None:
    if length > len(image) + MORE:
        return  # no transaction is so large: the bit that has turned is in its size
    del image[length:]
    image.extend(bytes(length - len(image)))
    for page, data in pages.items():
        begins = (page - 1) * page_size
        if 0 <= begins < length:
            image[begins : begins + page_size] = data


def _judged(frames: Iterator[WalFrame], *, header_is_sound: bool) -> str | None:
    """Damage is a bit that has turned, or a frame that is missing while a *later* transaction is committed behind it.

    The first commit behind it may be its own, which a power cut may have left: then nobody was told that it was made.
    Before the header no transaction begins; it is on the disk before the first one.
    """
    first = None if header_is_sound else 0
    own, behind = int(header_is_sound), 0
    for number, frame in enumerate(frames, 1):
        if frame.state in (WalState.MENDED, WalState.TURNED):
            return f"a bit in frame {number} of its write-ahead log has turned"
        if frame.state is WalState.MISSING:
            first = number if first is None else first
        elif first is not None and frame.size:
            behind += 1
    if first is None or behind <= own:
        return None
    what = f"frame {first}" if first else "the header"
    return f"{what} of its write-ahead log is not as it was written, and later transactions are"


def _log_of(database: Path) -> Path:
    return Path(f"{database}-wal")


def _format(file: BinaryIO, database: Path) -> _Format | None:
    """How to read a log; None where it has no frames."""
    header = file.read(HEADER)
    salts = file.read(FRAME)[8:16]
    if len(salts) < 8:
        return None
    by_header = _formats_of(header)
    if by_header and by_header[0].is_sound:
        return by_header[0]
    by_frame = [
        _Format(size, order, struct.unpack(">2I", salts), struct.unpack(">2I", header[24:]), is_sound=False)
        for size, order in product(dict.fromkeys((_page_size(database), ORDINARY_PAGE)), "<>")
    ]
    for layout in [*by_header, *by_frame]:
        if any(frame.state is WalState.SOUND for frame in islice(_frames(file, layout), FIRST)):
            return layout
    return None


def _formats_of(header: bytes) -> list[_Format]:
    """What the header says, or may have said before one bit of it turned."""
    content, sums = header[:24], struct.unpack(">2I", header[24:])
    found = []
    for order in "<>":
        summed = _sums((0, 0), content, order)
        one_off = [content] if _bits(summed, sums) <= 1 else []
        for right in [*one_off, *_mended(content, order, summed, sums)]:
            magic, version, page_size, _, *salts = struct.unpack(">6I", right)
            if MAGICS.get(magic) == order and version == VERSION and 512 <= page_size <= 65536:
                right_sums = summed if right is content else sums
                found.append(_Format(page_size, order, (salts[0], salts[1]), right_sums, is_sound=summed == sums))
    return found


def _page_size(database: Path) -> int:
    try:
        with database.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:18])
    except FileNotFoundError:
        return ORDINARY_PAGE
    return 65536 if size == 1 else max(size, 512)


def _frames(file: BinaryIO, layout: _Format) -> Iterator[WalFrame]:
    """All frames that do not end before their time, mended where one bit has turned."""
    file.seek(HEADER)
    before = [layout.sums]
    while len(frame := file.read(FRAME + layout.page_size)) == FRAME + layout.page_size:
        content, salts, sums = frame[:8] + frame[FRAME:], *struct.iter_unpack(">2I", frame[8:FRAME])
        state, content, summed = _state(content, (salts, sums), before, layout)
        page, size = struct.unpack(">2I", content[:8])
        yield WalFrame(page, size, content[8:], state)
        before = [sums] if state is WalState.SOUND else [sums, summed]  # whichever of them was right


def _state(
    content: bytes, said: tuple[Sums, Sums], before: list[Sums], layout: _Format
) -> tuple[WalState, bytes, Sums]:
    """How a frame is that says its salts and sums, its content at best, and what its sums should be."""
    salts, sums = said
    turned = _bits(salts, layout.salts)
    if turned > 1:
        return WalState.MISSING, content, sums
    if any(_sums(one, content, layout.order) == sums for one in before):
        return WalState.MENDED if turned else WalState.SOUND, content, sums
    summed = _sums(before[0], content, layout.order)
    one_off = [content] if _bits(summed, sums) == 1 else []
    candidates = [] if turned else [*one_off, *_mended(content, layout.order, summed, sums)]
    if len(candidates) == 1:
        return WalState.MENDED, candidates[0], summed
    return WalState.TURNED if candidates else WalState.MISSING, content, summed


def _bits(some: Sums, others: Sums) -> int:
    """How many bits are different."""
    return (some[0] ^ others[0]).bit_count() + (some[1] ^ others[1]).bit_count()


def _sums(sums: Sums, content: bytes, order: str) -> Sums:
    """The checksum of `content`, whose length is a multiple of eight, going on from `sums` (4.2)."""
    one, two = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = one + first + two & WORD - 1
        two = two + second + one & WORD - 1
    return one, two


def _mended(content: bytes, order: str, summed: Sums, sums: Sums) -> list[bytes]:
    """The content with one bit turned back so that `sums` fit it, in each way in which that can be.

    Each word is added to what two sums of those before it are, so that one that is wrong by x makes the two sums wrong
    by x times two Fibonacci numbers that follow each other, smaller ones the nearer the word is to the end. Modulo
    2**32 these repeat: of the nine highest bits of a word it cannot be told in which word of a page they are.
    """
    off = (sums[0] - summed[0]) % WORD, (sums[1] - summed[1]) % WORD
    weights = 0, 1
    found = []
    for at in range(len(content) - 4, -4, -4):
        odd = 0 if weights[0] % 2 else 1
        change = off[odd] * pow(weights[odd], -1, WORD) % WORD
        if change and change * weights[1 - odd] % WORD == off[1 - odd]:
            (word,) = struct.unpack_from(f"{order}I", content, at)
            if (word ^ (word + change) % WORD).bit_count() == 1:
                right = struct.pack(f"{order}I", (word + change) % WORD)
                found.append(content[:at] + right + content[at + 4 :])
        weights = weights[1], sum(weights) % WORD
    return found
