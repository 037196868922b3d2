"""Text from a broker, on which anybody may have published anything, made fit for a terminal."""

import unicodedata

LONG = 500
"""Characters that are shown of one text."""
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what a terminal obeys instead of showing it: controls, directions, line breaks."""


def clean(text: object, longest: int = LONG) -> str:
    """A text on one line, in which nothing moves the cursor, changes a colour or hides what stands beside it."""
    shown = str(text)[: longest + 1]
    safe = "".join("\ufffd" if unicodedata.category(sign) in _HARMFUL else sign for sign in shown)
    return safe if len(safe) <= longest else f"{safe[: longest - 1]}…"
