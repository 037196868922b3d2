"""Text from outside (a broker, the cloud, a camera, FFmpeg), in which anything may stand, made fit for a terminal."""

import re
import unicodedata

LONG = 500
"""Characters that are shown of one text."""
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what a terminal obeys instead of showing it: controls, directions, line breaks."""


_CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is, and terminals obey."""


def clean(text: object, longest: int = LONG) -> str:
    """Return a text on one line, in which nothing moves the cursor, changes a colour or hides what stands beside it."""
    shown = str(text)[: longest + 1]
    safe = "".join("\ufffd" if unicodedata.category(sign) in _HARMFUL else sign for sign in shown)
    return safe if len(safe) <= longest else f"{safe[: longest - 1]}…"


def clean_lines(text: object) -> str:
    """Return a text of several lines, each of them clean; none is cut."""
    return "\n".join(clean(line.replace("\t", "    "), max(len(line) * 4, 1)) for line in str(text).split("\n"))


def escape_json(encoded: str) -> str:
    """Return JSON that means the same, and in which nothing stands that a terminal obeys."""
    return _CONTROLS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", encoded)
