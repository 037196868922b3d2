"""The command line as a whole, for the man page and for the shells."""

import argparse
from collections.abc import Iterator

from interhuman2mqtt import cli
from interhuman2mqtt.simulator.__main__ import build_parser


def whole() -> argparse.ArgumentParser:
    """Return the parser of the program, with that of `simulate`, which is loaded apart, in its place."""
    parser = cli.build_parser()
    subparsers(parser)["simulate"] = build_parser("interhuman2mqtt simulate")
    return parser


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by name; changes to it are changes to the parser."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return found[0].choices if found else {}


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the parser of each command with its name, and behind it those of its own commands."""
    for name, command in subparsers(parser).items():
        yield f"{before}{name}", command
        yield from commands(command, f"{before}{name} ")
