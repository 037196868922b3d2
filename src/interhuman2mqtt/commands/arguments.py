"""The arguments of the commands, and their help; a command's module is loaded when it is used."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it


SECONDS_MAX = 3600
EXITS = {
    0: "done",
    2: "the command line is wrong",
    69: "it could not be done, and the text says why",
    75: "another daemon has this state directory, or the program was replaced while it ran",
    70: "a bug, which the log describes",
    78: "the configuration is wrong, and the text says where",
}
"""Exit statuses as `--help` explains them; those of the service are in `exit_codes`."""
STATE = "STATE_DIRECTORY (the daemon's state)"
PAGE_STATE = "STATE_DIRECTORY (the page's state; default: /var/lib/interhuman2mqtt-web)"
SECRETS = "CREDENTIALS_DIRECTORY and the variables that the configuration names (secrets)"


class Usage(NamedTuple):
    """The help of a command, beside its arguments."""

    does: str
    """One line, for the list of commands."""
    more: str
    """Sentences that follow it in the command's own help."""
    example: str
    exits: tuple[int, ...] = (0, 69)
    environment: tuple[str, ...] = ()


def add_command(commands: "Commands", name: str, usage: Usage) -> argparse.ArgumentParser:
    """Add a command whose help has a sentence, an example, its exit statuses, and the environment that it reads."""
    exits = [f"  {status:<3} {EXITS[status]}" for status in usage.exits]
    environment = ["environment:", *(f"  {one}" for one in usage.environment)] if usage.environment else []
    return commands.add_parser(
        name,
        help=usage.does,
        description=f"{usage.does[0].upper()}{usage.does[1:]}. {usage.more}".strip(),
        epilog="\n".join(["example:", f"  {usage.example}", "exit status:", *exits, *environment]),
        formatter_class=HelpFormatter,
    )


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the description, and leaves the lines of the epilog as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def add_config(parser: argparse.ArgumentParser, *, box: bool = True) -> None:
    """Add `--config`, and `--box`."""
    parser.add_argument(
        "--config",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="may be repeated; default: /etc/interhuman2mqtt/interhuman2mqtt.toml, then conf.d/*.toml beside it",
    )
    if box:
        parser.add_argument("--box", metavar="ID", help="as if this were the box of that id; default: box.id")


def add_commands(commands: "Commands") -> None:
    """Add the tools as subcommands."""
    _add_devices(commands)
    _add_probe(commands)
    _add_doctor(commands)
    restart = add_tool(
        commands,
        "restart",
        Usage(
            "ask the running daemon to restart a camera, or all",
            "The camera's session is drained, its source is opened anew. Needs no broker.",
            "interhuman2mqtt restart front",
            environment=(STATE,),
        ),
    )
    restart.add_argument("camera", nargs="?", metavar="CAMERA", help="default: all")
    restart.set_defaults(command=_restart)
    reload = add_tool(
        commands,
        "reload",
        Usage(
            "ask the running daemon to apply the changed configuration",
            "Only the cameras that changed are restarted; a file with a mistake changes nothing. Needs no broker.",
            "interhuman2mqtt reload",
            environment=(STATE,),
        ),
    )
    reload.set_defaults(command=_reload)
    health = add_tool(
        commands,
        "health",
        Usage(
            "say whether the running daemon is well",
            "For what restarts containers: 0 where every part of it moves, 69 where one hangs or no daemon runs. A "
            "camera or a broker that is down is no illness. Needs no broker.",
            "interhuman2mqtt health",
            environment=(STATE,),
        ),
    )
    health.set_defaults(command=_health)


def _add_devices(commands: "Commands") -> None:
    devices = add_tool(
        commands,
        "devices",
        Usage(
            "list the cameras and microphones of this machine, or of the network",
            "Each with its stable names, and what it offers; devices that are in use are not opened. On the network "
            "ONVIF cameras are asked by one question to all; a password is sent to none but the host that is named.",
            "interhuman2mqtt devices --toml >> /etc/interhuman2mqtt/interhuman2mqtt.toml",
        ),
    )
    devices.add_argument("--toml", action="store_true", help="as tables that can be pasted; --json goes before it")
    of_network = devices.add_mutually_exclusive_group()
    of_network.add_argument("--network", action="store_true", help="the ONVIF cameras of the network instead")
    of_network.add_argument(
        "--host", metavar="HOST", help="the streams of this ONVIF camera instead: HOST or HOST:PORT"
    )
    devices.add_argument(
        "--seconds", type=_seconds, default=4.0, metavar="N", help="of --network; default: %(default)g"
    )
    devices.add_argument("--username", metavar="NAME", help="of --host; the password is asked for on a terminal")
    devices.add_argument("--password-file", metavar="FILE", help="or where the password is")
    devices.set_defaults(command=_devices)


