"""Faults that can be scripted: KIND[=ARG][@WHEN][,session=N][,times=N][,every][,close=CODE]. No I/O.

Without `session` a fault waits for whichever session comes to WHEN first. It happens once; with `times=N` N times, with
`every` always. The number of a session is that of its `session.ready`: a refused attempt does not count, so
`refuse=503,session=2,times=3` refuses three times what then becomes session 2. Of uploads it is the number of the file
that was accepted.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class FaultError(ValueError):
    """A fault that was asked for does not exist or is written wrongly."""


class Stage(StrEnum):
    """A stage in a session's life, to which a kind of fault belongs."""

    HANDSHAKE = "handshake"
    RUNNING = "running"
    DRAIN = "drain"
    UPLOAD = "upload"
    """A submit to an upload endpoint."""
    JOB = "job"
    """A job that was accepted: how it ends."""
    POLL = "poll"
    """A request for a job."""
    JOB_LOST = "job-lost"
    """A request for a job that is there."""


class Clock(StrEnum):
    """The quantity that WHEN counts."""

    SESSION = "session"
    MEDIA = "media"
    CHUNKS = "chunks"


class Kind(Struct, frozen=True):
    """One sort of fault: what `--help` says about it, and what its argument looks like."""

    stage: Stage
    argument: str
    """As `--help` shows it; empty: it takes none."""
    pattern: str
    help: str


_NUMBER = r"\d+(\.\d+)?s?"
_SORTS = "(|empty|text|cut|binary|list|types|result)"
KINDS: dict[str, Kind] = {
    "refuse": Kind(Stage.HANDSHAKE, "=STATUS", r"[45]\d\d", "answer the upgrade with this HTTP status"),
    "refuse-error": Kind(Stage.HANDSHAKE, "=ihNNNN", r"ih\d{4}", "101, this error instead of session.ready, close"),
    "gateway": Kind(
        Stage.HANDSHAKE,
        "=STATUS[/SECONDS]",
        rf"[45]\d\d(/{_NUMBER})?",
        "a gateway refuses all for so long, default 3 s",
    ),
    "silence": Kind(Stage.HANDSHAKE, "", "", "101, and then nothing: session.ready never comes"),
    "disconnect": Kind(Stage.RUNNING, "", "", "reset the TCP connection"),
    "close": Kind(Stage.RUNNING, "=CODE", r"[134]\d{3}", "close with this code, nothing said before"),
    "error": Kind(Stage.RUNNING, "=ihNNNN", r"ih\d{4}", "send this error; with ,close=CODE close after it"),
    "reject": Kind(Stage.RUNNING, "=ihNNNN", r"ih\d{4}", "from then on answer each chunk with this error, and go on"),
    "echo-key": Kind(Stage.RUNNING, "[=SORT]", "(|plain|escaped|base64)", "send errors that name the client's key"),
    "huge": Kind(Stage.RUNNING, "[=MIB]", r"\d{0,3}", "send one message of so many MiB; default: 16"),
    "stall": Kind(Stage.RUNNING, "[=SECONDS]", rf"({_NUMBER})?", "stop reading, for ever or for so long"),
    "malformed": Kind(
        Stage.RUNNING, "[=SORT]", "(|json|binary|huge|types)", "send garbage: json, binary, huge, types; or one of each"
    ),
    "slow-drain": Kind(
        Stage.DRAIN, "[=SECONDS]", rf"({_NUMBER})?", "drain so much later; default: beyond max_drain_seconds"
    ),
    "no-end": Kind(Stage.DRAIN, "", "", "close after session.closing without session.ended"),
    "upload-error": Kind(Stage.UPLOAD, "=ihNNNN", r"ih\d{4}", "answer an upload with this error"),
    "upload-status": Kind(Stage.UPLOAD, "=STATUS", r"[2345]\d\d", "a gateway answers an upload, without reading it"),
    "upload-lost": Kind(Stage.UPLOAD, "", "", "accept an upload, and cut the connection instead of answering"),
    "upload-slow": Kind(Stage.UPLOAD, "[=SECONDS]", rf"({_NUMBER})?", "so long before each byte of an upload's answer"),
    "upload-garbage": Kind(Stage.UPLOAD, "[=SORT]", _SORTS, f"answer an upload with garbage: {_SORTS.strip('(|)')}"),
    "job-failed": Kind(Stage.JOB, "=ihNNNN", r"ih\d{4}", "a job ends with this error"),
    "job-lost": Kind(Stage.JOB_LOST, "", "", "a job is gone when it is asked for"),
    "poll-error": Kind(Stage.POLL, "=ihNNNN", r"ih\d{4}", "answer the reading of a job with this error"),
    "poll-status": Kind(Stage.POLL, "=STATUS", r"[2345]\d\d", "a gateway answers the reading of a job"),
    "poll-slow": Kind(Stage.POLL, "[=SECONDS]", rf"({_NUMBER})?", "so long before each byte of a job"),
    "poll-garbage": Kind(Stage.POLL, "[=SORT]", _SORTS, "answer the reading of a job with garbage"),
}

