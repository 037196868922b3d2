"""Exit statuses of the commands; those above 63 are sysexits(3)'s."""

USAGE = 2
"""argparse's own."""
UNAVAILABLE = 69
BUG = 70
CANNOT_CREATE = 73
TEMPORARY = 75
"""Another daemon holds the folder of the state, or the program was replaced while it ran: later it is otherwise."""
NO_PERMISSION = 77
CONFIG = 78
INTERRUPTED = 130
"""By SIGINT, as a shell tells it."""
