"""A live view of all boxes that publish to a broker: a table of their cameras, and what happens below it.

::

    broker ──► listening ──► fleet ──► table ──► screen      for people, on a terminal or not
                   │         lines ──────────┘
                   └───────► machine                         for scripts: --json
"""
