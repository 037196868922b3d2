"""The arguments of the commands that need the extra `web`; a command's module is loaded when it is used."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interhuman2mqtt.commands.arguments import PAGE_STATE, Usage, add_command, add_config
from interhuman2mqtt.errors import ConfigError

if TYPE_CHECKING:
    from interhuman2mqtt.commands.arguments import Commands


def add_commands(commands: "Commands") -> None:
    """Add them as subcommands."""
    usage = Usage(
        "a link and its QR code: a browser becomes a camera, or a room's page pauses one",
        "The link needs no login, does this one thing with this one camera, and is kept as a hash alone. By it a "
        "browser becomes a camera of this box whose source is browser:, one browser at a time; with --room it shows "
        "on a room's wall whether the camera is on, and lets anyone pause it. Run it where the page runs, as root or "
        "as its user. Needs the extra: pip install 'interhuman2mqtt[web]'.",
        "interhuman2mqtt invite table --for 8h",
        exits=(0, 69, 78),
        environment=(PAGE_STATE,),
    )
    parser = add_command(commands, "invite", usage)
    parser.add_argument("camera", nargs="?", metavar="CAMERA", help="or BOX/CAMERA, with --room")
    parser.add_argument("--for", dest="lasts", metavar="TIME", help="default: 8h; with --room until it is revoked")
    parser.add_argument("--room", action="store_true", help="for a room's wall")
    parser.add_argument("--url", metavar="URL", help="the page's address; default: by [web] hosts and listen")
    parser.add_argument("--qr", type=Path, metavar="FILE", help="write the QR code, to print it: .svg, .png or .pdf")
    parser.add_argument("--list", dest="lists", action="store_true", help="which there are instead; no link is shown")
    parser.add_argument("--revoke", metavar="ID", help="take one back, by what --list shows, or all")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    add_config(parser, box=False)
    parser.set_defaults(command=_invite)


def _invite(parsed: argparse.Namespace) -> int:
    try:
        from interhuman2mqtt.commands import invite  # noqa: PLC0415 - an extra, which may be missing
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'interhuman2mqtt[web]'") from error
    options = invite.Options(
        camera=parsed.camera,
        lasts=parsed.lasts,
        room=parsed.room,
        url=parsed.url,
        qr=parsed.qr,
        lists=parsed.lists,
        revoke=parsed.revoke,
        config=parsed.config,
        as_json=parsed.json,
    )
    return invite.main(options, sys.stdout, sys.stderr)
