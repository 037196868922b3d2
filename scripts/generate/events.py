"""The JSON Schema of an event, with those of all else that we publish among its definitions."""

from generate.channels import channels, event
from generate.payloads import Definitions, Schema


def document() -> Schema:
    """Return the whole schema: what it says of an event holds for `event/<type>` and `state/last_event`."""
    definitions = Definitions("#/definitions/")
    root = event(definitions)
    for channel in channels():
        channel.payload(definitions)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "An event of interhuman2mqtt",
        "allOf": [root],
        "definitions": definitions.found,
    }
