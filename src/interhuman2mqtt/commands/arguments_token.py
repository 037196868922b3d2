"""The arguments of `token`; its module is loaded when it is used."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interhuman2mqtt.commands.arguments import Usage, add_command

if TYPE_CHECKING:
    from interhuman2mqtt.commands.arguments import Commands

URL = "wss://api.interhuman.ai/v2/stream/analyze"
ENVIRONMENT = ("INTERHUMAN_API_KEY (the account's key, without --api-key-file)", "https_proxy (the way to the cloud)")


def add_commands(commands: "Commands") -> None:
    """Add it as a subcommand, with its own."""
    token = add_command(
        commands,
        "token",
        Usage(
            "short-lived client tokens for boxes, so that the account's key lies on none",
            "Run it on a machine that you trust with the account's key, again and again by a timer.",
            "interhuman2mqtt token mint --api-key-file key --for 1h --max-concurrent 4 --out box-1.token",
            environment=ENVIRONMENT,
        ),
    )
    kinds = token.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_mint(kinds)
    _add_revoke(kinds)


def _add_mint(kinds: "Commands") -> None:
    mint = add_command(
        kinds,
        "mint",
        Usage(
            "make a client token, and write it to a file",
            "The file is replaced at once, whole, and may be read by its owner alone. The API lets a token live for an "
            "hour at most. Whoever has it can analyse at your cost until then, within these limits, and nothing else.",
            "interhuman2mqtt token mint --api-key-file key --for 1h --max-concurrent 4 --out box-1.token",
            environment=ENVIRONMENT,
        ),
    )
    _add_account(mint)
    mint.add_argument("--for", dest="lasts", default="1h", metavar="TIME", help="how long it lives; default: 1h")
    mint.add_argument(
        "--max-concurrent", type=_count, metavar="N", help="sessions at once: as many as cameras; default: the API's, 1"
    )
    mint.add_argument("--max-video", metavar="TIME", help="of video in all, such as 10h; default: no limit")
    mint.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="SCOPE",
        help="may be repeated, such as interhumanai.upload; default: interhumanai.stream",
    )
    mint.add_argument("--out", type=Path, required=True, metavar="FILE", help="where it is written to; - for stdout")
    mint.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    mint.set_defaults(command=_mint)


def _add_revoke(kinds: "Commands") -> None:
    revoke = add_command(
        kinds,
        "revoke",
        Usage(
            "let a client token be worth nothing from now on",
            "Sessions that run with it end at their next chunk. One that has expired is no error.",
            "interhuman2mqtt token revoke --api-key-file key box-1.token",
            environment=ENVIRONMENT,
        ),
    )
    _add_account(revoke)
    revoke.add_argument("file", type=Path, metavar="FILE", help="in which the token stands; - for stdin")
    revoke.set_defaults(command=_revoke)


def _add_account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-key-file", metavar="FILE", help="where the account's key is, never the key itself")
    parser.add_argument("--url", default=URL, metavar="URL", help="as interhuman.url; default: %(default)s")
    parser.add_argument("--ca-file", metavar="FILE", help="authorities to trust beside the system's (PEM)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _mint(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import token  # noqa: PLC0415 - loaded when it is used

    options = token.MintOptions(
        account=token.Account(parsed.url, parsed.ca_file, parsed.api_key_file),
        lasts=parsed.lasts,
        max_concurrent=parsed.max_concurrent,
        max_video=parsed.max_video,
        scopes=parsed.scope,
        out=parsed.out,
        as_json=parsed.json,
    )
    return token.mint_command(options, sys.stdout, sys.stderr)


def _revoke(parsed: argparse.Namespace) -> int:
    from interhuman2mqtt.commands import token  # noqa: PLC0415 - loaded when it is used

    account = token.Account(parsed.url, parsed.ca_file, parsed.api_key_file)
    return token.revoke_command(account, parsed.file, sys.stdout, sys.stderr)
