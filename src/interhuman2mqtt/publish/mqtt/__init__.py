"""The broker: one connection at a time, by paho driven by trio; the only place that knows paho."""
