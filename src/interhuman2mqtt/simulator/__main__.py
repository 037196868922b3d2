"""`python -m interhuman2mqtt.simulator`: the command `simulate` by itself."""

import argparse
import sys
from collections.abc import Sequence

import trio

from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.simulator import options


def main(arguments: Sequence[str] | None = None, prog: str = "python -m interhuman2mqtt.simulator") -> int:
    """Run the simulator; returns the exit status: 0 stopped, 78 it cannot run as it was told to."""
    parser = argparse.ArgumentParser(prog=prog)
    options.add_arguments(parser)
    try:
        trio.run(options.run, options.settings_from(parser.parse_args(arguments)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    return 0


if __name__ == "__main__":
    sys.exit(main())
