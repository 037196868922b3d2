"""How a command is told which configuration to read."""

import argparse
from pathlib import Path


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--box`."""
    parser.add_argument(
        "--config",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="may be repeated; default: /etc/interhuman2mqtt/interhuman2mqtt.toml, then conf.d/*.toml beside it",
    )
    parser.add_argument("--box", metavar="ID", help="as if this were the box of that id; default: box.id")
