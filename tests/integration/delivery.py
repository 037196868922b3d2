"""Whether every event of the cloud reached the subscriber: once or repeated, and in order."""

import json
import math
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from integration.helpers import BOX, Json, Peers
from publish.lives import left_by_a_crash

BUSY = ("--window", "0.4", "--stride", "0.2", "--cadence", "0.4")
"""An analysis that says something several times a second."""


def arrivals(peers: Peers, camera: str) -> list[Json]:
    """All events of a camera so far, repeats and gaps included."""
    prefix = f"interhuman/{BOX}/{camera}/event/"
    return [json.loads(m.payload) for m in peers.subscriber.messages if m.topic.startswith(prefix)]


def first_arrivals(peers: Peers, camera: str) -> list[Json]:
    """Each event of a camera as it came first; a repeat must carry the same, but for being late."""
    seen: dict[str, Json] = {}
    for event in arrivals(peers, camera):
        earlier = seen.setdefault(event["id"], event)
        assert {**event, "late": None} == {**earlier, "late": None}
    return list(seen.values())


def place(event: Json) -> tuple[str, int]:
    """The scope of an event's id, and its number there."""
    _, _, scope, n = event["id"].split("/")
    return scope, int(n)


def assert_in_order(peers: Peers, camera: str) -> None:
    """First arrivals of a camera: within a scope by their numbers, and one session after the other."""
    opened = [line["request_id"] for line in peers.cloud.happened("opened")]
    numbers: dict[str, list[int]] = defaultdict(list)
    for event in first_arrivals(peers, camera):
        scope, n = place(event)
        numbers[scope].append(n)
    assert all(found == sorted(found) for found in numbers.values()), numbers
    of_sessions = [place(event) for event in first_arrivals(peers, camera) if place(event)[0] in opened]
    assert of_sessions == sorted(of_sessions, key=lambda at: (opened.index(at[0]), at[1]))


def assert_arrived(peers: Peers, camera: str, since: float = -math.inf, until: float = math.inf) -> int:
    """All that the cloud sent of a camera's sessions arrived untouched, without a hole; how many these were.

    Only the end of a session may be missing: what was sent between `since` and `until` (CLOCK_MONOTONIC) must be there.
    """
    arrived = defaultdict(list)
    for event in first_arrivals(peers, camera):
        if "synthetic" not in event and event["session"] is not None:
            arrived[event["session"]].append((event["type"], event["data"]))
    total = 0
    for session, sent in by_session(peers).items():
        if session in arrived:
            assert arrived[session] == [said for _, said in sent[: len(arrived[session])]]
            due = [at for at, _ in sent[len(arrived[session]) :] if since <= at <= until]
            assert not due, (session, len(sent), len(arrived[session]), [until - at for at in due])
            total += len(arrived[session])
    return total


def by_session(peers: Peers) -> dict[str, list[tuple[float, tuple[str, Json]]]]:
    """What the cloud sent, each with its CLOCK_MONOTONIC, by our own id of the session."""
    sent = defaultdict(list)
    for line in peers.cloud.happened("event"):
        sent[line["request_id"]].append((line["monotonic"], (line["type"], line["data"])))
    return dict(sent)


def stored_ids(path: Path, folder: Path) -> set[str]:
    """The ids of the events in the outbox's file of a daemon that is no more, which is left as it is."""
    with closing(sqlite3.connect(left_by_a_crash(path, folder))) as db:
        return {json.loads(payload)["id"] for (payload,) in db.execute("SELECT payload FROM events")}
