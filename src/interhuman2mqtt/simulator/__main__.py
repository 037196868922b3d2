"""The command `simulate`, also as `python -m interhuman2mqtt.simulator`: its options, and running it."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import trio

from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.simulator.faults import Fault, FaultError, help_text, parse_fault
from interhuman2mqtt.simulator.server import listen, play
from interhuman2mqtt.simulator.settings import (
    GOAL_DIMENSIONS,
    MODELS,
    STREAM_SCOPE,
    Decode,
    Dialect,
    Key,
    Limits,
    Pace,
    RequireAudio,
    Settings,
    Tokens,
    Uploads,
)

log = structlog.get_logger()
_DEFAULT = Settings()


EPILOG = """\
example:
  interhuman2mqtt simulate --listen 127.0.0.1:8765 --fault disconnect@12s
exit status:
  0   done
  2   the command line is wrong
  78  it cannot listen, or its files cannot be used, and the text says why
environment:
  none is read: what it plays is all on the command line

"""


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of `simulate`."""
    parser = argparse.ArgumentParser(prog=prog)
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all options of `simulate`."""
    parser.description = "Plays the Interhuman cloud on this machine: for demos, rehearsals and tests."
    parser.epilog = EPILOG + help_text()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_door(parser)
    _add_limits(parser)
    _add_uploads(parser)
    _add_analysis(parser)
    parser.add_argument(
        "--fault", type=_fault, action="append", default=[], metavar="SPEC", help="may be repeated; see below"
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep what the sessions receive, and sessions.jsonl")


def _add_door(parser: argparse.ArgumentParser) -> None:
    door = parser.add_argument_group("who may come in")
    door.add_argument(
        "--listen",
        type=_address,
        default=(_DEFAULT.host, _DEFAULT.port),
        metavar="HOST:PORT",
        help=f"default {_DEFAULT.host}:{_DEFAULT.port}; port 0: any free one",
    )
    door.add_argument("--cert", type=Path, metavar="FILE", help="serve TLS with this certificate chain (PEM)")
    door.add_argument("--cert-key", type=Path, metavar="FILE", help="its private key (PEM)")
    door.add_argument(
        "--key",
        type=_key,
        action="append",
        default=[],
        metavar="KEY[=SCOPE,...]",
        help=f"accept this API key, default scope {STREAM_SCOPE}; may be repeated; default: any key",
    )
    door.add_argument("--concurrency", type=_count, default=0, metavar="N", help="open sessions per key; 0: any number")
    door.add_argument(
        "--linger", type=_seconds, default=0.0, metavar="S", help="how long a session that was cut still counts as open"
    )
    door.add_argument("--rate-limit", type=_count, default=0, metavar="N", help="handshakes per key and minute")
    door.add_argument(
        "--token-life", type=_count, metavar="N", help="seconds that a client token lives; default: what is asked for"
    )
    door.add_argument(
        "--no-backend", action="append", default=[], choices=MODELS, help="a model that nothing serves (ih1003)"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    shown = Limits()
    for name, value, what in (
        ("--idle-timeout", shown.idle_timeout, "seconds without media (ih6003)"),
        ("--max-duration", shown.max_duration, "seconds of a session (ih6004)"),
        ("--max-drain", shown.max_drain, "seconds of a graceful close"),
        ("--min-segment-size", shown.min_segment_size, "bytes"),
        ("--max-segment-size", shown.max_segment_size, "bytes (ih6002)"),
    ):
        limits.add_argument(name, type=_count, default=value, metavar="N", help=f"{what}; default {value}")
    limits.add_argument(
        "--min-segment-duration", type=_seconds, metavar="S", help="seconds (ih5006); default: not told, and none"
    )


def _add_uploads(parser: argparse.ArgumentParser) -> None:
    uploads = parser.add_argument_group("uploads of files")
    shown = Uploads()
    for name, value, what in (
        ("--upload-max-size", shown.max_size, "bytes of a file (ih4003)"),
        ("--job-capacity", shown.capacity, "unfinished jobs (ih1002), 0: any number"),
    ):
        uploads.add_argument(name, type=_count, default=value, metavar="N", help=f"{what}; default {value}")
    for name, seconds, what in (
        ("--upload-max-duration", shown.max_duration, "of a file (ih4004)"),
        ("--job-queued", shown.queued, "before a job runs"),
        ("--job-running", shown.running, "until it is done then; both pass before an answer of v1"),
        ("--job-lifetime", shown.lifetime, "until it is gone (ih4021)"),
    ):
        uploads.add_argument(
            name, type=_seconds, default=seconds, metavar="S", help=f"seconds {what}; default {seconds:g}"
        )


def _add_analysis(parser: argparse.ArgumentParser) -> None:
    analysis = parser.add_argument_group("the analysis")
    pace = Pace()
    for name, value in (("--window", pace.window), ("--stride", pace.stride), ("--cadence", pace.cadence)):
        analysis.add_argument(
            name, type=_seconds, default=value, metavar="S", help=f"seconds of media; default {value:g}"
        )
    analysis.add_argument("--seed", type=int, default=0, metavar="N", help="other people behave otherwise")
    analysis.add_argument("--decode", type=Decode, choices=list(Decode), default=Decode.KEYFRAMES)
    analysis.add_argument(
        "--require-audio", type=RequireAudio, choices=list(RequireAudio), default=RequireAudio.AUTO, help="auto: on v2"
    )
    analysis.add_argument("--goal-dimensions", action="store_true", help="offer feedback")
    analysis.add_argument("--dialect", type=Dialect, choices=list(Dialect), default=Dialect.LIFE_CYCLE)
    analysis.add_argument("--unknown-events", action="store_true", help="sprinkle types and fields that nobody knows")


def settings_from(namespace: argparse.Namespace) -> Settings:
    """Return the parsed command line as values; raises ConfigError where options do not fit together."""
    if (namespace.cert is None) != (namespace.cert_key is None):
        raise ConfigError("--cert and --cert-key belong together")
    host, port = namespace.listen
    return Settings(
        host=host,
        port=port,
        certificate=namespace.cert,
        private_key=namespace.cert_key,
        keys=tuple(namespace.key),
        concurrency=namespace.concurrency,
        linger=namespace.linger,
        rate_limit=namespace.rate_limit,
        models=tuple(model for model in MODELS if model not in namespace.no_backend),
        goal_dimensions=GOAL_DIMENSIONS if namespace.goal_dimensions else None,
        limits=Limits(
            idle_timeout=namespace.idle_timeout,
            max_duration=namespace.max_duration,
            min_segment_duration=namespace.min_segment_duration,
            min_segment_size=namespace.min_segment_size,
            max_segment_size=namespace.max_segment_size,
            max_drain=namespace.max_drain,
        ),
        uploads=Uploads(
            max_size=namespace.upload_max_size,
            capacity=namespace.job_capacity,
            max_duration=namespace.upload_max_duration,
            queued=namespace.job_queued,
            running=namespace.job_running,
            lifetime=namespace.job_lifetime,
        ),
        tokens=Tokens() if namespace.token_life is None else Tokens(life_min=0, life_max=namespace.token_life),
        pace=Pace(window=namespace.window, stride=namespace.stride, cadence=namespace.cadence),
        require_audio=namespace.require_audio,
        decode=namespace.decode,
        dialect=namespace.dialect,
        unknown_events=namespace.unknown_events,
        seed=namespace.seed,
        faults=tuple(namespace.fault),
        save=namespace.save,
    )


async def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError where it cannot listen."""
    listening = await listen(settings)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        log.info("the simulated cloud is listening", url=f"{listening.address.url}/v2/stream/analyze")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(play, settings, listening)
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                nursery.cancel_scope.cancel()


def _key(text: str) -> Key:
    credential, separator, scopes = text.partition("=")
    if not credential:
        raise argparse.ArgumentTypeError("an empty key")
    return Key(credential, tuple(filter(None, scopes.split(",")))) if separator else Key(credential)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.05 to 3600")
    return value


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(arguments: Sequence[str] | None = None, prog: str = "python -m interhuman2mqtt.simulator") -> int:
    """Run the simulator; returns the exit status: 0 stopped, 78 it cannot run as it was told to."""
    parser = build_parser(prog)
    try:
        trio.run(run, settings_from(parser.parse_args(arguments)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    return 0


if __name__ == "__main__":
    sys.exit(main())
