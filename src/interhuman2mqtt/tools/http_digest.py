"""Answer an HTTP digest challenge (RFC 7616): some cameras want it for ONVIF, and take no WS-UsernameToken.

Not urllib's handler: it follows redirects and the proxies of the environment, and knows no SHA-256 in Python 3.11.
Basic is never answered: it would send the password itself.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def authorization(challenges: Sequence[str], method: str, path: str, username: str, password: str) -> str | None:
    """Return what the header Authorization has to say; None where nothing that we speak is asked for.

    Args:
        challenges: The values of WWW-Authenticate, the best of which is answered.
        method: Of the request.
        path: Of the request.
        username: Who asks.
        password: Never sent.
    """
    asked = [_parameters(each) for each in challenges if each.lower().startswith("digest ")]
    asked = [each for each in asked if each.get("algorithm", "MD5").upper() in HASHES and "nonce" in each]
    if not asked:
        return None
    best = max(asked, key=lambda each: list(HASHES).index(each.get("algorithm", "MD5").upper()))
    return _answer(best, method, path, username, password)


def _parameters(challenge: str) -> dict[str, str]:
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(challenge)}


def _answer(asked: dict[str, str], method: str, path: str, username: str, password: str) -> str:
    make = HASHES[asked.get("algorithm", "MD5").upper()]

    def digest(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    realm, nonce, count, ours = asked.get("realm", ""), asked["nonce"], "00000001", secrets.token_hex(8)
    who, what = digest(username, realm, password), digest(method, path)
    has_qop = "auth" in asked.get("qop", "").replace(" ", "").split(",")
    response = digest(who, nonce, count, ours, "auth", what) if has_qop else digest(who, nonce, what)
    said = {"username": username, "realm": realm, "nonce": nonce, "uri": path, "response": response}
    said |= {key: asked[key] for key in ("opaque", "algorithm") if key in asked}
    quoted = ", ".join(f'{key}="{_escaped(value)}"' for key, value in said.items() if key != "algorithm")
    bare = f", algorithm={asked['algorithm']}" if "algorithm" in asked else ""
    return f"Digest {quoted}{bare}" + (f', qop=auth, nc={count}, cnonce="{ours}"' if has_qop else "")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
