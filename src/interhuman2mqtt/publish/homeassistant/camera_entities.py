"""The entities of one camera.

Those of people are available while the camera streams: without media nobody knows. Those of the camera itself, and its
buttons, are available as long as the box is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from interhuman2mqtt.config import CameraConfig, Interhuman, urls
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import State
from interhuman2mqtt.publish.homeassistant import entity as vocabulary
from interhuman2mqtt.publish.homeassistant.entity import (
    CONFIG,
    DIAGNOSTIC,
    NOTHING,
    Json,
    Scope,
    attributes,
    known,
    removed,
    template,
)

HEALTHY = "none"
"""The reason of a camera that streams."""
ENVELOPE = ("id", "session", "start_at", "end_at", "received_at", "replayed", "late", "data")
"""Keys of an event that become attributes; `raw` would only repeat `data` in another dialect."""


class CameraSubject(NamedTuple):
    """The camera that entities are made for."""

    scope: Scope
    camera: CameraConfig
    interhuman: Interhuman
    takes_requests: bool
    """False where `mqtt.requests` is off."""
    topic: Callable[[str], str]
    """The camera's own topics, by their names."""
    bridge: Callable[[str], str]
    """The box's."""
    always: Json
    """The options of an entity that is available as long as the box is."""

    def state(self, name: str, expression: str, **options: Any) -> Json:
        """Return the options of an entity that follows `state/<name>`."""
        return {"state_topic": self.topic(f"state/{name}"), "value_template": expression, **options}

    def status(self, expression: str) -> Json:
        """Return the options of an entity that follows `status`."""
        return {"state_topic": self.topic("status"), "value_template": expression, **self.always}

    def requesting(self, command: str) -> Json:
        """Return the options of a button that sends a request."""
        press = f'{{"camera": "{self.camera.id}"}}'
        return {"command_topic": self.bridge(f"request/{command}"), "payload_press": press, **self.always}


def components(subject: CameraSubject) -> dict[str, Json]:
    """Return all entities of a camera by their keys, which never change."""
    return {
        **_people(subject),
        **_signals(subject),
        **_scores(subject),
        "event": _event(subject),
        **_status(subject),
        **_counters(subject),
        **_controls(subject),
    }


def _people(subject: CameraSubject) -> dict[str, Json]:
    entity = subject.scope.entity
    active = subject.topic("state/signals")
    return {
        "engagement": entity(
            "sensor",
            "engagement",
            "Engagement",
            device_class="enum",
            options=list(vocabulary.ENGAGEMENT),
            **subject.state("engagement", known("value_json.state", *vocabulary.ENGAGEMENT)),
            json_attributes_topic=subject.topic("state/engagement"),
            json_attributes_template=attributes("since", "session"),
        ),
        "signals": entity(
            "sensor",
            "signals",
            "Active signals",
            state_class="measurement",
            **subject.state("signals", template("value_json.count")),
            json_attributes_topic=active,
            json_attributes_template=attributes("signals"),
        ),
    }


def _signals(subject: CameraSubject) -> dict[str, Json]:
    """Return one for each type; those that the model does not detect are there for who wants them, and off at first."""
    usual = vocabulary.expected(urls.api_version(subject.interhuman.url), subject.camera.model)
    return {f"signal_{kind}": _signal(subject, kind, enabled=kind in usual) for kind in vocabulary.SIGNALS}


def _signal(subject: CameraSubject, kind: str, *, enabled: bool) -> Json:
    mine = f"value_json.signals['{kind}']"
    return subject.scope.entity(
        "binary_sensor",
        f"signal_{kind}",
        f"Signal {kind}",
        **subject.state("signals", template(f"('ON' if '{kind}' in value_json.signals else 'OFF')")),
        json_attributes_topic=subject.topic("state/signals"),
        json_attributes_template=template(f"({mine} if '{kind}' in value_json.signals else {{}}) | tojson", "'{}'"),
        **({} if enabled else {"enabled_by_default": False}),
    )


def _scores(subject: CameraSubject) -> dict[str, Json]:
    asked = "conversation_quality_overall" in subject.camera.include
    return {key: _score(subject, key) if asked else removed("sensor") for key in vocabulary.SCORES}


def _score(subject: CameraSubject, key: str) -> Json:
    overall = "value_json.overall"
    present = f"{overall} is mapping and '{key}' in {overall}"
    return subject.scope.entity(
        "sensor",
        key,
        vocabulary.SCORES[key],
        state_class="measurement",
        suggested_display_precision=0,
        **subject.state(
            "conversation_quality", template(f"({overall}.{key} | float(none) if {present} else {NOTHING})")
        ),
    )


