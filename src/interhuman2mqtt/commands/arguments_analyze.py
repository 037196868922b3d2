"""The arguments of `analyze`."""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interhuman2mqtt.commands.arguments import SECRETS, Usage, add_config, add_tool
from interhuman2mqtt.commands.moments import parse_moment
from interhuman2mqtt.config.problems import BadValueError

if TYPE_CHECKING:
    from interhuman2mqtt.commands.arguments import Commands


def add_commands(commands: "Commands") -> None:
    """Add what sends recordings."""
    analyze = add_tool(
        commands,
        "analyze",
        Usage(
            "send recordings to the cloud's upload endpoint, and print what it finds in them",
            "Any container that FFmpeg reads; what the cloud does not take is encoded, what is longer than 30 minutes "
            "or larger than 32 MB is cut. A second run goes on where the first stopped, and sends nothing twice. "
            "What is published comes late: on CAMERA/late/TYPE, and changes no state.",
            "interhuman2mqtt analyze meeting.mp4 --camera lobby --publish",
            exits=(0, 2, 69, 78),
            environment=("STATE_DIRECTORY or XDG_STATE_HOME (what was sent)", "TMPDIR (parts)", SECRETS, "https_proxy"),
        ),
    )
    analyze.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a recording")
    analyze.add_argument("--camera", metavar="NAME", help="whose it is: for its events, its key and its model")
    analyze.add_argument(
        "--at", type=_moment, metavar="TIME", help="when it began, as 2026-11-22T10:00; default: as the file says"
    )
    analyze.add_argument("--model", metavar="M", help="default: as configured, inter-2-audio for audio without video")
    analyze.add_argument("--publish", action="store_true", help="publish its events instead of printing them")
    analyze.add_argument(
        "--resend", action="store_true", help="send again what was lost, although it may be billed a second time"
    )
    add_config(analyze)
    analyze.set_defaults(command=_analyze)


def _analyze(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import analyze  # noqa: PLC0415 - loaded when it is used

    options = analyze.Options(
        files=parsed.files,
        camera=parsed.camera,
        at=parsed.at,
        model=parsed.model,
        publish=parsed.publish,
        resend=parsed.resend,
        config=parsed.config,
        box=parsed.box,
        as_json=parsed.json,
    )
    return analyze.analyze_command(options, sys.stdout, sys.stderr)


def _moment(text: str) -> datetime:
    """Read a moment; without an offset it is of this machine's time."""
    try:
        return datetime.fromtimestamp(parse_moment(text, time.time()), UTC)
    except BadValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
