"""Where recordings begin: whatever sessions do, nothing is sent three times and nothing is skipped without need."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from interhuman2mqtt.cameras.recording import ResumePosition, StartPoint

REPLAY_S = 4.0


def a_session(resume: ResumePosition, start: float, until: float, delivered: float | None = None) -> None:
    """A session that is sent each second from `start` to `until`, and breaks."""
    for second in range(round(start), round(until)):
        resume.sent(second, second + 1.0)
    if delivered is not None:
        resume.delivered(delivered)
    resume.session_ended(drained=False)


def test_the_first_recording_begins_with_the_first_gop() -> None:
    """At zero, with nothing to replay."""
    assert ResumePosition(REPLAY_S).start_point() == StartPoint(0.0, 0.0, 0.0)


def test_after_a_break_what_is_not_proven_comes_again_and_a_replay_before_it() -> None:
    """The recording begins with the first GOP that is not known to be delivered, minus the replay."""
    resume = ResumePosition(REPLAY_S)
    a_session(resume, 0, 20, delivered=18)
    assert resume.start_point() == StartPoint(18.0, REPLAY_S, 0.0)
    assert resume.sent_s == 20.0


def test_after_an_end_in_good_order_there_is_no_replay() -> None:
    """The next recording begins at exactly the next GOP."""
    resume = ResumePosition(REPLAY_S)
    resume.sent(0, 20)
    resume.delivered(20)
    resume.session_ended(drained=True)
    assert resume.start_point() == StartPoint(20.0, 0.0, 0.0)


def test_a_session_that_delivered_nothing_new_is_not_replayed_again() -> None:
    """It begins at the first GOP that was not delivered; what was sent twice is never sent a third time."""
    resume = ResumePosition(REPLAY_S)
    a_session(resume, 0, 20, delivered=18)
    a_session(resume, 14, 16, delivered=16)
    assert resume.start_point() == StartPoint(18.0, 0.0, 16.0)


def test_an_attempt_that_sent_nothing_changes_nothing() -> None:
    """The cloud may be away for long: the session that broke before is replayed all the same."""
    resume = ResumePosition(REPLAY_S)
    a_session(resume, 0, 20, delivered=18)
    begin = resume.start_point()
    for _ in range(3):
        resume.session_ended(drained=False)
        assert resume.start_point() == begin


def test_what_was_sent_twice_is_given_up() -> None:
    """Where it was never proven to have arrived, that is a hole, and what comes next goes on."""
    resume = ResumePosition(REPLAY_S)
    a_session(resume, 0, 20)
    a_session(resume, 0, 12)
    assert resume.start_point() == StartPoint(12.0, 0.0, 12.0)


def test_news_is_what_no_session_delivered_before() -> None:
    """A replayed chunk that arrives is none."""
    resume = ResumePosition(REPLAY_S)
    assert [resume.delivered(end) for end in (5.0, 3.0, 5.0, 6.0)] == [True, False, False, True]


sessions = st.tuples(
    st.integers(0, 12),  # how many GOPs the recording begins before the first that is wanted, where it may
    st.integers(0, 12),  # how many fell off the ring before it began
    st.integers(0, 30),  # how many it is sent
    st.integers(0, 30),  # how many of them are proven
    st.booleans(),  # whether it ends in good order
)


@given(st.lists(sessions, max_size=40))
@example([(0, 0, 20, 18, False), (4, 0, 30, 0, False), (0, 0, 30, 30, True)])
def test_any_sequence_of_sessions(life: list[tuple[int, int, int, int, bool]]) -> None:
    """No GOP is sent three times, none is skipped unless it was sent twice or is gone, and all of them move on."""
    resume = ResumePosition(REPLAY_S)
    times_sent: Counter[int] = Counter()
    gone = proven_until = 0
    for back, evicted, count, proven, drained in life:
        begin = resume.start_point()
        assert begin.not_before_s <= begin.from_s
        assert all(times_sent[gop] == 2 or gop < gone for gop in range(proven_until, round(begin.from_s)))
        gone = max(gone, round(begin.from_s) - 12 + evicted)
        earliest = max(round(begin.from_s - min(back, begin.replay_s)), round(begin.not_before_s), gone)
        before = resume.sent_s, begin.not_before_s, resume.undelivered_s
        for gop in range(earliest, earliest + count):
            resume.sent(gop, gop + 1.0)
            times_sent[gop] += 1
        arrived = earliest + (count if drained else min(proven, count))
        if arrived > earliest:
            resume.delivered(arrived)
            proven_until = max(proven_until, arrived)
        resume.session_ended(drained=drained)
        after = resume.sent_s, resume.start_point().not_before_s, resume.undelivered_s
        assert all(later >= sooner for sooner, later in zip(before, after, strict=True))
        assert (after != before) == (count > 0)
        if drained:
            assert resume.start_point().replay_s == 0.0
    assert max(times_sent.values(), default=0) <= 2