def _event(subject: CameraSubject) -> Json:
    # Its messages need an `event_type`; a template that renders to nothing is ignored, so that types which are not
    # listed do no harm. It is available as long as the box is: a gap is published when the camera streams no more.
    pairs = ", ".join(f"'{name}': value_json.{name}" for name in ENVELOPE)
    rendered = f"{{'event_type': value_json.type, {pairs}}} | tojson"
    wanted = f"value_json is defined and value_json.type in {list(vocabulary.EVENTS)}"
    return subject.scope.entity(
        "event",
        "event",
        "Event",
        event_types=list(vocabulary.EVENTS),
        state_topic=subject.topic("event/+"),
        value_template=f"{{% if {wanted} %}}{{{{ {rendered} }}}}{{% endif %}}",
        **subject.always,
    )


def _status(subject: CameraSubject) -> dict[str, Json]:
    entity = subject.scope.entity
    return {
        "state": entity(
            "sensor",
            "state",
            "State",
            device_class="enum",
            options=[state.value for state in State],
            **subject.status(template("value_json.state")),
            json_attributes_topic=subject.topic("status"),
            json_attributes_template=attributes("since", "detail", "attempts", "source", "last_media_at"),
            **DIAGNOSTIC,
        ),
        "reason": entity(
            "sensor",
            "reason",
            "Reason",
            device_class="enum",
            options=[HEALTHY, *(reason.value for reason in Reason)],
            **subject.status(template(f"(value_json.reason or '{HEALTHY}')", f"'{HEALTHY}'")),
            **DIAGNOSTIC,
        ),
        "audio_missing": _audio_missing(subject) if _may_miss_audio(subject.camera) else removed("binary_sensor"),
        "session": entity(
            "sensor",
            "session",
            "Session",
            **subject.status(template(f"(value_json.session or {NOTHING})")),
            **DIAGNOSTIC,
        ),
    }


def _may_miss_audio(camera: CameraConfig) -> bool:
    """Decide whether it streams on without its audio; one that is used for that alone does not."""
    return camera.audio not in {"none", "silence"} and not camera.is_audio_only


def _audio_missing(subject: CameraSubject) -> Json:
    """Return a problem that is on while audio is due and silence is sent in its place, with why as attributes."""
    return subject.scope.entity(
        "binary_sensor",
        "audio_missing",
        "Audio missing",
        device_class="problem",
        **subject.status(template("('ON' if value_json.audio_missing else 'OFF')")),
        json_attributes_topic=subject.topic("status"),
        json_attributes_template=template("(value_json.audio_missing or {}) | tojson", "'{}'"),
        **DIAGNOSTIC,
    )


def _counters(subject: CameraSubject) -> dict[str, Json]:
    seconds: Json = {"device_class": "duration", "unit_of_measurement": "s", "suggested_display_precision": 0}
    size: Json = {"device_class": "data_size", "unit_of_measurement": "B"}
    return {
        "gaps": _counter(subject, "gaps", "Gaps", "gap_seconds", **seconds),
        "reconnects": _counter(subject, "reconnects", "Reconnects", "reconnects"),
        "media_sent": _counter(subject, "media_sent", "Media sent", "bytes_sent", **size),
        "seconds_sent": _counter(subject, "seconds_sent", "Time sent", "seconds_sent", **seconds),
    }


def _counter(subject: CameraSubject, key: str, name: str, counter: str, **options: Any) -> Json:
    # It follows `bridge/health`, in which a camera that has just been added is not yet.
    cameras, camera = "value_json.cameras", subject.camera.id
    value = template(f"({cameras}['{camera}'].{counter} if '{camera}' in {cameras} else {NOTHING})")
    follows: Json = {"state_topic": subject.bridge("health"), "value_template": value}
    return subject.scope.entity(
        "sensor", key, name, state_class="total_increasing", **follows, **options, **subject.always, **DIAGNOSTIC
    )


def _controls(subject: CameraSubject) -> dict[str, Json]:
    entity, takes = subject.scope.entity, subject.takes_requests
    is_seen = takes and not subject.camera.is_audio_only
    snapshot: Json = {"image_topic": subject.topic("snapshot"), "content_type": "image/jpeg", **subject.always}
    return {
        "pause": _pause(subject) if takes else removed("switch"),
        "restart": entity(
            "button", "restart", "Restart", device_class="restart", **subject.requesting("restart"), **CONFIG
        )
        if takes
        else removed("button"),
        "take_snapshot": entity("button", "take_snapshot", "Take snapshot", **subject.requesting("snapshot"))
        if is_seen
        else removed("button"),
        "snapshot": entity("image", "snapshot", "Snapshot", **snapshot) if is_seen else removed("image"),
    }


def _pause(subject: CameraSubject) -> Json:
    # Not retained: the broker would repeat it after every outage, against what was asked of the box itself since.
    return subject.scope.entity(
        "switch",
        "pause",
        "Pause",
        command_topic=subject.topic("pause/set"),
        retain=False,
        icon="mdi:microphone-off" if subject.camera.is_audio_only else "mdi:eye-off",
        **subject.status(template("('ON' if value_json.state == 'paused' else 'OFF')")),
    )
