"""The configuration: TOML files, parsed, merged, validated, with every problem at its line.

::

    file ──► toml_reader ──► parser, value_types ──► validation ──► merge ──► model.Config
     find     parse, lines     values by key          what fits      defaults,   what the
                                                      together       profiles    daemon runs by
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
    Web,
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
    "Web",
]
