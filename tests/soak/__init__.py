"""The soak: cameras, cloud, broker and daemon under a repeatable storm of faults, and the judgment of what came of it.

::

    storm ──► site ◄── weather      which fault when (pure); the parts; how each fault is done
                │
    relay ─► book ─┐                what the broker was told and what it acknowledged
    archive ───────┼──► oracle ──► report
    watch ─────────┘                what the cloud got; processes and log of the daemon
"""
