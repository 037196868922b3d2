"""The AsyncAPI 3 document: every topic with its payload, for generators of clients and of documentation."""

from typing import Any

from generate.channels import Channel, channels
from generate.payloads import Definitions

Json = dict[str, Any]

PARAMETERS = {
    "base": {"description": "`mqtt.base_topic`; it may have several levels.", "default": "interhuman"},
    "box": {"description": "`box.id`.", "examples": ["lobby-1"]},
    "camera": {"description": "The name of the camera's table.", "examples": ["front"]},
    "type": {"description": "The event's `type`.", "examples": ["signal.detected", "coverage.gap"]},
    "prefix": {"description": "`mqtt.discovery_prefix`.", "default": "homeassistant"},
    "object": {"description": "The device.", "examples": ["interhuman_lobby-1_front"]},
}
HEADERS = {
    "description": "MQTT 5 user properties.",
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "type"],
    "properties": {
        "schema": {"description": "Changes when a payload means something else.", "enum": ["1"]},
        "type": {"description": "Of an event its own, else what the payload is.", "type": "string"},
        "id": {"description": "Of the event, or of the event that brought the state.", "type": "string"},
        "taken_at": {"description": "Of a picture.", "type": "string", "format": "date-time"},
    },
}


def document() -> Json:
    """Return the whole document."""
    definitions = Definitions("#/components/schemas/")
    found = list(channels())
    messages = {channel.name: _message(channel, definitions) for channel in found}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:interhuman2mqtt",
        "info": {
            "title": "interhuman2mqtt",
            "version": "1",
            "description": "Cameras, watched by the Interhuman social-signal API, on MQTT. An empty payload on a "
            "retained topic means that nothing is known any more; an empty request means `{}`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": {channel.name: _channel(channel) for channel in found},
        "operations": {_operation_name(channel): _operation(channel) for channel in found},
        "components": {
            "messages": messages,
            "parameters": PARAMETERS,
            "schemas": {"UserProperties": HEADERS, **definitions.found},
        },
    }


def _server() -> Json:
    will = {"topic": "{base}/{box}/bridge/state", "qos": 1, "retain": True}
    return {
        "host": "localhost:1883",
        "protocol": "mqtt",
        "protocolVersion": "5",
        "description": "`mqtt.url`; also MQTT 3.1.1, and TLS.",
        "bindings": {"mqtt": {"clientId": "interhuman-{box}", "cleanSession": True, "lastWill": will}},
    }


def _channel(channel: Channel) -> Json:
    names = [part.partition("}")[0] for part in channel.address.split("{")[1:]]
    return {
        "address": channel.address,
        "description": channel.says,
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
    }


def _message(channel: Channel, definitions: Definitions) -> Json:
    headers = {"headers": {"$ref": "#/components/schemas/UserProperties"}} if channel.is_ours else {}
    asked = {"responseTopic": {"type": "string"}, "correlationData": {"type": "string"}} if channel.reply else {}
    text = {"payloadFormatIndicator": 0 if channel.content == "image/jpeg" else 1}
    return {
        "name": channel.name,
        "contentType": channel.content,
        **headers,
        "payload": channel.payload(definitions),
        "bindings": {"mqtt": {**text, **asked}},
    }


def _operation_name(channel: Channel) -> str:
    return f"{'send' if channel.is_ours else 'receive'}{channel.name[0].upper()}{channel.name[1:]}"


def _operation(channel: Channel) -> Json:
    """Return what we do; a response goes to the request's own response topic instead, where it has one."""
    reply = {"channel": {"$ref": f"#/channels/{channel.reply}"}}
    return {
        "action": "send" if channel.is_ours else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.says,
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retain}},
        **({"reply": reply} if channel.reply else {}),
    }
