"""What was missed is not known; what was queued and came is."""

import msgspec

from interhuman2mqtt.web.continuity import SCOPES_MAX, Continuity, SavedContinuity
from interhuman2mqtt.web.rows import CameraKey, HoleRow, ReceivedRow

FRONT = CameraKey("lobby-1", "front")


def test_numbers_that_run_on_show_no_hole() -> None:
    """Events of a scope one after the other, and a new scope, are received."""
    known = Continuity()
    assert list(known.connected(0, resumed=False)) == []
    assert [list(known.event(FRONT, "a", number, number)) for number in (1, 2, 3)] == [[], [], []]
    assert list(known.event(FRONT, "b", 1, 4)) == []
    assert list(known.tick(10)) == [ReceivedRow(0, 10)]


def test_a_number_left_out_is_a_hole() -> None:
    """A broker that dropped from its queue in silence is found out: nothing is known since the last event."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 1, 5))
    assert list(known.event(FRONT, "a", 3, 9)) == [HoleRow(FRONT, 5, 9)]


def test_a_repeat_is_no_hole() -> None:
    """An event may come twice, or late from an older scope."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    for number in (1, 2, 2, 1, 3):
        assert list(known.event(FRONT, "a", number, number)) == []


def test_a_session_that_the_broker_kept_is_proven_by_the_next_number() -> None:
    """The time away is not known until the first event that follows on the last one shows that nothing was dropped."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    assert list(known.disconnected(10)) == [ReceivedRow(0, 10)]
    assert list(known.tick(20)) == []
    assert list(known.connected(60, resumed=True)) == [ReceivedRow(0, 60), HoleRow(FRONT, 10, 60)]
    assert list(known.event(FRONT, "a", 8, 61)) == [HoleRow(FRONT, 10, 10)]


def test_a_session_that_dropped_something_stays_not_known() -> None:
    """Where a number is missing after a reconnect, the hole reaches from the last event to that one."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert list(known.event(FRONT, "a", 10, 61)) == [HoleRow(FRONT, 5, 61)]


def test_what_was_queued_shows_nothing_of_the_time_after_it() -> None:
    """A queue that was full from some moment on is known up to there; the rest waits for an event of later."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert list(known.event(FRONT, "a", 8, 30)) == [HoleRow(FRONT, 10, 10), HoleRow(FRONT, 30, 60)]
    assert list(known.event(FRONT, "a", 10, 61)) == [HoleRow(FRONT, 30, 61)]


def test_a_scope_that_began_while_away_shows_nothing_of_the_one_before() -> None:
    """The end of an older session may be missing, however well a new one runs on; a scope's hole is its own."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    list(known.event(FRONT, "b", 1, 8))
    list(known.disconnected(10))
    list(known.connected(60, resumed=True))
    assert [list(known.event(FRONT, "c", number, 60 + number)) for number in (1, 2)] == [[], []]
    assert list(known.event(FRONT, "b", 2, 63)) == [HoleRow(FRONT, 10, 10)]
    assert list(known.event(FRONT, "a", 9, 64)) == [HoleRow(FRONT, 5, 64)]


def test_another_process_goes_on() -> None:
    """What a process leaves is as good as its memory where the broker kept the session; else nothing of it holds."""
    known = Continuity()
    assert known.save() is None
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    list(known.disconnected(10))
    saved = msgspec.json.decode(msgspec.json.encode(known.save()), type=SavedContinuity)
    after, anew = Continuity(), Continuity()
    after.restore(saved)
    anew.restore(saved)
    assert list(after.connected(60, resumed=True)) == [ReceivedRow(0, 60), HoleRow(FRONT, 10, 60)]
    assert list(after.event(FRONT, "a", 8, 61)) == [HoleRow(FRONT, 10, 10)]
    assert list(anew.connected(60, resumed=False)) == []
    assert list(anew.tick(70)) == [ReceivedRow(60, 70)]


def test_a_new_session_begins_a_new_stretch() -> None:
    """With a clean session the time away is never known, and numbers that jumped meanwhile are no further hole."""
    known = Continuity()
    list(known.connected(0, resumed=False))
    list(known.event(FRONT, "a", 7, 5))
    list(known.disconnected(10))
    assert list(known.connected(60, resumed=False)) == []
    assert list(known.event(FRONT, "a", 99, 61)) == []
    assert list(known.tick(70)) == [ReceivedRow(60, 70)]


def test_scopes_are_bounded() -> None:
    """Whoever may publish does not fill our memory with scopes."""
    known = Continuity()
    for scope in range(10 * SCOPES_MAX):
        list(known.event(FRONT, str(scope), 1, scope))
    assert len(known._last[FRONT]) == SCOPES_MAX
