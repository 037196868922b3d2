"""All secrets that were loaded, and the masking of them in any text.

A secret is found as it is, URL-encoded (`rtsp://viewer:p%40ss@...`), as JSON and Python write it in quotes, and in
base64, also where it is only a part of what was encoded (`Authorization: Basic` holds `user:password`).
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus

MARK = "***"
SHORTEST = 4
"""Characters below which a secret stands in innocent words and numbers; hiding it would blind the log and tell it."""
ALONE_BELOW = 6
"""Characters below which a form of a secret is part of common words."""
USER_SAFE = "!\"$&'()*+,-.;<=>@[\\]^_`{|}~ "
"""What may stand as it is in the user part of a URL for FFmpeg: each encoded character takes three of its few."""
PASSWORD_SAFE = USER_SAFE + ":"
FRAGMENT_MIN = 6
"""Characters of base64 below which a fragment would be found in innocent words too."""

# Secrets have a type of their own (`config.secrets.Secret`) that shows nothing, and that is not enough: the text of an
# exception of FFmpeg has the URL with the password in it, and the cloud echoes a key as it likes. So every text that
# leaves the process is searched for every form of every secret that was read, at the few places where texts leave: log,
# MQTT, socket, terminal. To redact where a text is made would make each new message a new chance to forget it.
_forms: set[str] = set()
_pattern: re.Pattern[str] | None = None


def register_secret(secret: str) -> None:
    """Let this secret show in no log line and no text that goes through `redact` from now on."""
    global _forms, _pattern  # noqa: PLW0603 - the secrets of a process are one list, which grows only
    if len(secret) >= SHORTEST:
        _forms = _forms | set(forms(secret))  # anew: another thread may be walking through the old one
        longest_first = sorted(_forms, key=len, reverse=True)
        _pattern = re.compile("|".join(map(_matching, longest_first)))


def _matching(form: str) -> str:
    """Return a pattern; a short form only where it stands alone: `***word` would give away a common word."""
    if len(form) >= ALONE_BELOW:
        return re.escape(form)
    before, after = (r"(?<!\w)" if form[0].isalnum() else ""), (r"(?!\w)" if form[-1].isalnum() else "")
    return before + re.escape(form) + after


def redact(text: str) -> str:
    """Return the text with a mark in place of each secret."""
    return _pattern.sub(MARK, text) if _pattern else text


def redact_deep(value: object) -> object:
    """Redact all that JSON can hold; bytes become the text that they are, anything else its `str`."""
    match value:
        case str():
            return redact(value)
        case None | int() | float():
            return value
        case Mapping():
            return {redact(str(key)): redact_deep(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact_deep(item) for item in value]
        case _:
            return redact(as_text(value))


def as_text(value: object) -> str:
    """Return a value that JSON does not know, as people would write it."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="backslashreplace")
    return repr(value) if isinstance(value, BaseException) else str(value)


def forms(secret: str) -> Iterator[str]:
    """Return all the ways in which a secret is commonly written."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe=PASSWORD_SAFE)):
        yield encoded
        yield re.sub("%..", lambda digits: digits[0].lower(), encoded)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode()).decode().rstrip("=")
        for before in range(3):
            fragment = base64_fragment(secret.encode(), before, encode)
            if len(fragment) >= FRAGMENT_MIN:
                yield fragment


def base64_fragment(secret: bytes, before: int, encode: Callable[[bytes], bytes]) -> str:
    """Return the part of a secret's base64 that is the same whatever `before` bytes (modulo 3) stand in front of it.

    Base64 writes 6 bits a character: the characters that the neighbours have a bit in are left out.
    """
    encoded = encode(bytes(before) + secret).decode()
    first, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
    return encoded[first:end]
