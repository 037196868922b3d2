"""Which of the known words was probably meant."""

from collections.abc import Collection
from difflib import get_close_matches

SYNONYMS = {
    "bitrate": ("video_bitrate",),
    "broker": ("url",),
    "device": ("source",),
    "framerate": ("fps",),
    "host": ("url", "source"),
    "input": ("source",),
    "key": ("api_key", "key_file"),
    "mic": ("microphone",),
    "pass": ("password",),
    "path": ("source",),
    "pwd": ("password",),
    "resolution": ("size",),
    "server": ("url",),
    "token": ("api_key",),
    "topic": ("base_topic",),
    "tz": ("timezone",),
    "uri": ("url", "source"),
    "url": ("source",),
    "user": ("username",),
}
"""What other programs call the same thing; the first that is known in the place is meant."""


def nearest(word: str, known: Collection[str], likeness: float = 0.7) -> str | None:
    """The known word that was probably meant, if one is near; 1 is the same word, 0 has nothing in common."""
    lowered = {name.lower(): name for name in known}
    synonyms = (name for name in SYNONYMS.get(word.lower(), ()) if name in known)
    swapped = (name for name in known if sorted(name.lower()) == sorted(word.lower()))
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=likeness)
    return next(synonyms, None) or next(swapped, None) or next((lowered[match] for match in close), None)


def did_you_mean(word: str, known: Collection[str], likeness: float = 0.7) -> str:
    """`; did you mean "source"?`, or nothing."""
    meant = nearest(word, known, likeness)
    return f'; did you mean "{meant}"?' if meant else ""
