"""Make the report of a run that is over: each promise with what it is judged by."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import msgspec

from interhuman2mqtt import __version__
from soak import coverage
from soak.fault_plan import COMEBACK_S
from soak.fault_runner import FaultRunner
from soak.oracle import Check, Comeback, Growth, Sample, growth
from soak.report import Report, by_kind, recoveries
from soak.run import QUIET_S, SoakRun
from soak.spans import total, without
from soak.testbed import CAMERAS, SPARE, Testbed

APART_S = 60.0
"""Seconds between early and late samples, of one life of the daemon, that say something about growth."""
GROWN_UP_S = 15.0
"""A process that is younger still takes what it needs."""
LINES_A_MINUTE = 240
"""Of the log on average, under faults that hit four cameras every few seconds."""
LAG_S = 30.0
"""The end of the run, in which a camera's lag is looked for."""
LEFT_ROWS = 2
"""Messages that may be on their way when health is published."""


def build_report(testbed: Testbed, run: SoakRun, seed: int, minutes: float, until: float) -> Report:
    """Judge a run; `until` is when it was over."""
    judge, done = run.judge, run.fault_runner.done
    judge.settle(until, last=True)
    testbed.subscriber.check(until + 1e6)
    back = judge.history.comebacks(until)
    detected = testbed.published_log.counts["type signal.detected"]
    grown = [*_growth(testbed, run.processes.samples, run.fault_runner)]
    return Report(
        seed=seed,
        minutes=minutes,
        version=__version__,
        faults=by_kind(one.planned for one in done if not one.note),
        not_done=[f"{one.planned.kind} {one.planned.target}: {one.note}" for one in done if one.note],
        totals=_totals(testbed, run, until),
        recoveries=recoveries(one for each in back.values() for one in each),
        growth=grown,
        checks=[
            _conservation(testbed, run),
            _check("order", judge.disordered, "the events of each camera came in their order"),
            _check("arrival", testbed.subscriber.missed, f"a subscriber got {testbed.subscriber.events:,} events"),
            _check("signals", judge.unended(), f"{detected} signals have ended"),
            _liveness(back),
            _retained(run),
            _gaps(testbed, run),
            _media(run),
            _privacy(testbed, run),
            _growing(testbed, grown, run),
            _bugs(testbed, until),
        ],
        ended_early=run.abort_reason,
    )


def _check(name: str, wrong: Sequence[str], says: str) -> Check:
    return Check(name, not wrong, says, tuple(wrong))


def _conservation(testbed: Testbed, run: SoakRun) -> Check:
    counts = testbed.published_log.counts
    says = f"{counts['events']:,} events acknowledged by the broker, {counts['repeats']} of them published again"
    return _check("conservation", [*run.judge.lost, *testbed.published_log.violations], says)


def _liveness(back: Mapping[str, Sequence[Comeback]]) -> Check:
    late = [
        f"{camera}: not within {COMEBACK_S:.0f} s after {one.fault}"
        for camera, each in back.items()
        for one in each
        if one.late
    ]
    known = sum(one.seconds is not None for each in back.values() for one in each)
    return _check("liveness", late, f"{known} undisturbed comebacks, each within {COMEBACK_S:.0f} s")


def _retained(run: SoakRun) -> Check:
    """Before the stop everything streams and says so; after it nothing pretends to.

    A store that was damaged knows no more of a camera that had gone before.
    """
    wrong: list[str] = []
    known = {*CAMERAS.all, "bridge"} | ({SPARE} if run.fault_runner.faults("daemon-damage") else set())
    streaming, stopped = run.retained
    for name in CAMERAS.all:
        wrong += _is("before the stop", streaming, f"{name}/status", "streaming")
        wrong += _is("after the stop", stopped, f"{name}/status", "stopped")
    wrong += _is("before the stop", streaming, "bridge/state", "online")
    wrong += _is("after the stop", stopped, "bridge/state", "stopped")
    wrong += [
        f"after the stop {topic} is still retained"
        for topic in stopped
        if "/state/" in topic and topic.partition("/")[0] in CAMERAS.all
    ]
    gone = [topic for topic in streaming if topic.partition("/")[0] not in known]
    wrong += [f"{topic} is retained of a camera that is gone" for topic in gone]
    return _check("retained", wrong, "all streaming before the stop, all stopped after the end")


def _is(when: str, retained: Mapping[str, bytes], topic: str, state: str) -> Iterator[str]:
    report = msgspec.json.decode(retained.get(topic) or b"{}")
    if report.get("state") != state:
        yield f"{when} {topic} says {report.get('state')}/{report.get('reason')} {report.get('detail') or ''}"


def _gaps(testbed: Testbed, run: SoakRun) -> Check:
    accounts = list(run.judge.history.accounts(testbed.published_log.gaps, testbed.daemon.kills))
    wrong = coverage.check(accounts, run.fault_runner.began)
    live = sum(total(account.live) for account in accounts)
    dark = sum(total(without(account.live, account.delivered)) for account in accounts)
    gaps = testbed.published_log.gaps
    says = f"of {live:.0f} s of the cameras' time {dark:.0f} s were not delivered, {len(gaps)} gaps were published"
    if not gaps:
        return Check("gaps", None, says)
    return _check("gaps", wrong, says)


