"""The daemon in control groups, from its first instruction on: `python -m bench.boxed GROUP GROUP ARGUMENTS...`."""

import os
import sys
from pathlib import Path

from interhuman2mqtt.cli import main

if __name__ == "__main__":
    for group in sys.argv[1:3]:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    sys.exit(main(sys.argv[3:]))
