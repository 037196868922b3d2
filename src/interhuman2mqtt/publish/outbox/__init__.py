"""What waits for the broker: a bounded queue in memory, and its shadow on the disk; only its store knows SQLite."""
