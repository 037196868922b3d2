"""The command line: what is asked for, and the exit status that it ends with."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from interhuman2mqtt import __version__, exit_codes
from interhuman2mqtt.capture import bundled_libraries
from interhuman2mqtt.commands import arguments, arguments_analyze, arguments_history, arguments_token, arguments_web
from interhuman2mqtt.commands import check as cli_config
from interhuman2mqtt.commands.arguments import SECRETS, STATE, Usage, add_command, add_config
from interhuman2mqtt.config import problems
from interhuman2mqtt.errors import ConfigError, ReplacedError
from interhuman2mqtt.runtime import log, state_dir, stdout
from interhuman2mqtt.runtime.sanitize import clean

if TYPE_CHECKING:
    from interhuman2mqtt.commands.arguments import Commands


def main(words_given: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one for each way in which a command ends
    """Run a command; returns its exit status."""
    log.guard_streams()
    os.environ.update(bundled_libraries.environment(os.environ))
    words = sys.argv[1:] if words_given is None else list(words_given)
    if words[:1] == ["simulate"]:
        return _simulate(words[1:])
    parser = build_parser()
    if unknown := _unknown_command(parser, words):
        parser.error(unknown)
    parsed = parser.parse_args(words)
    log.setup()
    try:
        status: int = parsed.command(parsed)
        sys.stdout.flush()
    except ConfigError as error:
        log.print_error(str(error))
        return exit_codes.CONFIG
    except (state_dir.InUse, ReplacedError) as error:
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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, without the arguments of `simulate`, which loads libav."""
    parser = argparse.ArgumentParser(
        prog="interhuman2mqtt",
        description="From cameras to MQTT, by way of the Interhuman social-signal API.",
        epilog="Each command has its own --help, with an example. Start with: interhuman2mqtt demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_service(commands)
    _add_switches(commands)
    arguments.add_commands(commands)
    arguments_analyze.add_commands(commands)
    commands.add_parser("simulate", help="the cloud, played locally; --help lists its faults", add_help=False)
    _add_schema(commands)
    _add_watch(commands)
    _add_web(commands)
    arguments_web.add_commands(commands)
    arguments_history.add_commands(commands)
    arguments_token.add_commands(commands)
    _add_demo(commands)
    return parser


def _add_service(commands: "Commands") -> None:
    usage = Usage(
        "the service; waits for whatever is down",
        "SIGHUP reloads the configuration (on a terminal it ends the service, as the terminal does). SIGTERM ends it "
        "in order, and a second one at once.",
        "interhuman2mqtt run --config box.toml",
        exits=(0, 70, 75, 78),
        environment=(
            STATE,
            "RUNTIME_DIRECTORY (pauses that cannot be written to the state)",
            SECRETS,
            "NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM (systemd's own)",
            "https_proxy (the way to the cloud)",
        ),
    )
    run = add_command(commands, "run", usage)
    add_config(run)
    run.add_argument("--lifeline", action="store_true", help=argparse.SUPPRESS)  # for the demo: end with stdin
    run.set_defaults(command=_run)
    usage = Usage(
        "say what is wrong with the configuration, a line each",
        "Touches nothing: no camera, no broker, no cloud.",
        "interhuman2mqtt check --config box.toml",
        exits=(0, 78),
        environment=(SECRETS,),
    )
    check = add_command(commands, "check", usage)
    add_config(check)
    check.add_argument("--boxes", metavar="A,B,C|FILE", help="for all boxes of a fleet: which runs which camera")
    check.set_defaults(command=_check)
    usage = Usage(
        "print the effective configuration, secrets masked",
        "Defaults and profiles are filled in; what is printed is a valid file again.",
        "interhuman2mqtt config --box hall-3",
        exits=(0, 78),
    )
    config = add_command(commands, "config", usage)
    add_config(config)
    config.set_defaults(command=_config)


def _add_switches(commands: "Commands") -> None:
    more = "At once, with or without a running daemon or a broker."
    pause = add_command(
        commands,
        "pause",
        Usage(
            "stop a camera of this box, or all, until it is resumed",
            more,
            "interhuman2mqtt pause front",
            environment=(STATE,),
        ),
    )
    pause.set_defaults(command=_pause)
    resume = add_command(
        commands,
        "resume",
        Usage("let a paused camera stream again, or all", more, "interhuman2mqtt resume", environment=(STATE,)),
    )
    resume.set_defaults(command=_resume)
    for parser in (pause, resume):
        parser.add_argument("camera", nargs="?", metavar="CAMERA", help="default: all")
        add_config(parser)


def _add_schema(commands: "Commands") -> None:
    usage = Usage("the contract for machines, as JSON", "", "interhuman2mqtt schema events > events.json", exits=(0,))
    schema = add_command(commands, "schema", usage)
    schema.add_argument("of", choices=["config", "events", "asyncapi"], help="JSON Schema, JSON Schema, AsyncAPI 3")
    schema.add_argument("--path", action="store_true", help="print where the file is, for an editor")
    schema.set_defaults(command=_schema)


def _add_demo(commands: "Commands") -> None:
    usage = Usage(
        "broker, cloud and a camera on this machine, events on the screen",
        "Everything ends with it. Needs the extra: pip install 'interhuman2mqtt[demo]'.",
        "interhuman2mqtt demo --source rtsp://10.0.0.5/stream1",
        exits=(0, 69, 78),
        environment=("INTERHUMAN_API_KEY (with --live)",),
    )
    parser = add_command(commands, "demo", usage)
    parser.add_argument("--source", default="test:", help="a camera as in the configuration; default: %(default)s")
    parser.add_argument("--broker", metavar="URL", help="publish to this broker instead of one of our own")
    parser.add_argument("--live", action="store_true", help="use the real cloud, with the key in INTERHUMAN_API_KEY")
    parser.add_argument("--seconds", type=float, metavar="N", help="end by itself")
    parser.set_defaults(command=_demo)


def _add_watch(commands: "Commands") -> None:
    usage = Usage(
        "all boxes of a broker, live in the terminal",
        "Arrows scroll, / filters, q quits. Needs the extra: pip install 'interhuman2mqtt[tools]'.",
        "interhuman2mqtt watch --broker mqtt://broker.example",
        exits=(0, 69, 78),
        environment=(SECRETS,),
    )
    parser = add_command(commands, "watch", usage)
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
    parser.set_defaults(command=_watch)


def _add_web(commands: "Commands") -> None:
    usage = Usage(
        "the page: all boxes of a broker in a browser, with a history",
        "A process of its own, on any machine that reaches the broker. [web] of the files says where it listens and "
        "who may see it. Needs the extra: pip install 'interhuman2mqtt[web]'.",
        "interhuman2mqtt web --broker mqtt://broker.example",
        exits=(0, 69, 78),
        environment=("STATE_DIRECTORY (the history)", SECRETS),
    )
    parser = add_command(commands, "web", usage)
    add_config(parser, box=False)
    parser.add_argument(
        "--broker", metavar="URL", help="mqtt://HOST[:PORT] or mqtts://; default: mqtt.url of the files"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="default: web.listen of the files, 127.0.0.1:8443")
    parser.add_argument("--keep", metavar="TIME", help="how long the history reaches; default: web.keep, 14d")
    parser.add_argument("--lifeline", action="store_true", help=argparse.SUPPRESS)  # for the demo: end with stdin
    parser.set_defaults(command=_web)


def _unknown_command(parser: argparse.ArgumentParser, words: list[str]) -> str | None:
    """Return a sentence for a first word that is no command, with the one that was probably meant."""
    known = subcommands(parser)
    if not words or words[0].startswith("-") or words[0] in known:
        return None
    meant = problems.did_you_mean(words[0], known) or f"; the commands are {', '.join(known)}"
    return f"there is no command {clean(words[0], 40)}{meant}"


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by name."""
    [found] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return dict(found.choices)


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
    file = resources.files("interhuman2mqtt") / "schema" / f"{parsed.of}.json"
    sys.stdout.write(f"{file}\n" if parsed.path else file.read_text())
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    try:
        from interhuman2mqtt.commands import watch  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'interhuman2mqtt[tools]'") from error
    return watch.main(watch.Options(parsed.broker, parsed.config, parsed.seconds, parsed.json, parsed.once))


def _web(parsed: argparse.Namespace) -> int:
    try:
        from interhuman2mqtt.commands import web  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'interhuman2mqtt[web]'") from error
    return web.main(web.Options(parsed.config, parsed.broker, parsed.listen, parsed.keep, lifeline=parsed.lifeline))


def _check(parsed: argparse.Namespace) -> int:
    if parsed.boxes is not None:
        return cli_config.check_boxes_command(parsed.config, parsed.boxes, sys.stdout)
    return cli_config.check_command(parsed.config, parsed.box, sys.stdout)


def _config(parsed: argparse.Namespace) -> int:
    return cli_config.config_command(parsed.config, parsed.box, sys.stdout, sys.stderr)
