"""From a course that is over to its report: each promise with what it is judged by."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import msgspec

from interhuman2mqtt import __version__
from soak import coverage
from soak.course import CALM_S, Course
from soak.oracle import Check, Comeback, Growth, Sample, growth
from soak.report import Report, by_kind, recoveries
from soak.site import CAMERAS, SPARE, Site
from soak.spans import total, without
from soak.storm import COMEBACK_S
from soak.weather import Weather

APART_S = 60.0
"""Seconds between early and late samples, of one life of the daemon, that say something about growth."""
GROWN_UP_S = 15.0
"""A process that is younger still takes what it needs."""
LINES_A_MINUTE = 240
"""Of the log on average, in a storm that hits four cameras every few seconds."""
LAG_S = 30.0
"""The end of the run, in which a camera's lag is looked for."""
LEFT_ROWS = 2
"""Messages that may be on their way when health is told."""


def verdict(site: Site, course: Course, seed: int, minutes: float, until: float) -> Report:
    """Judge a course; `until` is when it was over."""
    court, done = course.court, course.weather.done
    court.settle(until, last=True)
    site.listener.judge(until + 1e6)
    back = court.history.comebacks(until)
    grown = [*_growth(site, course.watch.samples, course.weather)]
    return Report(
        seed=seed,
        minutes=minutes,
        version=__version__,
        faults=by_kind(one.happening for one in done if not one.note),
        not_done=[f"{one.happening.fault} {one.happening.target}: {one.note}" for one in done if one.note],
        totals=_totals(site, course, until),
        recoveries=recoveries(one for each in back.values() for one in each),
        growth=grown,
        checks=[
            _conservation(site, course),
            _check("order", court.disordered, "the events of each camera came in their order"),
            _check("arrival", site.listener.missed, f"a subscriber got {site.listener.events:,} events"),
            _check("signals", court.endless(), f"{site.book.counts['type signal.detected']} signals have ended"),
            _liveness(back),
            _retained(course),
            _gaps(site, course),
            _media(course),
            _privacy(site, course),
            _growing(site, grown, course),
            _bugs(site, until),
        ],
        ended_early=course.gave_up,
    )


def _check(name: str, wrong: Sequence[str], says: str) -> Check:
    return Check(name, not wrong, says, tuple(wrong))


def _conservation(site: Site, course: Course) -> Check:
    counts = site.book.counts
    says = f"{counts['events']:,} events acknowledged by the broker, {counts['repeats']} of them published again"
    return _check("conservation", [*course.court.lost, *site.book.breaches], says)


def _liveness(back: Mapping[str, Sequence[Comeback]]) -> Check:
    late = [
        f"{camera}: not within {COMEBACK_S:.0f} s after {one.fault}"
        for camera, each in back.items()
        for one in each
        if one.late
    ]
    known = sum(one.seconds is not None for each in back.values() for one in each)
    return _check("liveness", late, f"{known} undisturbed comebacks, each within {COMEBACK_S:.0f} s")


def _retained(course: Course) -> Check:
    """In the last calm everything streams and says so; after the stop nothing pretends to.

    A store that was damaged knows no more of a camera that had gone before.
    """
    wrong: list[str] = []
    known = {*CAMERAS.all, "bridge"} | ({SPARE} if course.weather.faults("daemon-damage") else set())
    calm, stopped = course.retained
    for name in CAMERAS.all:
        wrong += _is("in the last calm", calm, f"{name}/status", "streaming")
        wrong += _is("after the stop", stopped, f"{name}/status", "stopped")
    wrong += _is("in the last calm", calm, "bridge/state", "online")
    wrong += _is("after the stop", stopped, "bridge/state", "stopped")
    wrong += [
        f"after the stop {topic} is still retained"
        for topic in stopped
        if "/state/" in topic and topic.partition("/")[0] in CAMERAS.all
    ]
    gone = [topic for topic in calm if topic.partition("/")[0] not in known]
    wrong += [f"{topic} is retained of a camera that is gone" for topic in gone]
    return _check("retained", wrong, "all streaming in the last calm, all stopped after the end")


def _is(when: str, retained: Mapping[str, bytes], topic: str, state: str) -> Iterator[str]:
    said = msgspec.json.decode(retained.get(topic) or b"{}")
    if said.get("state") != state:
        yield f"{when} {topic} says {said.get('state')}/{said.get('reason')} {said.get('detail') or ''}"


def _gaps(site: Site, course: Course) -> Check:
    accounts = list(course.court.history.accounts(site.book.gaps, site.daemon.kills))
    wrong = coverage.judge(accounts, course.weather.began)
    live = sum(total(account.live) for account in accounts)
    dark = sum(total(without(account.live, account.got)) for account in accounts)
    says = (
        f"of {live:.0f} s of the cameras' time {dark:.0f} s were not delivered, {len(site.book.gaps)} gaps tell of them"
    )
    if not site.book.gaps:
        return Check("gaps", None, says)
    return _check("gaps", wrong, says)


