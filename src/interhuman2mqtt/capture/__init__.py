"""Stage 1, device to chunks: a process of its own, which knows neither trio nor any key."""
