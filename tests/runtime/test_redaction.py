"""No secret gets through, however it is written."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.runtime.redaction import MARK, redact, redact_deep, register_secret

SECRET = "p@ss/w:rd 'ö\" +\\&"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_each_way_to_write_it(written: str) -> None:
    """A secret is found raw, quoted, URL-encoded and in base64, in the midst of other text."""
    register_secret(SECRET)
    hidden = redact(f"rtsp://viewer:{written}@10.0.0.5/stream")
    assert written.rstrip("=") not in hidden
    assert hidden.startswith("rtsp://viewer:***")
    assert hidden.endswith("@10.0.0.5/stream")


@given(st.text("abcdefghijkl?>~ö", min_size=8, max_size=40), st.text("uvw", max_size=9), st.text("xyz", max_size=9))
def test_inside_other_base64(secret: str, before: str, after: str) -> None:
    """A secret is found in base64 wherever it stood in what was encoded, as in HTTP's Basic authentication."""
    register_secret(secret)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert MARK in redact(encode(f"{before}:{secret}{after}".encode()).decode())


def test_innocent_words_stay() -> None:
    """Without secrets, or with others, a text is not touched; one that is part of many words hides nothing."""
    assert redact("front: streaming") == "front: streaming"
    register_secret("")
    register_secret("ing")
    register_secret("abcd")
    assert redact("front: streaming YWJjZA") == "front: streaming ***"
    assert redact("a b c d, A, dozens of words") == "a b c d, A, dozens of words"


def test_the_longest_goes_first() -> None:
    """Where one secret begins with another, nothing of the longer one is left."""
    register_secret("abcd")
    register_secret("abcd-efgh")
    assert redact("key abcd-efgh!") == "key ***!"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": ["hunter22", 1, None, True, 2.5]}, {"a": [MARK, 1, None, True, 2.5]}),
        ({"hunter22": ("x", {"hunter22"})}, {MARK: ["x", [MARK]]}),
        (b"\xffhunter22", "\\xff***"),
        (ValueError("bad key hunter22"), "ValueError('bad key ***')"),
        (Path("/etc/hunter22"), "/etc/***"),
    ],
)
def test_whatever_holds_it(value: Any, expected: object) -> None:
    """A secret is found in all that a log line can be given, however deep."""
    register_secret("hunter22")
    assert expected == redact_deep(value)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("the password of the passenger", "the password of the passenger"),
        ("rtsp://viewer:pass@10.0.0.5/", "rtsp://viewer:***@10.0.0.5/"),
        ("Bearer pass", "Bearer ***"),
        ("compass", "compass"),
    ],
)
def test_a_short_secret_does_not_mark_itself(text: str, hidden: str) -> None:
    """A secret that is part of common words is hidden where it stands alone: `***word` would tell what it is."""
    register_secret("pass")
    assert redact(text) == hidden
