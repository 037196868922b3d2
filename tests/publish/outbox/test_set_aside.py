"""A store through a downgrade and the upgrade after it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.outbox import set_aside
from interhuman2mqtt.publish.outbox import store as outbox_store
from interhuman2mqtt.publish.outbox.store import Store, StoreChanges
from publish.helpers import an_event_message
from publish.lives import Life, destroy_a_page, events_in

STRESS, DOUBT = ActiveSignal("stress", "s1"), ActiveSignal("hesitation", "s2")


@contextmanager
def an_older_version() -> Iterator[None]:
    """What runs meanwhile does not know the present format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_store, "VERSION", outbox_store.VERSION - 1)
        yield


def lived(path: Path, *numbers: int) -> Life:
    """A life that has opened the file, got events of these numbers, and ended."""
    life = Life(path).open()
    for n in numbers:
        life.outbox.put(an_event_message("front", n, b"%d" % n))
    life.commit()
    life.store.close()
    return life


def numbers(life: Life) -> list[int]:
    return [int(message.payload) for message in life.messages]


def asides(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if ".newer-" in file.name)


def test_a_file_of_a_newer_version_is_set_aside_whole(tmp_path: Path) -> None:
    """An older version names it, keeps every byte of it, begins with an empty one, and looks into it no more."""
    path = tmp_path / "outbox.sqlite"
    lived(path, 1, 2)
    before = path.read_bytes()
    with an_older_version(), structlog.testing.capture_logs() as lines:
        assert numbers(lived(path, 3)) == [3]
    [name] = asides(tmp_path)
    assert name.startswith("outbox.sqlite.newer-1-2")
    assert (tmp_path / name).read_bytes() == before
    [line] = [line for line in lines if line["event"] == "outbox file set aside"]
    assert f"(format 1): it is kept whole as {name} until that version takes it in again" in line["detail"]


def test_no_event_is_lost_on_the_way(tmp_path: Path) -> None:
    """Events of new, old, new, old and new are there at the last, once each and in their order, in one file."""
    path = tmp_path / "outbox.sqlite"
    lived(path, 1, 2)
    with an_older_version():
        lived(path, 3)
    assert numbers(lived(path, 4)) == [1, 2, 3, 4]
    with an_older_version():
        assert numbers(lived(path, 5)) == [5]
    assert numbers(lived(path)) == [1, 2, 3, 4, 5]
    assert asides(tmp_path) == []


def test_what_is_taken_in_is_on_the_disk_in_order(tmp_path: Path) -> None:
    """A crash right after the upgrade finds the events in the order in which they came, and new ones behind them."""
    path = tmp_path / "outbox.sqlite"
    lived(path, 1, 2)
    with an_older_version():
        lived(path, 3)
    lived(path, 4)
    assert events_in(path, tmp_path / "copy") == [b"1", b"2", b"3", b"4"]


def test_topics_and_signals_come_too(tmp_path: Path) -> None:
    """What is retained can be cleared, and who waits for the end of a signal gets it, whichever version knew of it."""
    path = tmp_path / "outbox.sqlite"
    for topic, signal in (("a/status", STRESS), ("b/status", DOUBT)):
        store = Store(path)
        store.open()
        store.write(StoreChanges(1, [], [], {topic: True}, {"front": (signal,)}))
        store.close()
        if topic == "a/status":
            with an_older_version():
                lived(path)
    life = Life(path).open()
    assert life.outbox.retained_topics() == {"a/status", "b/status"}
    assert life.outbox.journal.signals.values == {"front": (STRESS, DOUBT)}


def test_a_power_cut_between_taking_in_and_removing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start finds the events in both files, and publishes each once."""
    path = tmp_path / "outbox.sqlite"
    lived(path, 1, 2)
    with an_older_version():
        lived(path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(set_aside, "_dispose", lambda *_, **__: None)
        lived(path)
    assert len(asides(tmp_path)) == 1
    assert numbers(lived(path)) == [1, 2, 3]
    assert asides(tmp_path) == []


def test_damage_in_both(tmp_path: Path) -> None:
    """What is damaged in what was set aside is counted, and quarantined; no good row goes for it, nor a row of ours."""
    path = tmp_path / "outbox.sqlite"
    life = Life(path).open()
    for n in range(200):
        life.outbox.put(an_event_message("front", n, b"%d" % n + b" " * 400))
    life.commit()
    life.store.close()
    destroy_a_page(path)
    with an_older_version():
        lived(path, 300, 301, 302)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE events SET payload = x'00' WHERE key = 2")
    life = Life(path).open()
    assert numbers(life)[-2:] == [300, 302]
    assert len(life.messages) > 150
    life.commit()
    life.store.close()
    assert len(life.lost) == 2
    assert [".damaged-" in name for name in asides(tmp_path)] == [True]
    assert numbers(lived(path)) == numbers(life)


def test_what_cannot_be_read_now_waits(tmp_path: Path) -> None:
    """A file that was set aside and may not be read yet costs no other event, and is taken in by a later start."""
    path = tmp_path / "outbox.sqlite"
    lived(path, 1)
    with an_older_version():
        lived(path, 2)
    [name] = asides(tmp_path)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).mkdir()
    with structlog.testing.capture_logs() as lines:
        assert numbers(lived(path)) == [2]
    assert "events of a newer version are not taken in" in [line["event"] for line in lines]
    (tmp_path / name).rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / name)
    assert numbers(lived(path)) == [1, 2]
