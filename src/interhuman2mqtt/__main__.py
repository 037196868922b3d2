"""`python -m interhuman2mqtt` is `interhuman2mqtt`."""

import sys

from interhuman2mqtt.cli import main

if __name__ == "__main__":
    sys.exit(main())
