"""The report says what was found, and whether all of it is well."""

from soak.fault_plan import PlannedFault
from soak.oracle import Check, Comeback, Growth
from soak.report import Report, as_json, by_kind, quantile, recoveries, text


def made(*checks: Check, ended_early: str = "") -> Report:
    return Report(
        seed=7,
        minutes=10.0,
        version="1.2.3",
        faults={"uplink-cut": 3},
        not_done=["pause hall: the command `pause` failed"],
        totals={"events sent by the cloud": 1234.0},
        recoveries=recoveries([Comeback("uplink-cut", n / 10, late=False) for n in range(1, 101)]),
        growth=[Growth("daemon", "memory", 50e6, 51e6)],
        checks=list(checks),
        ended_early=ended_early,
    )


GOOD = Check("order", ok=True, says="well")
BAD = Check("gaps", ok=False, says="ill", evidence=("a", "b"))
OPEN = Check("gaps", ok=None, says="nothing")


def test_it_passes_only_where_all_is_well() -> None:
    """A broken promise fails the run, and so does an early end; what was not judged does not."""
    assert made(GOOD, OPEN).ok
    assert not made(GOOD, BAD).ok
    assert not made(GOOD, ended_early="too much is wrong").ok
    assert as_json(made(GOOD))["ok"] is True


def test_what_it_prints() -> None:
    """Seed and length, figures, each promise with its evidence, and the last word."""
    printed = text(made(GOOD, BAD, OPEN))
    for piece in ("soak of 10 minutes, seed 7", "3 uplink-cut", "1,234", "pass       order", "FAIL       gaps: ill"):
        assert piece in printed
    assert "             - a" in printed
    assert "not judged gaps: nothing" in printed
    assert "daemon, MB" in printed
    assert printed.endswith("FAILED")


def test_only_some_evidence_is_printed() -> None:
    """Of much evidence the first pieces are printed, and how many more there are."""
    printed = text(made(BAD._replace(evidence=tuple("abcdefgh"))))
    assert "- e" in printed
    assert "- f" not in printed
    assert "and 3 more" in printed


def test_figures_of_recovery() -> None:
    """Median, the value that 95 of 100 are not above, and the longest; what was disturbed is not counted."""
    [found] = recoveries([Comeback("f", n / 10, late=False) for n in range(100)] + [Comeback("f", None, late=False)])
    assert (found.times, found.p50, found.p95, found.longest) == (100, 5.0, 9.5, 9.9)
    assert quantile([3.0], 0.95) == 3.0


def test_faults_by_kind() -> None:
    """How often each kind was dealt."""
    assert by_kind([PlannedFault(n, kind, "", 0) for n, kind in enumerate("bab", 1)]) == {
        "a": 1,
        "b": 2,
    }
