"""The page: a process of its own that reads what boxes publish, as any consumer does, keeps a history, and shows it."""
