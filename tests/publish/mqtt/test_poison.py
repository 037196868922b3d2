"""Only a message that ended connections alone is given up."""

from interhuman2mqtt.publish.mqtt.poison import FAILURES, FAILURES_KNOWN, PoisonDetector


def lose(suspicion: PoisonDetector, *keys: str) -> None:
    for key in keys:
        suspicion.in_flight[key] = None
    suspicion.connection_lost()


def test_the_same_first_one_again_and_again() -> None:
    """A message that is the first unanswered one at each of the last losses is convicted, once."""
    suspicion = PoisonDetector()
    for _ in range(FAILURES):
        assert not suspicion.is_poison("a")
        lose(suspicion, "a", "b")
        assert suspicion.alone
    assert not suspicion.is_poison("b")
    assert suspicion.is_poison("a")
    assert not suspicion.is_poison("a")
    assert not suspicion.alone


def test_an_answer_acquits() -> None:
    """A line that breaks at a message and later carries it leaves no suspicion, and all are sent together again."""
    suspicion = PoisonDetector()
    for _ in range(FAILURES - 1):
        lose(suspicion, "a")
    suspicion.in_flight["a"] = None
    suspicion.answered("a")
    assert not suspicion.alone
    lose(suspicion, "a")
    assert not suspicion.is_poison("a")


def test_one_that_was_taken_before() -> None:
    """What comes first on each connection is not convicted by a line that breaks at each beginning, but in the end."""
    suspicion = PoisonDetector()
    suspicion.in_flight["online"] = None
    suspicion.answered("online", repeats=True)
    for _ in range(FAILURES_KNOWN):
        assert not suspicion.is_poison("online")
        lose(suspicion, "online")
    assert suspicion.is_poison("online")


def test_a_line_that_breaks_elsewhere() -> None:
    """Losses at different messages, or while nothing was on its way, convict nobody."""
    suspicion = PoisonDetector()
    for n in range(3 * FAILURES):
        lose(suspicion, str(n))
        assert not suspicion.is_poison(str(n))
    for _ in range(FAILURES):
        lose(suspicion)
    assert not suspicion.alone


def test_many_that_are_lost_together_twice() -> None:
    """After a second loss each goes alone, until as many were answered as had been on their way."""
    suspicion = PoisonDetector()
    alone = []
    lose(suspicion, "a", "b", "c")
    suspicion.in_flight["a"] = None
    suspicion.answered("a")
    alone.append(suspicion.alone)
    lose(suspicion, "b", "c")
    for key in "b", "c":
        alone.append(suspicion.alone)
        suspicion.in_flight[key] = None
        suspicion.answered(key)
    assert [*alone, suspicion.alone] == [False, True, True, False]
