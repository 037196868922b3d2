"""Print interhuman2mqtt(1), made of the parsers that `--help` is made of.

The date is $SOURCE_DATE_EPOCH.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import parsers

from interhuman2mqtt import __version__

FILES = {
    "/etc/interhuman2mqtt/interhuman2mqtt.toml": "The configuration. All keys, with their defaults: "
    "/usr/share/doc/interhuman2mqtt/interhuman2mqtt.toml.",
    "/etc/interhuman2mqtt/conf.d/*.toml": "Read after it, in the order of their names; the later key wins.",
    "/etc/credstore/interhuman-api-key, mqtt-password": "Secrets that systemd hands to the service: "
    '{ credential = "NAME" } in the configuration.',
    "/var/lib/interhuman2mqtt": "The service's state: events that wait for the broker, pauses, budgets.",
}


def main() -> None:
    """Print the page."""
    os.environ["COLUMNS"] = "100"
    sys.stdout.writelines(f"{line}\n" for line in page(parsers.whole()))


def page(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the lines of the page, as roff."""
    date = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    yield f'.TH INTERHUMAN2MQTT 1 {date:%Y-%m-%d} "interhuman2mqtt {__version__}" "User Commands"'
    yield from (".SH NAME", "interhuman2mqtt \\- " + text(parser.description).rstrip("."))
    yield from (".SH SYNOPSIS", ".B interhuman2mqtt", text("COMMAND [OPTION]..."))
    yield ".SH COMMANDS"
    for name, command in parsers.commands(parser):
        yield f".SS {text(name)}"
        yield from of_command(command)
    yield ".SH FILES"
    for path, what in FILES.items():
        yield from (".TP", f".I {text(path)}", text(what))


def of_command(command: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what a command's own help says: usage, description, arguments, epilog."""
    yield from (".nf", *verbatim(command.format_usage().removeprefix("usage: ")), ".fi")
    yield from (".PP", text(command.description))
    for group in command._action_groups:  # noqa: SLF001 - argparse shows its help, not what it is made of
        for action in group._group_actions:  # noqa: SLF001
            hidden = argparse._HelpAction, argparse._SubParsersAction  # noqa: SLF001 - those have sections of their own
            if action.help is not argparse.SUPPRESS and not isinstance(action, hidden):
                yield from of_argument(command, action)
    if command.epilog:
        yield from (".PP", ".nf", *verbatim(command.epilog % {"prog": command.prog}), ".fi")


def of_argument(command: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """Yield an argument with its names and its help."""
    formatter = command._get_formatter()  # noqa: SLF001 - the same
    names = formatter._format_action_invocation(action)  # noqa: SLF001
    yield from (".TP", f".B {text(names)}", text(formatter._expand_help(action) if action.help else ""))  # noqa: SLF001


def verbatim(words: str) -> list[str]:
    """Return the lines of a text that keeps its own line ends."""
    return [text(line) or " " for line in words.strip("\n").splitlines()]


def text(words: str | None) -> str:
    """Return words as roff, where a backslash, a hyphen and a full stop at the start would be others."""
    escaped = (words or "").replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", escaped)


if __name__ == "__main__":
    main()
