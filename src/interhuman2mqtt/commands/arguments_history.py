"""The arguments of the commands that use the page's history; a command's module is loaded when it is used."""

import argparse
import sys
from typing import TYPE_CHECKING

from interhuman2mqtt.commands.arguments import PAGE_STATE, Usage, add_command, add_config

if TYPE_CHECKING:
    from interhuman2mqtt.commands.arguments import Commands


def add_commands(commands: "Commands") -> None:
    """Add them as subcommands."""
    usage = Usage(
        "write out what the page's history holds, for a spreadsheet",
        "One row for each signal, engagement span, set of scores and gap, and for each time of which nothing is known, "
        "in UTC and in local time (TZ). Run it where the page runs, as root or as its user; the page may be running.",
        "interhuman2mqtt export --from 2026-11-01 --csv front > front.csv",
        environment=(PAGE_STATE, "TZ (the zone of local times)"),
    )
    parser = add_command(commands, "export", usage)
    parser.add_argument("camera", nargs="?", metavar="CAMERA", help="or BOX/CAMERA; default: all")
    add_range(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", default="csv", help="the default")
    form.add_argument("--jsonl", dest="form", action="store_const", const="jsonl", help="an object a line instead")
    parser.set_defaults(command=_export)
    _add_forget(commands)


def _add_forget(commands: "Commands") -> None:
    usage = Usage(
        "forget what is known of people before a camera, all of it or of a range",
        "Clears it in the page's history where the page runs here, and at the broker (state/..., a retained snapshot) "
        "where the box's daemon runs here; the page's own button does both from elsewhere. Says what it cannot reach. "
        "Gaps stay; what is forgotten is not known from then on.",
        "interhuman2mqtt forget front --from 2026-11-28T09:00 --to 2026-11-28T10:00",
        environment=(PAGE_STATE,),
    )
    parser = add_command(commands, "forget", usage)
    parser.add_argument("camera", metavar="CAMERA", help="or BOX/CAMERA")
    add_range(parser)
    add_config(parser, box=False)
    parser.set_defaults(command=_forget)


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add `--from` and `--to`."""
    parser.add_argument("--from", dest="start", metavar="T", help="a date, a date and time, or 2h for so long ago")
    parser.add_argument("--to", dest="end", metavar="T", help="the same; default of both: all that there is")


def _export(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import export  # noqa: PLC0415 - loaded when it is used

    options = export.Options(parsed.camera, parsed.start, parsed.end, parsed.form)
    return export.main(options, sys.stdout, sys.stderr)


def _forget(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import forget  # noqa: PLC0415 - loaded when it is used

    options = forget.Options(parsed.camera, parsed.start, parsed.end, parsed.config)
    return forget.main(options, sys.stdout, sys.stderr)
