"""Short marks of what a box runs by, to be compared across a fleet.

`config_hash` is of the effective configuration: it changes when this box does something else, and differs from box to
box. `files_hash` is of what the files say: it is the same on all boxes that were given the same files, whichever
cameras they take out of them. `box.id` does not count, so that each box may say who it is in a drop-in of its own; nor
do comments, the order of keys, and how the keys are spread over the files.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

DIGITS = 12


def of_text(text: str) -> str:
    """The mark of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_files(tables: Iterable[Mapping[str, Any]]) -> str:
    """The mark of parsed files, in the order in which they are merged."""
    merged: dict[str, Any] = {}
    for table in tables:
        merged = _merged(merged, table)
    if isinstance(box := merged.get("box"), dict):
        merged["box"] = {key: value for key, value in box.items() if key != "id"}
    said = {name: table for name, table in merged.items() if table != {}}
    return of_text(json.dumps(said, sort_keys=True, default=str))


def _merged(below: Any, above: Any) -> Any:
    """Tables key by key, and of anything else the later."""
    if not (isinstance(below, dict) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}
