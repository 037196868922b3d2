"""The API key as it is now: a token in a file is renewed while recordings are sent, and lives for an hour at most."""

from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.config import SecretRef, secrets


class CurrentKey:
    """Reads the key anew for each request.

    Args:
        ref: Where it is.
        what: What it is to people.
    """

    def __init__(self, ref: SecretRef, what: str) -> None:
        self._ref = ref
        self._what = what

    def header(self) -> bytes:
        """Return the value of `Authorization`; raise Refused where there is no key. Reads a small file."""
        return ApiKey(secrets.read(self._ref, what=self._what).reveal()).header()
