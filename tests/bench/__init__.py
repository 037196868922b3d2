"""What it costs and how long it takes, each figure beside a peer's that was measured in the same run: `make bench`."""
