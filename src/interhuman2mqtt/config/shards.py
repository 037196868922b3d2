"""Shards: boxes that share one list of cameras, each taking its part.

Rendezvous hashing: each shard draws a number for each camera, always the same, and the highest has it. So a camera
that moves when the count grows by one moves to the new shard, and about one camera in as many as there are shards does.
Taking the camera's hash modulo the count lost: it moves nearly all of them, each with a gap.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from interhuman2mqtt.config.problems import BadValueError

INSTEAD = 'a whole number, or { env = "NAME" } for one in the environment'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["env"],
    "properties": {"env": {"type": "string", "pattern": f"^{_VARIABLE.pattern}$"}},
}
"""What JSON Schema can say of a number that stands in the environment."""
_NUMBER = re.compile(r"([0-9]{1,6})")
_ORDINAL = re.compile(r"(?:.*-)?([0-9]{1,6})")
"""`cam-3` is the pod of index 3 in the StatefulSet `cam` (Kubernetes, StatefulSets, "Ordinal Index")."""


def owner(camera: str, count: int) -> int:
    """Return the index of the shard that runs a camera, of so many."""
    return max(range(count), key=lambda index: hashlib.blake2b(f"{camera}/{index}".encode(), digest_size=8).digest())


def index(value: object) -> int:
    """Read a number, or that at the end of a variable such as the name of a pod; raises BadValueError."""
    return _number(value, _ORDINAL, "a number, nor ends in one as cam-3 does")


def count(value: object) -> int:
    """Read a number, or that in a variable; raises BadValueError."""
    return _number(value, _NUMBER, "a number")


def _number(value: Any, pattern: re.Pattern[str], expected: str) -> int:
    match value:
        case {"env": str(name), **rest} if _VARIABLE.fullmatch(name) and not rest:
            return _variable(name, pattern, expected)
        case bool():
            pass
        case int():
            return value
    raise BadValueError(f"must be {INSTEAD}")


def _variable(name: str, pattern: re.Pattern[str], expected: str) -> int:
    text = os.environ.get(name)
    if text is None:
        raise BadValueError(f"environment variable {name} is not set; to look at a shard from elsewhere, set it")
    found = pattern.fullmatch(text)
    if found is None:
        raise BadValueError(f"environment variable {name} is not {expected}")
    return int(found[1])
