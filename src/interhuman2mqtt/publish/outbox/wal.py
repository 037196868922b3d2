"""SQLite's write-ahead log, looked at before SQLite opens it. Blocks; raises OSError.

The format is SQLite's own (https://www.sqlite.org/fileformat2.html, 4.1 to 4.3): a header of 32 bytes, then frames of
24 bytes and a page each. Each frame has the two salts of the header, and a checksum that goes on from the one before;
one whose second word is not 0 commits a transaction, and says how many pages the database has then.
"""

# Why look at all: SQLite takes the first frame that does not fit for the end of the log. That is right after a power
# cut, and where one bit of the disk has flipped a silent loss of all that was committed behind it; no pragma reports
# it, and `quick_check` looks at what is left. The two can be distinguished. A power cut leaves only the last
# transaction half written, for each one is on the disk before the next begins (synchronous=FULL). And the checksum is
# linear, so that it shows of a frame whether one bit is wrong, and which.

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
    """State of a frame."""

    INTACT = auto()
    """As it was written."""
    REPAIRED = auto()
    """The same, since the one bit that had flipped was flipped back."""
    FLIPPED = auto()
    """One bit of it has flipped, and it is not known which."""
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
    """A database with its log applied."""

    image: bytes
    """Content of a file that needs no log."""
    is_complete: bool
    """True where all is in it that was committed, as it was written."""


class _Format(NamedTuple):
    """Parameters of a log, without which its frames cannot be read."""

    page_size: int
    order: str
    salts: Sums
    sums: Sums
    """Those of the header, from which the first frame's go on."""
    is_intact: bool
    """True where the header is as it was written."""


def damage(database: Path) -> str | None:
    """Return what is wrong with the log of a database; None where it is whole, absent, or ends as after a power cut."""
    try:
        with _log_of(database).open("rb") as file:
            layout = _format(file, database)
            return None if layout is None else _judged(_frames(file, layout), header_is_intact=layout.is_intact)
    except FileNotFoundError:
        return None


def rebuild(database: Path) -> Rebuilt:
    """Return the database with all that its damaged log holds, as far as that is as it was written."""
    image = bytearray(database.read_bytes() if database.exists() else b"")
    with _log_of(database).open("rb") as file:
        layout = _format(file, database)
        is_complete = layout is None or _apply_all(image, _frames(file, layout), layout.page_size)
    image[18:20] = b"\x01\x01"  # the versions of a database that has no log (1.3.3)
    return Rebuilt(bytes(image), is_complete)


def _apply_all(image: bytearray, frames: Iterator[WalFrame], page_size: int) -> bool:
    """Apply all transactions; return whether all frames up to the last commit are as they were written."""
    pages: dict[int, bytes] = {}
    is_complete = is_certain = True
    for frame in frames:
        is_certain &= frame.state in (WalState.INTACT, WalState.REPAIRED)
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
        return  # no transaction is so large: the bit that has flipped is in its size
    del image[length:]
    image.extend(bytes(length - len(image)))
    for page, data in pages.items():
        begins = (page - 1) * page_size
        if 0 <= begins < length:
            image[begins : begins + page_size] = data


def _judged(frames: Iterator[WalFrame], *, header_is_intact: bool) -> str | None:
    """Return the damage: a bit that has flipped, or a frame missing while a *later* transaction is committed behind it.

    The first commit behind it may be its own, which a power cut may have left: then `write` never returned from it.
    Before the header no transaction begins; it is on the disk before the first one.
    """
    first = None if header_is_intact else 0
    own, behind = int(header_is_intact), 0
    for number, frame in enumerate(frames, 1):
        if frame.state in (WalState.REPAIRED, WalState.FLIPPED):
            return f"a bit in frame {number} of its write-ahead log has flipped"
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
    """Return how to read a log; None where it has no frames."""
    header = file.read(HEADER)
    salts = file.read(FRAME)[8:16]
    if len(salts) < 8:
        return None
    by_header = _formats_of(header)
    if by_header and by_header[0].is_intact:
        return by_header[0]
    by_frame = [
        _Format(size, order, struct.unpack(">2I", salts), struct.unpack(">2I", header[24:]), is_intact=False)
        for size, order in product(dict.fromkeys((_page_size(database), ORDINARY_PAGE)), "<>")
    ]
    for layout in [*by_header, *by_frame]:
        if any(frame.state is WalState.INTACT for frame in islice(_frames(file, layout), FIRST)):
            return layout
    return None


def _formats_of(header: bytes) -> list[_Format]:
    """Return what the header says, or may have said before one bit of it flipped."""
    content, sums = header[:24], struct.unpack(">2I", header[24:])
    found = []
    for order in "<>":
        summed = _sums((0, 0), content, order)
        one_off = [content] if _different_bits(summed, sums) <= 1 else []
        for right in [*one_off, *_repairs(content, order, summed, sums)]:
            magic, version, page_size, _, *salts = struct.unpack(">6I", right)
            if MAGICS.get(magic) == order and version == VERSION and 512 <= page_size <= 65536:
                right_sums = summed if right is content else sums
                found.append(_Format(page_size, order, (salts[0], salts[1]), right_sums, is_intact=summed == sums))
    return found


def _page_size(database: Path) -> int:
    try:
        with database.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:18])
    except FileNotFoundError:
        return ORDINARY_PAGE
    return 65536 if size == 1 else max(size, 512)


def _frames(file: BinaryIO, layout: _Format) -> Iterator[WalFrame]:
    """Yield all whole frames, repaired where one bit has flipped."""
    file.seek(HEADER)
    before = [layout.sums]
    while len(frame := file.read(FRAME + layout.page_size)) == FRAME + layout.page_size:
        content, salts, sums = frame[:8] + frame[FRAME:], *struct.iter_unpack(">2I", frame[8:FRAME])
        state, content, summed = _state(content, (salts, sums), before, layout)
        page, size = struct.unpack(">2I", content[:8])
        yield WalFrame(page, size, content[8:], state)
        before = [sums] if state is WalState.INTACT else [sums, summed]  # whichever of them was right


def _state(
    content: bytes, stored: tuple[Sums, Sums], before: list[Sums], layout: _Format
) -> tuple[WalState, bytes, Sums]:
    """Return the state of a frame with its stored salts and sums, its content at best, and what its sums should be."""
    salts, sums = stored
    flipped = _different_bits(salts, layout.salts)
    if flipped > 1:
        return WalState.MISSING, content, sums
    if any(_sums(one, content, layout.order) == sums for one in before):
        return WalState.REPAIRED if flipped else WalState.INTACT, content, sums
    summed = _sums(before[0], content, layout.order)
    one_off = [content] if _different_bits(summed, sums) == 1 else []
    candidates = [] if flipped else [*one_off, *_repairs(content, layout.order, summed, sums)]
    if len(candidates) == 1:
        return WalState.REPAIRED, candidates[0], summed
    return WalState.FLIPPED if candidates else WalState.MISSING, content, summed


def _different_bits(some: Sums, others: Sums) -> int:
    """Return how many bits are different."""
    return (some[0] ^ others[0]).bit_count() + (some[1] ^ others[1]).bit_count()


def _sums(sums: Sums, content: bytes, order: str) -> Sums:
    """Return the checksum of `content`, whose length is a multiple of eight, going on from `sums` (4.2)."""
    one, two = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = one + first + two & WORD - 1
        two = two + second + one & WORD - 1
    return one, two


def _repairs(content: bytes, order: str, summed: Sums, sums: Sums) -> list[bytes]:
    """Return the content with one bit flipped back so that `sums` fit it, in each way in which that can be.

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