def _media(course: Course) -> Check:
    court = course.court
    counts = court.counts
    says = f"{counts['frames']:,} pictures, in order; {counts['dated']} sessions dated to {court.dating:.2f} s"
    return _check("media", court.troubles, says)


def _privacy(site: Site, course: Course) -> Check:
    if not site.paused:
        return Check("privacy", None, "nothing was paused")
    wrong = course.court.history.peeked(site.paused)
    return _check("privacy", wrong, f"{len(site.paused)} pauses, and no media from within them")


def _growth(site: Site, samples: Sequence[Sample], weather: Weather) -> Iterator[Growth]:
    """Of the longest life of the daemon, and of all workers in it."""
    life = max(site.daemon.lives, key=lambda life: (life.ended or 0.0) - life.began)
    end = life.ended or float("inf")
    born: dict[int, float] = {}
    for sample in samples:
        born.setdefault(sample.pid, sample.at)
    old = [s for s in samples if life.began <= s.at <= end and s.at - born[s.pid] >= GROWN_UP_S]
    for role in ("daemon", "worker"):
        yield from growth([sample for sample in old if sample.role == role], APART_S)
    health = [said for at, said in site.book.health if life.began <= at <= end and weather.is_calm(at - CALM_S, at)]
    tasks = [said["tasks"] for said in health if "tasks" in said and said["uptime"] >= GROWN_UP_S]
    if len(tasks) >= 4:
        yield Growth("daemon", "tasks", median(tasks[: len(tasks) // 4 or 1]), median(tasks[-(len(tasks) // 4 or 1) :]))


def _growing(site: Site, grown: Sequence[Growth], course: Course) -> Check:
    wrong = [f"{one.role}: {one.figure} from {one.early:.0f} to {one.late:.0f}" for one in grown if not one.ok]
    calm = [
        said for at, said in site.book.health if said["uptime"] > CALM_S and course.weather.is_calm(at - CALM_S, at)
    ]
    rows = [said["outbox_rows"] for said in calm[-3:]]
    if rows and min(rows) > LEFT_ROWS:
        wrong.append(f"the outbox holds {min(rows)} messages in calm")
    says = "no orphan, no zombie, an empty outbox; figures above" if grown else "too short to compare early and late"
    return _check("growth", [*wrong, *course.watch.breaches], says)


def _bugs(site: Site, until: float) -> Check:
    lines = site.daemon.lines_per_minute
    a_minute = lines.total() / max(1.0, (until - site.daemon.lives[0].began) / 60)
    wrong = list(site.daemon.breaches)
    if a_minute > LINES_A_MINUTE:
        wrong.append(f"its log has {a_minute:.0f} lines a minute")
    return _check(
        "no bug", wrong, f"{a_minute:.0f} lines a minute in its log, {max(lines.values(), default=0)} at most"
    )


def _totals(site: Site, course: Course, until: float) -> dict[str, float]:
    court, book = course.court, site.book
    accounts = list(court.history.accounts(book.gaps, site.daemon.kills))
    by_reason: Counter[str] = Counter()
    for gap in book.gaps:
        by_reason[f"seconds told in gaps, {gap.reason}"] += gap.span.seconds  # type: ignore[assignment]  # they add up
    return {
        "events sent by the cloud": court.counts["sent"],
        "events in the tails of broken connections": court.counts["tails"],
        "events published": book.counts["published"] - book.counts["repeats"],
        "events acknowledged by the broker": book.counts["events"],
        "events published again": book.counts["repeats"],
        "events marked late": book.counts["late"],
        "sessions with media": court.counts["sessions"],
        "sessions ended in good order": court.counts["ended well"],
        "handshakes refused by the cloud": site.archive.refused,
        "connections to the broker that ended": len(site.broker_ear.breaks),
        "lives of the daemon": len(site.daemon.lives),
        "chunks delivered": court.counts["chunks"],
        "pictures delivered": court.counts["frames"],
        "seconds of the cameras' time": round(sum(total(account.live) for account in accounts)),
        "seconds delivered": round(sum(total(account.got) for account in accounts)),
        "seconds told in gaps": round(sum(total(gap.span for gap in account.gaps) for account in accounts)),
        **{name: round(seconds, 1) for name, seconds in by_reason.most_common()},
        "messages dropped by rule": sum(book.health[-1][1]["dropped"].values()) if book.health else 0,
        "greatest lag of a camera at the end (s)": round(court.history.lag(until - LAG_S), 1),
    }
