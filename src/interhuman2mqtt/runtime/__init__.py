"""The ground under every stage: clocks, log, state directory, watchdog, and what else the operating system gives."""
