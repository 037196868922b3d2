"""Home Assistant's MQTT discovery, by which cameras and box show up there as devices by themselves.

::

    entity ──► camera_entities, bridge_entities ──► discovery
    ids, templates,   entities of one device        whole payloads, and when they
    vocabulary                                      are published and cleared

No I/O in any of it.
"""
