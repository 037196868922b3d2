"""What was missed is not known; what was queued and came is."""

from pathlib import Path

import pytest

from interhuman2mqtt.web.continuity import AHEAD_S, SCOPES_MAX, Continuity
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.rows import CameraKey, HoleRow, ReceivedRow, Row

FRONT = CameraKey("lobby-1", "front")


class Process:
    """A life of the page, as far as it follows numbers: what it commits is in the history, and the rest is lost."""

    def __init__(self, path: Path) -> None:
        self.history = History(path)
        self.known = Continuity()
        self.known.restore(*self.history.continuity())
        self.pending: list[Row] = []

    def connected(self, at: float, *, resumed: bool = True) -> None:
        self.pending += self.known.connected(at, resumed=resumed)

    def event(self, scope: str, number: int, at: float) -> None:
        self.pending += self.known.event(FRONT, scope, number, at, is_session=scope != "boot")

    def commit(self, at: float) -> None:
        self.history.write([*self.pending, *self.known.tick(at), *self.known.changes()])
        self.pending = []

    def holes(self) -> list[tuple[float, float]]:
        """What is not known, as far as it is committed."""
        return [(start, end) for start, end in self.history.spans("hole", FRONT, 0, 1000)]


def test_numbers_that_run_on_show_no_hole() -> None:
    """Events of a scope one after the other, and a new scope, are received."""
    known = Continuity()
    assert list(known.connected(0, resumed=False)) == []
    assert [list(known.event(FRONT, "a", number, number, is_session=True)) for number in (1, 2, 3)] == [[], [], []]
    assert list(known.event(FRONT, "b", 1, 4, is_session=True)) == []
    assert list(known.tick(10)) == [ReceivedRow(0, 10)]


def test_a_number_left_out_is_a_hole() -> None:
    """A broker that dropped from its queue in silence is found out: nothing is known since the last event."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 1, 5, is_session=True))
    assert list(known.event(FRONT, "a", 3, 9, is_session=True)) == [HoleRow(FRONT, 5, 9)]


def test_a_repeat_is_no_hole() -> None:
    """An event may come twice, or late from an older scope."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    for number in (1, 2, 2, 1, 3):
        assert list(known.event(FRONT, "a", number, number, is_session=True)) == []


def test_a_session_that_the_broker_kept_is_proven_by_the_next_number() -> None:
    """The time away is not known until the first event that follows on the last one shows that nothing was dropped."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5, is_session=True))
    assert list(known.disconnected(10)) == [ReceivedRow(0, 10)]
    assert list(known.tick(20)) == []
    assert list(known.connected(60, resumed=True)) == [ReceivedRow(0, 60), HoleRow(FRONT, 10, 60)]
    assert list(known.event(FRONT, "a", 8, 61, is_session=True)) == [HoleRow(FRONT, 10, 10)]


def test_a_session_that_dropped_something_stays_not_known() -> None:
    """Where a number is missing after a reconnect, the hole reaches from the last event to that one."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5, is_session=True))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert list(known.event(FRONT, "a", 10, 61, is_session=True)) == [HoleRow(FRONT, 5, 61)]


def test_what_was_queued_shows_nothing_of_the_time_after_it() -> None:
    """A queue that was full from some moment on is known up to there; the rest waits for an event of later."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5, is_session=True))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert list(known.event(FRONT, "a", 8, 30, is_session=True)) == [HoleRow(FRONT, 10, 10), HoleRow(FRONT, 30, 60)]
    assert list(known.event(FRONT, "a", 10, 61, is_session=True)) == [HoleRow(FRONT, 30, 61)]


def test_a_scope_that_began_while_away_shows_nothing_of_the_one_before() -> None:
    """The end of an older session may be missing, however well a new one runs on; a scope's hole is its own."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5, is_session=True))
    list(known.event(FRONT, "b", 1, 8, is_session=True))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert [list(known.event(FRONT, "c", number, 60 + number, is_session=True)) for number in (1, 2)] == [[], []]
    assert list(known.event(FRONT, "b", 2, 63, is_session=True)) == [HoleRow(FRONT, 10, 10)]
    assert list(known.event(FRONT, "a", 9, 64, is_session=True)) == [HoleRow(FRONT, 5, 64)]


@pytest.mark.parametrize(
    ("resumed", "events", "holes"),
    [
        (True, [], [(10, 60)]),
        (True, [("a", 8, 61)], []),
        (True, [("a", 9, 61)], [(5, 61), (10, 60)]),
        (True, [("a", 8, 30)], [(30, 60)]),
        (True, [("b", 1, 61)], [(10, 60)]),
        (True, [("b", 2, 61), ("a", 8, 62)], [(10, 61)]),
        (True, [("a", 8, 62), ("b", 2, 63)], [(10, 63)]),
        (True, [("boot", 2, 61)], [(10, 60)]),
        (False, [("a", 9, 61)], []),
    ],
)
def test_a_process_that_is_killed(
    tmp_path: Path,
    resumed: bool,  # noqa: FBT001 - pytest's own way
    events: list[tuple[str, int, float]],
    holes: list[tuple[float, float]],
) -> None:
    """What it had committed is as good as its memory where the broker kept the session; what it only had is missing."""
    killed = Process(tmp_path / "history.sqlite")
    killed.connected(0, resumed=False)
    killed.event("a", 7, 5)
    killed.commit(10)
    after = Process(tmp_path / "history.sqlite")
    after.connected(60, resumed=resumed)
    for event in events:
        after.event(*event)
    after.commit(70)
    assert after.history.received(0, 99) == ([(0, 70)] if resumed else [(0, 10), (60, 70)])
    assert after.holes() == holes


