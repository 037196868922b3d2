"""The configuration: what may stand in the TOML files, how they become one, and what is wrong with them.

::

    file ──► tomlfile, tomllines ──► tables, kinds ──► rules, presence ──► effective ──► keys.Config
     find     parse, lines of keys    values by key     what fits           defaults,      what the
                                                        together            profiles       daemon runs by
"""

from interhuman2mqtt.config.model import (
    STANDALONE_MIN,
    Box,
    Budget,
    CameraConfig,
    CameraKeys,
    CameraTable,
    Config,
    File,
    Framing,
    Interhuman,
    Log,
    Metrics,
    Mqtt,
    Outbox,
    Privacy,
    SecretRef,
    Shard,
)

__all__ = [
    "STANDALONE_MIN",
    "Box",
    "Budget",
    "CameraConfig",
    "CameraKeys",
    "CameraTable",
    "Config",
    "File",
    "Framing",
    "Interhuman",
    "Log",
    "Metrics",
    "Mqtt",
    "Outbox",
    "Privacy",
    "SecretRef",
    "Shard",
]
