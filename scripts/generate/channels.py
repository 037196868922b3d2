"""Every topic that we publish on or listen to, and what stands on it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args, get_type_hints

from msgspec import Struct, structs

from generate import vocabulary
from generate.payloads import Definitions, Schema
from interhuman2mqtt.backfill.filled import FILLED
from interhuman2mqtt.cameras.gap_events import GAP
from interhuman2mqtt.control.requests import COMMANDS, DATA, Request, Response
from interhuman2mqtt.events import AudioGapData, CameraStatus, Event, FilledData, GapData
from interhuman2mqtt.publish import payloads
from interhuman2mqtt.publish.payloads import BridgeHealth, BridgeInfo, BridgeState

Payload = Callable[[Definitions], Schema]
"""Makes the schema of a payload, and gathers those of its parts."""

BRIDGE = "{base}/{box}/bridge"
CAMERA = "{base}/{box}/{camera}"
COMMAND_SAYS = {
    "pause": "Stops a camera, or all, at once and until it is resumed.",
    "resume": "Lifts every pause of a camera, or of all.",
    "restart": "Ends session and capture of a camera, or of all, and begins anew; answered when that is done.",
    "reload": "Takes over the configuration as it stands in the files now.",
    "snapshot": "Puts a picture of what a camera sees now on `<camera>/snapshot`; refused while it is paused.",
    "forget": "Clears what the box keeps of a camera: its `state/...`, and a retained `<camera>/snapshot`.",
    "log_level": "Logs from this level on, until the next start, or a reload of another `[log]`.",
}
TRANSACTION = {"transaction": {"description": "Echoed.", "type": ["string", "number", "boolean", "null"]}}
STATES: dict[str, tuple[str, Any]] = {
    "engagement": ("How engaged people are now.", payloads.Engagement),
    "signals": ("The signals that are active now, by type.", payloads.Signals),
    "conversation_quality": ("The latest scores.", payloads.ConversationQuality),
    "last_event": ("The newest event, whole.", Event),
}


class Channel(NamedTuple):
    """A topic, or a family of them that differ in what stands in braces."""

    name: str
    address: str
    says: str
    payload: Payload
    retain: bool = True
    is_ours: bool = True
    """Whether we publish on it; else we listen to it."""
    content: str = "application/json"
    reply: str | None = None
    """The name of the channel on which we answer."""


def channels() -> Iterator[Channel]:
    """All of them, in the order in which people read them."""
    yield from _of_the_bridge()
    yield from _of_cameras()
    for command in COMMANDS:
        yield from _of_command(command)
    yield from _of_home_assistant()


def _of_the_bridge() -> Iterator[Channel]:
    said = "`online` once all other retained state is out, `stopped` as a farewell, `offline` as the will."
    yield Channel("bridgeState", f"{BRIDGE}/state", said, _json(BridgeState))
    said = "Version, configuration with its secrets masked, cameras, and how the last reload ended."
    yield Channel("bridgeInfo", f"{BRIDGE}/info", said, _json(BridgeInfo))
    said = "Every 30 s: uptime, what waits and what was lost, counters of each camera."
    yield Channel("bridgeHealth", f"{BRIDGE}/health", said, _json(BridgeHealth))


def _of_cameras() -> Iterator[Channel]:
    said = "What a camera is doing; where something is wrong, a reason and a sentence, and since when."
    yield Channel("status", f"{CAMERA}/status", said, _json(CameraStatus))
    said = "Every event, once and in order; the last level is the API's own type, or `coverage.gap`."
    yield Channel("event", f"{CAMERA}/event/{{type}}", said, event, retain=False)
    said = (
        "What was recorded and analysed later, with `origin` `upload`: nothing is to act on it. Changes no `state`. "
        "`coverage.filled` says which range of which `coverage.gap` was analysed after all."
    )
    yield Channel("late", f"{CAMERA}/late/{{type}}", said, event, retain=False)
    for name in payloads.NAMES:
        said, found = STATES[name]
        payload = event if found is Event else _json(found)
        yield Channel(_camel(f"state_{name}"), f"{CAMERA}/state/{name}", said, payload)
    said = "What a camera saw when it was asked; retained only where that was asked for."
    picture = _plain(type="string", format="binary")
    yield Channel("snapshot", f"{CAMERA}/snapshot", said, picture, retain=False, content="image/jpeg")
    said, words = "Whether a camera is paused; a retained one is obeyed too.", _plain(enum=["ON", "OFF"])
    yield Channel("pauseSet", f"{CAMERA}/pause/set", said, words, is_ours=False, content="text/plain")


def _of_command(command: str) -> Iterator[Channel]:
    asked, answered = _camel(f"request_{command}"), _camel(f"response_{command}")
    asks, answers = _request(command), _answer(command)
    yield Channel(
        asked, f"{BRIDGE}/request/{command}", COMMAND_SAYS[command], asks, retain=False, is_ours=False, reply=answered
    )
    said = f"Whether `{command}` was obeyed, and why not."
    yield Channel(answered, f"{BRIDGE}/response/{command}", said, answers, retain=False)


def _of_home_assistant() -> Iterator[Channel]:
    said = "Home Assistant's own: the box, or a camera, with all its entities."
    yield Channel("discovery", "{prefix}/device/{object}/config", said, _plain(type="object"))
    said, words = "Home Assistant's own: after `online` discovery is sent again.", _plain(enum=["online", "offline"])
    yield Channel("birth", "{prefix}/status", said, words, is_ours=False, content="text/plain")


def event(definitions: Definitions) -> Schema:
    """Return the envelope of all events, and what is in it: exactly that where the event is ours, else at least."""
    schema = definitions.ref(Event)
    ours = {"coverage.degraded": [definitions.ref(AudioGapData)]}
    typed = {GAP: definitions.ref(GapData), FILLED: definitions.ref(FilledData)}
    for name, known in vocabulary.KNOWN.items():
        beyond = {"description": vocabulary.BEYOND, "type": "object"}
        typed[name] = {"anyOf": [definitions.add(known.name, known.schema), *ours.get(name, []), beyond]}
    definitions.found["Event"] |= {"allOf": [_where(name, data) for name, data in typed.items()]}
    return schema


def _where(name: str, data: Schema) -> Schema:
    return {"if": {"properties": {"type": {"const": name}}}, "then": {"properties": {"data": data}}}


def _json(found: Any) -> Payload:
    return lambda definitions: definitions.ref(found)


def _plain(**schema: Any) -> Payload:
    return lambda _: schema


def _request(command: str) -> Payload:
    """Return the keys of a request; the payload may be empty too, which means the same as `{}`."""
    [found] = [kind for kind in get_args(Request) if kind.__name__ == command.title().replace("_", "") + "Request"]
    hints = {key: get_type_hints(found)[key] for key in COMMANDS[command]}
    required = [key for key, hint in hints.items() if not _may_be_left_out(found, key, hint)]

    def payload(definitions: Definitions) -> Schema:
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {**{key: definitions.ref(_given(hint)) for key, hint in hints.items()}, **TRANSACTION},
            **({"required": required} if required else {}),
        }

    return payload


def _may_be_left_out(found: type[Struct], key: str, hint: Any) -> bool:
    [field] = [field for field in structs.fields(found) if field.name == key]
    return not field.required or hint != _given(hint)


def _given(hint: Any) -> Any:
    """Return a type without the None of what was left out: a request never says null."""
    return get_args(hint)[0] if type(None) in get_args(hint) else hint


def _answer(command: str) -> Payload:
    def payload(definitions: Definitions) -> Schema:
        answer = definitions.ref(Response)
        if command not in DATA:
            return answer
        data = {"anyOf": [definitions.ref(DATA[command]), {"type": "null"}]}
        return {"allOf": [answer, {"properties": {"data": data}}]}

    return payload


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
