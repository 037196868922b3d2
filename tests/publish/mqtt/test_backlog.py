"""What waited through a long outage goes out fast, in order, and within what the broker takes at once."""

import json
from pathlib import Path

import pytest
import trio

from interhuman2mqtt.publish.outbox.store import StoreChanges
from publish.helpers import Bench, an_event_message, until
from publish.lives import Life
from support.mosquitto import mosquitto, subscribed

BACKLOG = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a daemon that crashed with a backlog, some minutes ago."""
    life = Life(tmp_path / "before" / "outbox.sqlite").open()
    for n in range(BACKLOG):
        life.outbox.put(an_event_message(("front", "back")[n % 2], n))
        if n % 500 == 499:
            life.commit()
    life.commit()
    return life.crash(tmp_path / "after")


@pytest.mark.parametrize("at_once", [0, 3])
async def test_a_backlog_of_an_earlier_life(tmp_path: Path, path: Path, at_once: int) -> None:
    """It arrives late as a whole, in order, by commits that are few, and the file is empty in the end."""
    commits = 0
    life = Life(path, clock=lambda: 600.0)
    write = life.store.write

    def count(changes: StoreChanges) -> None:
        nonlocal commits
        commits += 1
        write(changes)

    life.store.write = count  # type: ignore[method-assign]
    lines = [f"max_inflight_messages {at_once}", "max_queued_messages 0"]
    async with mosquitto(tmp_path, lines=lines) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url, outbox=life.outbox)
        await life.writer.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.writer.run)
            nursery.start_soon(bench.publisher.run_connection)
            await subscriber.wait_for(lambda seen: len(seen) == BACKLOG + 1, 60)
            await until(lambda: life.outbox.depth.rows == 0)
            await until(lambda: not life.outbox.journal.pending)
            nursery.cancel_scope.cancel()
    events = [json.loads(payload) for payload in subscriber.payloads("event/x")]
    assert [event["n"] for event in events] == list(range(BACKLOG))
    assert all(event["late"] for event in events)
    assert commits < BACKLOG / 20
    assert Life(path).open().messages == []
