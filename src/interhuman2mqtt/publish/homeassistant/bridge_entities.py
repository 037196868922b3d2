"""The entities of the box itself."""

from collections.abc import Callable
from typing import Any, NamedTuple

from interhuman2mqtt.publish.homeassistant.entity import CONFIG, DIAGNOSTIC, Json, Scope, attributes, removed, template
from interhuman2mqtt.publish.payloads import BridgeStatus


class BoxSubject(NamedTuple):
    """The box that entities are made for."""

    scope: Scope
    takes_requests: bool
    """False where `mqtt.requests` is off."""
    bridge: Callable[[str], str]
    """The box's own topics, by their names."""

    def follows(self, name: str, expression: str) -> Json:
        """Return the options of an entity that follows one of them."""
        return {"state_topic": self.bridge(name), "value_template": template(expression)}


def components(subject: BoxSubject) -> dict[str, Json]:
    """Return all entities of a box by their keys, which never change."""
    return {"state": _state(subject), **_sensors(subject), **_problems(subject), **_buttons(subject)}


def _state(subject: BoxSubject) -> Json:
    # Always available: it shows why all the others are not.
    return subject.scope.entity(
        "sensor",
        "state",
        "State",
        device_class="enum",
        options=[status.value for status in BridgeStatus],
        **subject.follows("state", "value_json.state"),
        json_attributes_topic=subject.bridge("state"),
        json_attributes_template=attributes("since", "boot_id"),
        availability=[],
        **DIAGNOSTIC,
    )


def _sensors(subject: BoxSubject) -> dict[str, Json]:
    seconds: Json = {"device_class": "duration", "unit_of_measurement": "s", "suggested_display_precision": 0}

    def of_health(key: str, name: str, expression: str, state_class: str = "measurement", **options: Any) -> Json:
        follows = subject.follows("health", expression)
        return subject.scope.entity("sensor", key, name, state_class=state_class, **follows, **options, **DIAGNOSTIC)

    streaming = "(value_json.states.streaming if 'streaming' in value_json.states else 0)"
    return {
        "streaming": of_health("streaming", "Cameras streaming", streaming),
        "waiting": of_health("waiting", "Messages waiting", "value_json.outbox_rows"),
        "waiting_age": of_health("waiting_age", "Longest wait", "value_json.outbox_age", **seconds),
        "lost": of_health("lost", "Messages lost", "value_json.dropped.values() | sum", "total_increasing"),
        "uptime": of_health("uptime", "Uptime", "value_json.uptime", **seconds),
        "version": subject.scope.entity(
            "sensor", "version", "Version", **subject.follows("info", "value_json.version"), **DIAGNOSTIC
        ),
    }


def _problems(subject: BoxSubject) -> dict[str, Json]:
    """Return the sensors of what a person has to see to, with the box's own sentence as an attribute."""
    rejected = "('ON' if value_json.reload and value_json.reload.state == 'rejected' else 'OFF')"
    return {
        "store": subject.scope.entity(
            "binary_sensor",
            "store",
            "Outbox file",
            device_class="problem",
            **subject.follows("health", "('ON' if value_json.store else 'OFF')"),
            json_attributes_topic=subject.bridge("health"),
            json_attributes_template=template("{'detail': value_json.store} | tojson", "'{}'"),
            **DIAGNOSTIC,
        ),
        "configuration": subject.scope.entity(
            "binary_sensor",
            "configuration",
            "Configuration",
            device_class="problem",
            **subject.follows("info", rejected),
            json_attributes_topic=subject.bridge("info"),
            json_attributes_template=attributes("config_hash", "reload"),
            **DIAGNOSTIC,
        ),
    }


def _buttons(subject: BoxSubject) -> dict[str, Json]:
    def button(command: str, key: str, name: str, **options: Any) -> Json:
        if not subject.takes_requests:
            return removed("button")
        asks: Json = {"command_topic": subject.bridge(f"request/{command}"), "payload_press": "{}"}
        return subject.scope.entity("button", key, name, **asks, **options)

    return {
        "pause": button("pause", "pause", "Pause all cameras"),
        "resume": button("resume", "resume", "Resume all cameras"),
        "restart": button("restart", "restart", "Restart all cameras", device_class="restart", **CONFIG),
        "reload": button("reload", "reload", "Reload configuration", **CONFIG),
    }