_WHEN = re.compile(rf"(?P<seconds>{_NUMBER})|media(?P<media>{_NUMBER})|chunk(?P<chunk>\d+)")


class When(Struct, frozen=True):
    """The moment of a fault."""

    clock: Clock
    value: float
    """Seconds, or a number of chunks."""


class Fault(Struct, frozen=True, kw_only=True):
    """One fault, as it was asked for."""

    kind: str
    argument: str = ""
    when: When = When(Clock.SESSION, 0.0)
    session: int | None = None
    times: int | None = 1
    """None: always."""
    close: int | None = None

    @property
    def stage(self) -> Stage:
        """Where it belongs."""
        return KINDS[self.kind].stage

    @property
    def seconds(self) -> float | None:
        """The argument of those that take a duration."""
        return float(self.argument.rstrip("s")) if self.argument else None


def help_text() -> str:
    """Return all kinds, one line each, for `--help`."""
    lines = [f"  {name + kind.argument:<24} {kind.help}" for name, kind in KINDS.items()]
    grammar = (
        "faults: --fault KIND[=ARG][@WHEN][,session=N][,times=N][,every][,close=CODE]\n"
        "  WHEN is 12s after session.ready, media12s of media decoded, or chunk5 received\n\n"
    )
    return grammar + "\n".join(lines)


def parse_fault(text: str) -> Fault:
    """One `--fault`; raises FaultError with what is wrong."""
    head, *options = text.split(",")
    what, _, when = head.partition("@")
    name, _, argument = what.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise FaultError(f"{name!r} is not a fault; there are {', '.join(KINDS)}")
    if not re.fullmatch(kind.pattern, argument):
        raise FaultError(f"{what!r}: it is written {name}{kind.argument}")
    if when and kind.stage is not Stage.RUNNING:
        raise FaultError(f"{text!r}: {name} has its own place in a session and takes no @WHEN")
    given: dict[str, int | None] = dict(_option(option) for option in options)
    if "close" in given and name != "error":
        raise FaultError(f"{text!r}: only error takes close=CODE")
    return Fault(kind=name, argument=argument, when=_when(when), **given)


def _when(text: str) -> When:
    if not text:
        return When(Clock.SESSION, 0.0)
    match = _WHEN.fullmatch(text)
    if match is None:
        raise FaultError(f"{text!r} is not a time; write 12s, media12s or chunk5")
    if match["chunk"]:
        return When(Clock.CHUNKS, float(match["chunk"]))
    if match["media"]:
        return When(Clock.MEDIA, float(match["media"].rstrip("s")))
    return When(Clock.SESSION, float(match["seconds"].rstrip("s")))


def _option(text: str) -> tuple[str, int | None]:
    name, _, value = text.partition("=")
    if text == "every":
        return "times", None
    if name in {"session", "times", "close"} and value.isdecimal() and int(value) > 0:
        return name, int(value)
    raise FaultError(f"{text!r} is not an option; there are session=N, times=N, every, close=CODE")


class Planned:
    """A fault and how often it is still to happen."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._left = fault.times

    @property
    def spent(self) -> bool:
        """It has happened as often as was asked for."""
        return self._left == 0

    def claim(self) -> bool:
        """Decide whether it happens now; says yes as often as was asked for."""
        if self.spent:
            return False
        if self._left is not None:
            self._left -= 1
        return True


class FaultPlan:
    """All faults of a run; sessions share it, so that what happens once happens to one of them."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._planned = [Planned(fault) for fault in faults]

    def coming(self, stage: Stage, session: int) -> list[Planned]:
        """Return the faults of a stage that may still happen to this session, in the order of the command line."""
        return [
            planned
            for planned in self._planned
            if planned.fault.stage is stage and planned.fault.session in {None, session} and not planned.spent
        ]

    def take(self, stage: Stage, session: int) -> Fault | None:
        """Claim the first fault of a stage that needs no waiting, and return it."""
        coming = self.coming(stage, session)
        return coming[0].fault if coming and coming[0].claim() else None
