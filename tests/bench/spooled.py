"""The program, which looks at its spool each second, and uploads it after three seconds of a good session."""

import sys

from interhuman2mqtt.backfill import spool
from interhuman2mqtt.cameras import backfill_task
from interhuman2mqtt.cli import main

backfill_task.WELL_S = 3.0
spool.TEND_S = 1.0

if __name__ == "__main__":
    sys.exit(main())
