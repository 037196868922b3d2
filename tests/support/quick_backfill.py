"""The program, with shorter segments of the spool and less patience before they are uploaded."""

import os
import sys

from interhuman2mqtt.cameras import backfill_task, capture_task
from interhuman2mqtt.cli import main

backfill_task.WELL_S = 3.0
capture_task.SEGMENT_S = float(os.environ.get("SEGMENT_S", "5"))

if __name__ == "__main__":
    sys.exit(main())
