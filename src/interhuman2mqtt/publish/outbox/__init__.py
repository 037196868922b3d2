"""What waits for the broker: a bounded queue in memory, and its shadow on the disk; the only place that knows SQLite."""
