"""How fast media is sent."""

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

from cloud.played import Cloud, Film, Tape, chunk, converse
from interhuman2mqtt.cloud.flow_control import CREDIT_S, SPEED, Pacer
from interhuman2mqtt.events import MediaChunk


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.floats(0.0, 60.0)), min_size=1, max_size=40))
def test_never_faster_in_all(chunks: list[tuple[float, float]]) -> None:
    """Since its begin a session gets at most 1.25 times real time, and from any chunk on, but for a small credit."""
    pace, now = Pacer(), 0.0
    sent: list[tuple[float, float]] = []
    for seconds, delay in chunks:
        now += delay
        now += pace.wait(now)
        pace.sent(now, seconds)
        sent.append((now, seconds))
    most = max(CREDIT_S, *(seconds for _, seconds in sent), 0.0)
    for first, (began, _) in enumerate(sent):
        for last in range(first, len(sent)):
            media = sum(seconds for _, seconds in sent[first:last])
            assert media <= SPEED * (sent[last][0] - began + (most if first else 0.0)) + 1e-6


@example(2.0, [1.0, 0.0], 0.0)
@example(2.5, [1.0, 0.0], 0.0)
@given(st.floats(0.5, 30.0), st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40), st.floats(0.0, 1.0))
def test_live_media_is_never_delayed(length: float, lateness: list[float], part: float) -> None:
    """A chunk that goes out when it is whole waits for nothing, though each is late by up to a second; nor the last."""
    pace, now = Pacer(), 0.0
    for number, late in enumerate([0.0] * 10 + lateness):
        now = max(now, number * length + late)
        assert pace.wait(now) == 0.0
        pace.sent(now, length)
    assert pace.wait(now + part * length) == 0.0


class Clocked(Tape):
    """Notes when each chunk was out."""

    def __init__(self, clock: MockClock) -> None:
        super().__init__()
        self.at: list[float] = []
        self._clock = clock

    def sent(self, chunk: MediaChunk) -> None:
        super().sent(chunk)
        self.at.append(self._clock.current_time())


class LiveFilm(Film):
    """A camera that began `ago` seconds ago: chunk n is whole when it is over, whether somebody waits for it or not."""

    def __init__(self, ago: float) -> None:
        super().__init__()
        self._began = trio.current_time() - ago
        self._number = -1

    async def next_chunk(self) -> MediaChunk:
        self._number += 1
        await trio.sleep_until(self._began + 2.0 * (self._number + 1))
        return chunk(self._number)


async def test_a_session_paces_a_backlog(autojump_clock: MockClock) -> None:
    """What is there already goes out at 1.25 times real time, until the session is live; then as it comes."""
    tape = Clocked(autojump_clock)
    began = autojump_clock.current_time()
    with trio.move_on_after(200):
        await converse(Cloud.serve, LiveFilm(ago=30.0), tape)
    caught_up = began + 30.0 / (1.25 - 1)
    backlog = [at for at in tape.at if at < caught_up - 10]
    assert backlog == pytest.approx([began + 1.6 * n for n in range(len(backlog))], abs=0.001)
    live = [(n, at) for n, at in enumerate(tape.at) if at > caught_up]
    assert [at for _, at in live] == pytest.approx([began - 30 + 2.0 * (n + 1) for n, _ in live], abs=0.001)
    assert len(backlog) > 60
    assert len(live) > 30


async def test_a_session_does_not_delay_live_media(autojump_clock: MockClock) -> None:
    """A live chunk goes out at the moment when it is whole."""
    tape = Clocked(autojump_clock)
    began = autojump_clock.current_time()
    with trio.move_on_after(60):
        await converse(Cloud.serve, LiveFilm(ago=0.0), tape)
    assert tape.at == pytest.approx([began + 2.0 * (n + 1) for n in range(len(tape.at))], abs=0.001)
    assert len(tape.at) == 29


async def test_waiting_for_its_turn_ends_with_the_session(autojump_clock: MockClock) -> None:
    """A cloud that ends the session while a chunk waits is heard at once."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        await cloud.receive()
        await cloud.send_message("session.ended")

    began = autojump_clock.current_time()
    await converse(act, Film([chunk(n, seconds=30.0) for n in range(3)]), Tape())
    assert autojump_clock.current_time() - began < 10
