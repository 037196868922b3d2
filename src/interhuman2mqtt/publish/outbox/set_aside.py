"""What a newer version left in a store before it was downgraded, taken in again by the version that can read it.

Its events come before those of the store, with the keys that they then need; events that stand in both, because the box
was switched off between the two steps, are taken once.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import NamedTuple

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.outbox import store as outbox_store
from interhuman2mqtt.publish.outbox.row_codec import Stored
from interhuman2mqtt.publish.outbox.salvage import PARTS, salvage
from interhuman2mqtt.publish.outbox.store import Found, Store, StoreChanges, StoreError, translated
from interhuman2mqtt.runtime import format_versions
from interhuman2mqtt.runtime.format_versions import SetAside
from interhuman2mqtt.runtime.state_dir import quarantine


class RestoredFiles(NamedTuple):
    """Outcome for the files that were set aside."""

    found: Found
    """All that the store holds by now."""
    names: Sequence[str]
    """The files that were taken in."""
    troubles: Sequence[str]
    """Why others were not, a sentence each: they are left for the next start."""


def take_in(store: Store, found: Found, now: datetime) -> RestoredFiles:
    """Bring what was set aside of an open store into it. Blocks; raises StoreError where the store fails itself."""
    names, troubles = [], []
    with translated(store.path):
        files = format_versions.all_set_aside(store.path, outbox_store.VERSION)
    for file in reversed(files):  # each before what is there: the oldest comes first in the end
        try:
            earlier = salvage(file.path)
        except StoreError as error:
            troubles.append(str(error))
            continue
        found = _write(store, found, earlier)
        names.append(file.path.name)
        with translated(file.path):
            _dispose(file, now, is_whole=not earlier.unreadable)
    return RestoredFiles(found, names, troubles)


def _write(store: Store, found: Found, earlier: Found) -> Found:
    merged = _merged(earlier, found)
    gone = [row.key for row in found.rows]
    topics = dict.fromkeys(earlier.retained, True)
    store.write(StoreChanges(_next_key(found), merged.rows, gone, topics, merged.active))
    return merged


def _dispose(file: SetAside, now: datetime, *, is_whole: bool) -> None:
    if is_whole:
        format_versions.remove(file, PARTS)
    else:
        quarantine(file.path, f"{now:%Y%m%dT%H%M%S.%fZ}", PARTS)


def _merged(earlier: Found, found: Found) -> Found:
    keys = count(_next_key(found))
    rows = [row._replace(key=next(keys)) for row in _once([*earlier.rows, *found.rows])]
    unreadable = [*found.unreadable, *(0 for _ in earlier.unreadable)]  # whose keys are those of another file
    return Found(rows, earlier.retained | found.retained, unreadable, _active(earlier.active, found.active))


def _next_key(found: Found) -> int:
    return max([0, *(row.key for row in found.rows), *found.unreadable]) + 1


def _once(rows: list[Stored]) -> Iterator[Stored]:
    """Yield the rows without repetitions, which have the id of their event in the payload."""
    seen = set()
    for row in rows:
        event = (row.message.topic, row.message.payload)
        if event not in seen:
            seen.add(event)
            yield row


def _active(
    earlier: Mapping[str, tuple[ActiveSignal, ...]], later: Mapping[str, tuple[ActiveSignal, ...]]
) -> dict[str, tuple[ActiveSignal, ...]]:
    return {
        camera: tuple(dict.fromkeys([*earlier.get(camera, ()), *later.get(camera, ())]))
        for camera in {**earlier, **later}
    }