def test_killed_twice(tmp_path: Path) -> None:
    """What waits for a proof is not forgotten with the process, and one event shows that both times are known."""
    process = Process(tmp_path / "history.sqlite")
    process.connected(0, resumed=False)
    process.event("a", 7, 5)
    process.commit(20)
    for begin in (60, 160):
        process = Process(tmp_path / "history.sqlite")
        process.connected(begin)
        process.commit(begin + 20)
    assert process.holes() == [(20, 160)]
    process.event("a", 8, 161)
    process.commit(162)
    assert process.holes() == []


def test_a_camera_that_was_not_known(tmp_path: Path) -> None:
    """Nothing proves the time away of a camera that nothing had come of before, whatever comes of it then."""
    killed = Process(tmp_path / "history.sqlite")
    killed.connected(0, resumed=False)
    killed.commit(10)
    after = Process(tmp_path / "history.sqlite")
    after.connected(60)
    for number in (1, 2):
        after.event("a", number, 60 + number)
    after.commit(70)
    assert after.holes() == [(10, 60)]


def test_what_the_disk_did_not_take(tmp_path: Path) -> None:
    """Rows that are dropped because a disk hangs are time that is not known, and a later event proves none of it."""
    process = Process(tmp_path / "history.sqlite")
    process.connected(0, resumed=False)
    process.event("a", 7, 5)
    process.commit(10)
    process.known.dropped(50)
    process.event("a", 9, 55)
    process.commit(70)
    assert process.history.received(0, 99) == [(0, 10), (50, 70)]
    assert process.holes() == []


def test_a_new_session_begins_a_new_stretch() -> None:
    """With a clean session the time away is never known, and numbers that jumped meanwhile are no further hole."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5, is_session=True))
    list(known.disconnected(10))
    assert list(known.connected(60, resumed=False)) == []
    assert list(known.event(FRONT, "a", 99, 61, is_session=True)) == []
    assert list(known.tick(70)) == [ReceivedRow(60, 70)]


def test_scopes_are_bounded() -> None:
    """Whoever may publish does not fill our memory with scopes."""
    known = Continuity()
    for scope in range(10 * SCOPES_MAX):
        list(known.event(FRONT, str(scope), 1, scope, is_session=True))
    assert len(known._last[FRONT]) == SCOPES_MAX


DOOR = CameraKey("lobby-1", "door")


def started() -> Continuity:
    """Two cameras, of which one event each was received."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    for camera in (FRONT, DOOR):
        list(known.event(camera, "a", 1, 5, is_session=True))
    return known


def test_a_box_that_is_away_is_not_calm() -> None:
    """From the last that its box published on, nothing is known of a camera: while it is away, and afterwards."""
    known = started()
    assert list(known.look(30, {FRONT, DOOR}, {"lobby-1": 29})) == []
    assert list(known.look(60, {DOOR}, {"lobby-1": 31})) == [HoleRow(FRONT, 31, 60 + AHEAD_S)]
    assert list(known.look(65, {DOOR}, {"lobby-1": 64})) == [HoleRow(FRONT, 31, 65 + AHEAD_S)]
    assert list(known.look(70, {FRONT, DOOR}, {"lobby-1": 69})) == [HoleRow(FRONT, 31, 70)]
    assert list(known.look(75, {FRONT, DOOR}, {"lobby-1": 74})) == []


def test_a_box_that_was_only_cut_off_is_known_afterwards() -> None:
    """What waited in its outbox shows that nothing was missed; a session that began meanwhile shows nothing."""
    known = started()
    list(known.look(60, (), {"lobby-1": 31}))
    list(known.look(70, {FRONT, DOOR}, {}))
    assert list(known.event(FRONT, "a", 2, 50, is_session=True)) == [HoleRow(FRONT, 31, 31), HoleRow(FRONT, 50, 70)]
    assert list(known.event(FRONT, "a", 3, 71, is_session=True)) == [HoleRow(FRONT, 50, 50)]
    assert list(known.event(DOOR, "b", 1, 71, is_session=True)) == []


def test_what_is_retained_has_time_to_come() -> None:
    """A camera is away once it might have come, and from the subscription on; without a connection nobody is."""
    known = started()
    list(known.connected(100, resumed=False))
    assert list(known.look(101, (), {})) == []
    assert list(known.look(106, {FRONT}, {})) == [HoleRow(DOOR, 100, 106 + AHEAD_S)]
    list(known.disconnected(110))
    assert list(known.look(120, (), {})) == []


@pytest.mark.parametrize("to", [10 * 86400, 3600.0, 400.0, -86400.0], ids=["10 d", "1 h", "400 s", "-1 d"])
def test_a_clock_that_is_set_and_a_machine_that_sleeps(to: float) -> None:
    """What lies between two times of the clock was not received, whatever numbers run on; before and after it is."""
    known = Continuity()
    start = 100_000.0
    list(known.connected(start, resumed=False))
    list(known.event(FRONT, "a", 1, start + 5, is_session=True))
    assert list(known.tick(start + 35)) == [ReceivedRow(start, start + 35)]
    assert list(known.tick(start + 34)) == [ReceivedRow(start, start + 34)]
    after = start + 35 + to
    assert list(known.tick(after)) == [ReceivedRow(after, after)]
    assert list(known.event(FRONT, "a", 2, after + 1, is_session=True)) == []
    assert list(known.tick(after + 5)) == [ReceivedRow(after, after + 5)]
