"""What is known of all boxes, folded out of what they publish."""

import io
import json
from typing import Any

from hypothesis import given
from rich.console import Console

from interhuman2mqtt.commands import watch_output
from interhuman2mqtt.commands.watch_model import BOXES_MAX, CAMERAS_MAX, Fleet, Place, filters, place
from interhuman2mqtt.commands.watch_output import line
from interhuman2mqtt.commands.watch_table import table
from interhuman2mqtt.commands.watch_terminal import as_text
from interhuman2mqtt.events import utc_now
from support.payloads import ODD_MESSAGES, OddMessage


def fleet_of(*messages: tuple[str, Any]) -> Fleet:
    """A fleet after these topics, below the base, were published."""
    fleet = Fleet()
    for topic, payload in messages:
        where = place("site/interhuman", f"site/interhuman/{topic}")
        assert where
        fleet.apply(where, b"" if payload is None else json.dumps(payload).encode())
    return fleet


def test_a_topic_has_its_place() -> None:
    """Below a base of any depth, a topic is about a box, a camera of it, or nothing of ours."""
    assert place("a/b", "a/b/lobby-1/front/state/signals") == Place("lobby-1", "front", "state/signals")
    assert place("a/b", "a/b/lobby-1/bridge/info") == Place("lobby-1", "bridge", "info")
    assert place("a/b", "a/c/lobby-1/front/status") is None
    assert place("a/b", "a/b/lobby-1/front") is None
    assert all(topic.startswith("a/b/+/") and "request" not in topic for topic in filters("a/b"))


def test_the_will_of_an_earlier_life_is_not_believed() -> None:
    """`offline` counts when it is this life's word, and not when it is that of a life before the present one."""
    online = ("hall/bridge/state", {"state": "online", "boot_id": "2"})
    assert fleet_of(online, ("hall/bridge/state", {"state": "offline", "boot_id": "1"})).boxes["hall"].is_online
    assert not fleet_of(online, ("hall/bridge/state", {"state": "offline", "boot_id": "2"})).boxes["hall"].is_online


def test_what_is_cleared_is_forgotten() -> None:
    """A camera whose topics are all empty is not there any more."""
    status = {"state": "streaming", "since": "2026-11-22T10:00:00Z"}
    fleet = fleet_of(("hall/front/status", status), ("hall/front/state/engagement", {"state": "engaged"}))
    assert list(fleet.boxes["hall"].cameras) == ["front"]
    fleet.apply(Place("hall", "front", "status"), b"")
    fleet.apply(Place("hall", "front", "state/engagement"), b"")
    assert fleet.boxes["hall"].cameras == {}


def test_each_attempt_is_no_news() -> None:
    """A status that only counts one more attempt is no news; one with another reason is."""
    status = {"state": "offline", "reason": "stalled", "since": "2026-11-22T10:00:00Z", "attempts": 1}
    where, fleet = Place("hall", "front", "status"), Fleet()
    assert fleet.apply(where, json.dumps(status).encode())
    assert not fleet.apply(where, json.dumps({**status, "attempts": 2}).encode())
    assert fleet.apply(where, json.dumps({**status, "reason": "unreachable"}).encode())


def test_the_files_of_most_are_the_measure() -> None:
    """The mark that most boxes have is the fleet's; no box, no mark."""
    info = {"version": "1", "files_hash": "aaa"}
    fleet = fleet_of(("a/bridge/info", info), ("b/bridge/info", info), ("c/bridge/info", {**info, "files_hash": "zzz"}))
    assert (fleet.files_hash, Fleet().files_hash) == ("aaa", None)


def test_a_flood_of_names_is_bounded() -> None:
    """Who may publish cannot fill our memory with boxes or cameras."""
    fleet = Fleet()
    for n in range(BOXES_MAX + 5):
        fleet.apply(Place(f"b{n}", "bridge", "state"), b'{"state":"online"}')
    for n in range(CAMERAS_MAX + 5):
        fleet.apply(Place("b0", f"c{n}", "state/engagement"), b'{"state":"neutral"}')
    assert (len(fleet.boxes), len(fleet.boxes["b0"].cameras)) == (BOXES_MAX, CAMERAS_MAX)


@given(ODD_MESSAGES)
def test_nonsense_is_survived(messages: list[OddMessage]) -> None:
    """Whatever is published can be shown, lines hold no control character, and JSON is ASCII that reads again."""
    fleet = Fleet()
    for camera, about, payload in messages:
        where = Place("hall", camera, about)
        fleet.apply(where, payload)
        said = line(where, payload)
        assert said is None or f"{said.kind}{said.text}".isprintable() or said.text >= "\u3000"
        assert said is None or as_text(said)
        printed = watch_output.message(where, payload)
        assert printed is None or (printed.isascii() and json.loads(printed))
    assert json.loads(watch_output.snapshot(fleet)).keys() == {"files_hash", "boxes"}
    Console(file=io.StringIO(), width=80).print(table(fleet, 80, utc_now()))