def _add_probe(commands: "Commands") -> None:
    probe = add_tool(
        commands,
        "probe",
        Usage(
            "open a source and say what it is, what it costs, and why it cannot be used, if it cannot",
            "It is opened as the service would; nothing leaves this machine.",
            "interhuman2mqtt probe rtsp://10.0.0.5/stream1 --username viewer --password-file front.pw",
            environment=(SECRETS,),
        ),
    )
    probe.add_argument("source", metavar="SOURCE", help="as in the configuration, or the name of a camera there")
    probe.add_argument("--seconds", type=_seconds, default=10.0, metavar="N", help="how long; default: %(default)g")
    probe.add_argument("--username", metavar="NAME", help="of the camera; its password is asked for on a terminal")
    probe.add_argument("--password-file", metavar="FILE", help="where the password is")
    probe.add_argument("--password-env", metavar="NAME", help="or in which environment variable")
    probe.add_argument("--transport", choices=["tcp", "udp"], default="tcp", help="of RTSP; default: %(default)s")
    probe.add_argument("--microphone", metavar="DEVICE", help="a sound device beside it, such as alsa:hw:1,0")
    probe.add_argument(
        "--audio-only", action="store_true", help='as with model = "inter-2-audio", which opens no video'
    )
    add_config(probe)
    probe.set_defaults(command=_probe)


def _add_doctor(commands: "Commands") -> None:
    doctor = add_tool(
        commands,
        "doctor",
        Usage(
            "look at the whole chain, from the cameras to the broker, and say how to mend what fails",
            "It opens each camera and, for a moment, a session with the cloud, which counts as one of the account's; "
            "to see what the broker allows it publishes an event doctor.test of each camera.",
            "interhuman2mqtt doctor",
            exits=(0, 69, 78),
            environment=(STATE, SECRETS, "https_proxy (the way to the cloud)"),
        ),
    )
    add_config(doctor)
    doctor.set_defaults(command=_doctor)


def add_tool(commands: "Commands", name: str, usage: Usage) -> argparse.ArgumentParser:
    """Add a command that answers in JSON as well."""
    parser = add_command(commands, name, usage)
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    return parser


def _devices(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import devices, devices_network  # noqa: PLC0415 - loaded when it is used

    if parsed.network or parsed.host is not None:
        options = devices_network.Options(
            host=parsed.host,
            seconds=parsed.seconds,
            username=parsed.username,
            password_file=parsed.password_file,
            as_toml=parsed.toml,
            as_json=parsed.json,
        )
        return devices_network.network_command(options, sys.stdout, sys.stderr)
    return devices.devices_command(sys.stdout, as_toml=parsed.toml, as_json=parsed.json)


def _probe(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import probe  # noqa: PLC0415 - loaded when it is used

    options = probe.Options(
        source=parsed.source,
        seconds=parsed.seconds,
        username=parsed.username,
        password_env=parsed.password_env,
        password_file=parsed.password_file,
        transport=parsed.transport,
        microphone=parsed.microphone,
        audio_only=parsed.audio_only,
        config=parsed.config,
        box=parsed.box,
        as_json=parsed.json,
    )
    return probe.probe_command(options, sys.stdout, sys.stderr)


def _doctor(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import doctor  # noqa: PLC0415 - loaded when it is used

    return doctor.doctor_command(parsed.config, parsed.box, sys.stdout, sys.stderr, as_json=parsed.json)


def _restart(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import restart as asking  # noqa: PLC0415 - loaded when it is used

    return asking.restart_command(parsed.camera, parsed.json, sys.stdout, sys.stderr)


def _reload(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import restart as asking  # noqa: PLC0415 - loaded when it is used

    return asking.reload_command(parsed.json, sys.stdout, sys.stderr)


def _health(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import restart as asking  # noqa: PLC0415 - loaded when it is used

    return asking.health_command(parsed.json, sys.stdout, sys.stderr)


def _seconds(text: str) -> float:
    """Read a number of seconds from 1 up to an hour."""
    with suppress(ValueError):
        if 1 <= (seconds := float(text)) <= SECONDS_MAX:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {SECONDS_MAX}")
