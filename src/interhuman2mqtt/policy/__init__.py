"""May this camera stream now, and why not: one answer for everyone, and in doubt it is no.

::

    paused/ ─► pause_folder ─► pauses ┐
    clock, box.timezone ──────────────┤
    config.schedule ──────────────────┼──► decision.judge ──► policy.Permit ──► cameras.camera
    budget.json ─► meter ──► budgets ─┘         pure           one per camera
                     budget_store
"""
