"""The soak test: cameras, cloud, broker and daemon under a repeatable plan of faults, judged by an oracle.

::

    fault_plan ──► testbed ◄── fault_runner     which fault when (pure); the parts; how each fault is injected
                      │
    relay ─► published_log ──┐                  what was published, and what the broker acknowledged
    archive ─────────────────┼──► judge ──► oracle ──► checks ──► report
    process_monitor, daemon ─┘                  what the cloud received; processes and log of the daemon
"""
