"""Descriptions of entities for Home Assistant: ids, names, availability, templates, and the cloud's vocabulary.

The facts are those of https://www.home-assistant.io/integrations/mqtt/ and of its integration's own schemas:

- A component that is only left out of a later payload stays; one that has nothing but its `platform` is removed. So a
  device always names all entities that it could have, and those that it has not are `removed`.
- `qos` at the root of a payload is allowed, and not applied to the entities: each has its own.
- The empty payload that clears a retained topic reaches templates too, without `value_json`; a template that fails is
  an error in Home Assistant's log, and the text None means that nothing is known.
- State and attributes that follow the same topic change together.

Signals and events that are not among those below still reach their topics.
"""

import re
from typing import Any, NamedTuple

SIGNALS_V2 = (
    "agreement",
    "confidence",
    "confusion",
    "disagreement",
    "frustration",
    "hesitation",
    "interest",
    "skepticism",
    "stress",
    "uncertainty",
)
"""Signals that Inter-2 is documented to detect."""
SIGNALS_AUDIO = ("agreement", "confidence", "frustration", "hesitation", "interest", "uncertainty")
"""Those that it detects in audio alone."""
SIGNALS_V1 = (*SIGNALS_V2, "engagement", "disengagement")
SIGNALS = (*SIGNALS_V1, "tension")
"""Every type that the vendor's own client knows."""

ENGAGEMENT = ("engaged", "neutral", "disengaged")

SCORES = {
    "quality_index": "Conversation quality",
    "clarity": "Clarity",
    "authority": "Authority",
    "energy": "Energy",
    "rapport": "Rapport",
    "learning": "Learning",
}
"""The scores of `conversation_quality.updated`, 0 to 100, and what people call them."""

EVENTS = (
    "signal.detected",
    "signal.updated",
    "signal.ended",
    "engagement.updated",
    "feedback.generated",
    "coverage.dropped",
    "coverage.degraded",
    "coverage.gap",
    "error",
)
"""Types of the event entity, for which an automation may wait.

Without `conversation_quality.updated`, which comes every few seconds and would push all else out of sight, and without
`session.*`: the scores and the state of the camera are entities of their own.
"""


def expected(api_version: int, model: str) -> tuple[str, ...]:
    """Return the signals that a model is documented to detect."""
    if api_version == 1:
        return SIGNALS_V1
    return SIGNALS_AUDIO if model == "inter-2-audio" else SIGNALS_V2


Json = dict[str, Any]

NOTHING = "'None'"
"""In a template: nothing is known, which Home Assistant shows as unknown."""
DIAGNOSTIC: Json = {"entity_category": "diagnostic"}
CONFIG: Json = {"entity_category": "config"}


class Scope(NamedTuple):
    """Owner of entities: the box, or one of its cameras.

    The ids are unique on one box. They are among all boxes, too, unless names have underscores in unlucky places: a
    camera `c` of a box `a_b` has the ids of a camera `b_c` of a box `a`.
    """

    box: str
    camera: str
    """`bridge` for those of the box itself: no camera can be called so."""

    @property
    def id(self) -> str:
        """Id of the device: it names the topic, and begins the unique ids."""
        return f"interhuman_{self.box}_{self.camera}"

    def entity_id(self, platform: str, key: str) -> str:
        """Return the id of an entity for automations, such as `sensor.interhuman_lobby_1_front_clarity`.

        No two underscores in a row, and none at the end: Home Assistant allows neither.
        """
        return f"{platform}.{re.sub('[^a-z0-9]+', '_', f'{self.id}_{key}')}"

    def entity(self, platform: str, key: str, name: str, **options: Any) -> Json:
        """Return an entity; `name` is without the device's, which Home Assistant puts before it."""
        return {
            "platform": platform,
            "unique_id": f"{self.id}_{key}",
            "default_entity_id": self.entity_id(platform, key),
            "name": name,
            "qos": 1,
            **options,
        }


def removed(platform: str) -> Json:
    """Return what removes an entity that there is not, or not any more."""
    return {"platform": platform}


def template(expression: str, otherwise: str = NOTHING) -> str:
    """Return a template of an expression over `value_json`; `otherwise` where the topic was cleared."""
    return f"{{{{ {expression} if value_json is defined else {otherwise} }}}}"


def attributes(*names: str) -> str:
    """Return a template of some keys of a payload as attributes; none where the topic was cleared."""
    pairs = ", ".join(f"'{name}': value_json.{name}" for name in names)
    return template(f"{{{pairs}}} | tojson", "'{}'")


def known(expression: str, *values: str) -> str:
    """Return a template of an expression where it is one of these values, else of nothing."""
    # An enum with any other is an error in Home Assistant's log, for each message.
    return template(f"({expression} if {expression} in {list(values)} else {NOTHING})")


def available(topic: str, state: str) -> Json:
    """Return an availability: while the `state` that is retained on a topic is this one."""
    online = template(f"('online' if value_json.state == '{state}' else 'offline')", "'offline'")
    return {"topic": topic, "value_template": online}
