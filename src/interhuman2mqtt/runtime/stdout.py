"""Standard output whose reader has gone."""

import os
import sys


def discard() -> None:
    """Point the standard output at nothing: what Python still has to flush at its end would be a broken pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
