"""Where the stages meet: each camera's capture process and session, kept running side by side."""
