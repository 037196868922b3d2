"""Challenges of HTTP and RTSP are answered as the RFC does it, by the best way that both sides know."""

import secrets

import pytest

from interhuman2mqtt.capture.http_auth import authorization, parse_challenges

LOGIN = ("Mufasa", "Circle of Life")


def test_the_example_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7616, 3.9.1: with MD5 and, where it is offered, rather with SHA-256."""
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(secrets, "token_hex", lambda _: cnonce)
    asked = 'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    md5, sha = f"Digest {asked}, algorithm=MD5", f"Digest {asked}, algorithm=SHA-256"
    what = ("GET", "/dir/index.html", LOGIN)
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in str(authorization(parse_challenges([md5]), *what))
    expected = 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"'
    assert expected in str(authorization(parse_challenges([md5, sha, "Basic x"]), *what))


def test_basic_goes_last_and_may_be_left_out() -> None:
    """It shows the password, so a digest goes before it, and who does not want it answers nothing."""
    basic, digest = 'Basic realm="x"', 'Digest realm="x", nonce="1"'
    what = ("GET", "/", LOGIN)
    assert str(authorization(parse_challenges([basic, digest]), *what)).startswith("Digest ")
    assert str(authorization(parse_challenges([basic]), *what)).startswith("Basic ")
    assert authorization(parse_challenges([basic]), *what, basic=False) is None


@pytest.mark.parametrize("header", ["Digest", "Digest realm=x", "Digest algorithm=MD6, nonce=1", "NTLM", "", "\x00"])
def test_what_cannot_be_answered(header: str) -> None:
    """A challenge without a nonce, or of a kind that we do not know, is left alone."""
    assert authorization(parse_challenges([header]), "GET", "/", LOGIN) is None
