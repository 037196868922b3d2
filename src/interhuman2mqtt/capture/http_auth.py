"""HTTP authentication, which RTSP uses as well: challenges parsed, answers computed (RFC 2617, RFC 7616, RFC 7617)."""

# FFmpeg does this itself for a stream, and knows Basic and Digest with MD5. This is for our own requests to cameras, so
# it knows SHA-256 as well: a camera that accepts our password by SHA-256 alone did not refuse the password, and must
# not be reported so.

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import NamedTuple

FFMPEG_ALGORITHMS = ("MD5", "MD5-SESS")
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
"""Python's names by those of RFC 7616, the better ones last."""
_CHALLENGE = re.compile(r"\s*(?P<scheme>[A-Za-z]+)\s+(?P<rest>.*)", re.DOTALL)
_PARAMETER = re.compile(r'([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]*))')


class Challenge(NamedTuple):
    """One `WWW-Authenticate` header."""

    scheme: str
    """`basic`, `digest` or another, in lower case."""
    parameters: dict[str, str]

    def __str__(self) -> str:
        return f"Digest with {self.algorithm}" if self.scheme == "digest" else self.scheme.capitalize()

    @property
    def algorithm(self) -> str:
        """The hash of a digest, in upper case; MD5 where it names none."""
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def strength(self) -> int:
        """The rank by which one of several challenges is answered: the highest; 0 where we cannot."""
        if self.scheme == "basic":
            return 1
        name = self.algorithm.removesuffix("-SESS")
        is_digest = self.scheme == "digest" and name in _HASHES and "nonce" in self.parameters
        return 2 + list(_HASHES).index(name) if is_digest else 0

    @property
    def is_for_ffmpeg(self) -> bool:
        """Whether FFmpeg can answer it."""
        return self.scheme == "basic" or (self.scheme == "digest" and self.algorithm in FFMPEG_ALGORITHMS)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of a 401, one for each header; those that cannot be parsed are left out."""
    found = (_CHALLENGE.match(header) for header in headers)
    return [Challenge(match["scheme"].lower(), _parameters(match["rest"])) for match in found if match]


def _parameters(text: str) -> dict[str, str]:
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in _PARAMETER.findall(text)}


def authorization(
    challenges: Iterable[Challenge], method: str, uri: str, login: tuple[str, str], *, basic: bool = True
) -> str | None:
    """Return the `Authorization` header for a request, by the best challenge that we can answer; None for none.

    A digest goes before Basic, which shows the password to whoever listens; without `basic` it is never answered.
    """
    best = max(challenges, key=lambda challenge: challenge.strength, default=None)
    if best is None or not best.strength or (best.scheme == "basic" and not basic):
        return None
    if best.scheme == "basic":
        return "Basic " + base64.b64encode(":".join(login).encode()).decode()
    return _digest(best, method, uri, login)


def _digest(challenge: Challenge, method: str, uri: str, login: tuple[str, str]) -> str:
    parameters, algorithm = challenge.parameters, challenge.algorithm
    name = _HASHES[algorithm.removesuffix("-SESS")]

    def hashed(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    username, password = login
    realm, nonce, cnonce = parameters.get("realm", ""), parameters.get("nonce", ""), secrets.token_hex(8)
    secret = hashed(username, realm, password)
    if algorithm.endswith("-SESS"):
        secret = hashed(secret, nonce, cnonce)
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": uri}
    if "auth" in re.split(r"[\s,]+", parameters.get("qop", "")):
        response = hashed(secret, nonce, "00000001", cnonce, "auth", hashed(method, uri))
        counted = f", qop=auth, nc=00000001, cnonce={_quoted(cnonce)}"
    else:
        response, counted = hashed(secret, nonce, hashed(method, uri)), ""
    fields["response"] = response
    if "opaque" in parameters:
        fields["opaque"] = parameters["opaque"]
    if "algorithm" in parameters:
        counted = f", algorithm={parameters['algorithm']}{counted}"
    return "Digest " + ", ".join(f"{key}={_quoted(value)}" for key, value in fields.items()) + counted


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