def _media(run: SoakRun) -> Check:
    judge = run.judge
    counts = judge.counts
    says = f"{counts['frames']:,} frames, in order; {counts['dated']} sessions dated to {judge.max_date_error_s:.2f} s"
    return _check("media", judge.troubles, says)


def _privacy(testbed: Testbed, run: SoakRun) -> Check:
    if not testbed.paused:
        return Check("privacy", None, "nothing was paused")
    wrong = run.judge.history.media_in_pauses(testbed.paused)
    return _check("privacy", wrong, f"{len(testbed.paused)} pauses, and no media from within them")


def _growth(testbed: Testbed, samples: Sequence[Sample], fault_runner: FaultRunner) -> Iterator[Growth]:
    """Compare early and late figures of the longest life of the daemon, and of all workers in it."""
    life = max(testbed.daemon.lives, key=lambda life: (life.ended or 0.0) - life.began)
    end = life.ended or float("inf")
    born: dict[int, float] = {}
    for sample in samples:
        born.setdefault(sample.pid, sample.at)
    old = [s for s in samples if life.began <= s.at <= end and s.at - born[s.pid] >= GROWN_UP_S]
    for role in ("daemon", "worker"):
        yield from growth([sample for sample in old if sample.role == role], APART_S)
    health = [
        report
        for at, report in testbed.published_log.health
        if life.began <= at <= end and fault_runner.is_quiet(at - QUIET_S, at)
    ]
    tasks = [report["tasks"] for report in health if "tasks" in report and report["uptime"] >= GROWN_UP_S]
    if len(tasks) >= 4:
        yield Growth("daemon", "tasks", median(tasks[: len(tasks) // 4 or 1]), median(tasks[-(len(tasks) // 4 or 1) :]))


def _growing(testbed: Testbed, grown: Sequence[Growth], run: SoakRun) -> Check:
    wrong = [f"{one.role}: {one.figure} from {one.early:.0f} to {one.late:.0f}" for one in grown if not one.ok]
    quiet = [
        report
        for at, report in testbed.published_log.health
        if report["uptime"] > QUIET_S and run.fault_runner.is_quiet(at - QUIET_S, at)
    ]
    rows = [report["outbox_rows"] for report in quiet[-3:]]
    if rows and min(rows) > LEFT_ROWS:
        wrong.append(f"the outbox holds {min(rows)} messages between faults")
    says = "no orphan, no zombie, an empty outbox; figures above" if grown else "too short to compare early and late"
    return _check("growth", [*wrong, *run.processes.violations], says)


def _bugs(testbed: Testbed, until: float) -> Check:
    lines = testbed.daemon.lines_per_minute
    a_minute = lines.total() / max(1.0, (until - testbed.daemon.lives[0].began) / 60)
    wrong = list(testbed.daemon.violations)
    if a_minute > LINES_A_MINUTE:
        wrong.append(f"its log has {a_minute:.0f} lines a minute")
    return _check(
        "no bug", wrong, f"{a_minute:.0f} lines a minute in its log, {max(lines.values(), default=0)} at most"
    )


def _totals(testbed: Testbed, run: SoakRun, until: float) -> dict[str, float]:
    judge, log = run.judge, testbed.published_log
    accounts = list(judge.history.accounts(log.gaps, testbed.daemon.kills))
    by_reason: Counter[str] = Counter()
    for gap in log.gaps:
        by_reason[f"seconds in published gaps, {gap.reason}"] += gap.span.seconds  # type: ignore[assignment]  # they add up
    return {
        "events sent by the cloud": judge.counts["sent"],
        "events in the tails of broken connections": judge.counts["tails"],
        "events published": log.counts["published"] - log.counts["repeats"],
        "events acknowledged by the broker": log.counts["events"],
        "events published again": log.counts["repeats"],
        "events marked late": log.counts["late"],
        "sessions with media": judge.counts["sessions"],
        "sessions ended in good order": judge.counts["ended well"],
        "handshakes refused by the cloud": testbed.archive.refused,
        "connections to the broker that ended": len(testbed.broker_tap.breaks),
        "lives of the daemon": len(testbed.daemon.lives),
        "chunks delivered": judge.counts["chunks"],
        "frames delivered": judge.counts["frames"],
        "seconds of the cameras' time": round(sum(total(account.live) for account in accounts)),
        "seconds delivered": round(sum(total(account.delivered) for account in accounts)),
        "seconds in published gaps": round(sum(total(gap.span for gap in account.gaps) for account in accounts)),
        **{name: round(seconds, 1) for name, seconds in by_reason.most_common()},
        "messages dropped by rule": sum(log.health[-1][1]["dropped"].values()) if log.health else 0,
        "greatest lag of a camera at the end (s)": round(judge.history.lag(until - LAG_S), 1),
    }
