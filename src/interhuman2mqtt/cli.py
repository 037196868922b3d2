"""The command line: what is asked for, and the exit status that it ends with."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import structlog

from interhuman2mqtt import __version__, exit_codes
from interhuman2mqtt.capture import bundled_libraries
from interhuman2mqtt.commands import arguments as tools
from interhuman2mqtt.commands import check as cli_config
from interhuman2mqtt.commands.arguments import add_config
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.runtime import log, state_dir, stdout


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one for each way in which a command ends
    """Run a command; returns its exit status."""
    log.guard_streams()
    os.environ.update(bundled_libraries.environment(os.environ))
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["simulate"]:
        return _simulate(words[1:])
    parsed = _parser().parse_args(words)
    log.setup()
    try:
        status: int = parsed.command(parsed)
        sys.stdout.flush()
    except ConfigError as error:
        log.print_error(str(error))
        return exit_codes.CONFIG
    except state_dir.InUse as error:
        log.print_error(str(error))
        return exit_codes.TEMPORARY
    except BrokenPipeError:  # whoever read it has seen enough
        stdout.discard()
        return 0
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last border: what arrives here is a bug, and ends the process
        structlog.get_logger(__name__).exception("bug", advice="please report this with the lines above")
        if not log.drain():
            os._exit(exit_codes.BUG)  # where not even that can be said, nothing else at the end of Python may hang
        return exit_codes.BUG
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="interhuman2mqtt", description="From cameras to MQTT, by way of the Interhuman social-signal API."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="the service; waits for whatever is down")
    add_config(run)
    run.add_argument("--lifeline", action="store_true", help=argparse.SUPPRESS)  # for the demo: end with stdin
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="say what is wrong with the configuration, a line each")
    add_config(check)
    check.add_argument("--boxes", metavar="A,B,C|FILE", help="for all boxes of a fleet: which runs which camera")
    check.set_defaults(command=_check)
    config = commands.add_parser("config", help="print the effective configuration, secrets masked")
    add_config(config)
    config.set_defaults(command=_config)
    pause = commands.add_parser("pause", help="stop a camera of this box, or all, at once and until it is resumed")
    _add_switch(pause)
    pause.set_defaults(command=_pause)
    resume = commands.add_parser("resume", help="let a paused camera stream again, or all")
    _add_switch(resume)
    resume.set_defaults(command=_resume)
    tools.add_commands(commands)
    commands.add_parser("simulate", help="the cloud, played locally; --help lists its faults", add_help=False)
    schema = commands.add_parser("schema", help="the contract for machines, as JSON")
    schema.add_argument("of", choices=["config", "events", "asyncapi"], help="JSON Schema, JSON Schema, AsyncAPI 3")
    schema.set_defaults(command=_schema)
    watch = commands.add_parser("watch", help="all boxes of a broker, live in the terminal")
    _add_watch(watch)
    watch.set_defaults(command=_watch)
    demo = commands.add_parser("demo", help="broker, cloud and a camera on this machine, events on the screen")
    _add_demo(demo)
    demo.set_defaults(command=_demo)
    return parser


def _add_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("camera", nargs="?", metavar="CAMERA", help="default: all")
    add_config(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="test:", help="a camera as in the configuration; default: %(default)s")
    parser.add_argument("--broker", metavar="URL", help="publish to this broker instead of one of our own")
    parser.add_argument("--live", action="store_true", help="use the real cloud, with the key in INTERHUMAN_API_KEY")
    parser.add_argument("--seconds", type=float, metavar="N", help="end by itself")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker", metavar="URL", help="mqtt://HOST[:PORT] or mqtts://; default: mqtt.url of the files"
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="end by itself")
    parser.add_argument("--once", action="store_true", help="print how it is now, and end")
    parser.add_argument("--json", action="store_true", help="for scripts: a line of JSON for each message")
    parser.add_argument(
        "--config",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="whose [mqtt] to connect by, user and password included; default: as for run, where there is no --broker",
    )


def _run(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt import daemon  # noqa: PLC0415 - `check` need not load half the world

    daemon.run(parsed.config, parsed.box, lifeline=parsed.lifeline)
    return 0


def _pause(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import pause  # noqa: PLC0415 - loaded when it is used

    return pause.pause_command(parsed.camera, parsed.config, parsed.box, sys.stdout, sys.stderr)


def _resume(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import pause  # noqa: PLC0415 - loaded when it is used

    return pause.resume_command(parsed.camera, parsed.config, parsed.box, sys.stdout, sys.stderr)


def _simulate(words: list[str]) -> int:
    from interhuman2mqtt.simulator import __main__ as simulator  # noqa: PLC0415 - loads libav, which the service must not

    return simulator.main(words, prog="interhuman2mqtt simulate")


def _demo(parsed: argparse.Namespace) -> int:
    try:
        from interhuman2mqtt.commands import demo  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'interhuman2mqtt[demo]'") from error
    return demo.main(demo.Options(parsed.source, parsed.broker, parsed.live, parsed.seconds))


def _schema(parsed: argparse.Namespace) -> int:
    sys.stdout.write((resources.files("interhuman2mqtt") / "schema" / f"{parsed.of}.json").read_text())
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    try:
        from interhuman2mqtt.commands import watch  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'interhuman2mqtt[tools]'") from error
    return watch.main(watch.Options(parsed.broker, parsed.config, parsed.seconds, parsed.json, parsed.once))


def _check(parsed: argparse.Namespace) -> int:
    if parsed.boxes is not None:
        return cli_config.check_boxes_command(parsed.config, parsed.boxes, sys.stdout)
    return cli_config.check_command(parsed.config, parsed.box, sys.stdout)


def _config(parsed: argparse.Namespace) -> int:
    return cli_config.config_command(parsed.config, parsed.box, sys.stdout, sys.stderr)
