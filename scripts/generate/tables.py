"""Tables for people, in Markdown: the configuration, the topics, and the reasons."""

import json
from collections.abc import Iterator
from typing import Any

from generate import sentences, vocabulary
from generate.channels import BRIDGE, COMMAND_SAYS, channels
from generate.configuration import default_of, schema_of, sentence
from interhuman2mqtt.config import CameraTable, File
from interhuman2mqtt.config.parser import is_list, keys_of
from interhuman2mqtt.control import requests
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.publish.homeassistant import entity

ENGAGEMENT, PROBABILITIES, SCORES = entity.ENGAGEMENT, vocabulary.PROBABILITIES, entity.SCORES
MADE = "<!-- `make generate` writes this file out of the code. -->\n"
REASONS = """# Reasons

Every state that is not healthy has one of these words: in `reason` of `<camera>/status`, in `data.reason` of
`coverage.gap`, and in the log. `detail` beside it says the rest in a sentence. A word never changes its meaning; there
may come more.

"""
CONFIGURATION = """# Configuration

Every key that a file may hold. [interhuman2mqtt.toml](../config/interhuman2mqtt.toml) is such a file;
[its schema](../src/interhuman2mqtt/schema/config.json) tells editors the same.
"""
TOPICS = """# Topics

QoS is 1 everywhere. [AsyncAPI](../src/interhuman2mqtt/schema/asyncapi.json) has every payload;
an empty one on a retained topic means that nothing is known any more.

"""
SIGNALS = f"""
## Signals

`data.signal_type` of `event/signal.detected`, `event/signal.updated` and `event/signal.ended`, and the keys of
`state/signals`; with `data.probability` {", ".join(f"`{word}`" for word in PROBABILITIES)}. `data.state` of
`event/engagement.updated` is {", ".join(f"`{word}`" for word in ENGAGEMENT)}. The scores of
`event/conversation_quality.updated` are {", ".join(f"`{word}`" for word in SCORES)}, from 0 to 100.

What `data` of each event holds is in [their schema](../src/interhuman2mqtt/schema/events.json), with an example.
It is open: more types, fields and words may come, which pass as the cloud sends them. Ignore what you do not know;
nothing that is there changes its meaning, and where it had to, the payload's `schema` would be another number.

"""
COMMANDS = """
## What a broker's ACL has to allow

A box publishes to `<base>/<box>/#` and `<prefix>/device/+/config`, and subscribes to `<base>/<box>/bridge/request/+`,
`<base>/<box>/+/pause/set` and `<prefix>/status`. Answers go to the requester's own response topic, where it names one.

## Requests

What is sent to `<base>/<box>/bridge/request/<command>`, as a JSON object, and comes back on
`<base>/<box>/bridge/response/<command>`, or on the request's own response topic (MQTT 5). All keys may be left out but
`level`, and `camera` of `forget`; else without `camera` all are meant. `transaction`, or correlation data, is echoed.

"""


def reasons() -> str:
    """`docs/reasons.md`."""
    said = sentences.of_attributes(Reason)
    return f"{REASONS}{_table(('reason', 'meaning'), ((f'`{word}`', said[word.name]) for word in Reason))}"


def configuration() -> str:
    """`docs/configuration.md`."""
    parts = [MADE, CONFIGURATION]
    for name, hint in keys_of(File).items():
        if name not in ("profiles", "cameras"):
            titles = ("[defaults]", "[profiles.NAME]", "[cameras.NAME]") if hint is CameraTable else (f"[{name}]",)
            head = ", ".join(f"`{title}`" for title in titles)
            parts.append(f"\n## {head}\n\n{_table(('key', 'what it is', 'default', 'what for'), _keys(name, hint))}")
    return "".join(parts)


def topics() -> str:
    """`docs/topics.md`."""
    signals = f"{SIGNALS}{signal_table()}"
    return f"{MADE}{TOPICS}{topic_table()}{signals}{COMMANDS}{_table(('command', 'keys', 'what it does'), _commands())}"


def topic_table() -> str:
    """Every topic, those of requests in one line."""
    return _table(("topic", "retained", "what"), _topics())


def signal_table() -> str:
    """Every signal, and what is documented to tell it."""
    return _table(("signal", *vocabulary.MODELS), _signals())


def signal_list() -> str:
    """Return the types of signals in one line."""
    return f"{', '.join(f'`{signal}`' for signal in entity.SIGNALS)}.\n"


def _signals() -> Iterator[tuple[str, ...]]:
    for signal in entity.SIGNALS:
        yield f"`{signal}`", *("yes" if signal in known else "" for known in vocabulary.MODELS.values())


def _topics() -> Iterator[tuple[str, ...]]:
    asked = "`<base>/<box>/bridge/request/<command>` → `<base>/<box>/bridge/response/<command>`"
    yield asked, "no", f"Asks for {', '.join(map('`{}`'.format, requests.COMMANDS))}; the answer says what came of it."
    for channel in channels():
        if not channel.address.startswith((f"{BRIDGE}/request/", f"{BRIDGE}/response/")):
            address = channel.address.replace("{", "<").replace("}", ">")
            kept = "yes" if channel.retain else "no"
            yield f"`{address}`", kept if channel.is_ours else "as you like", channel.says


def _commands() -> Iterator[tuple[str, ...]]:
    for command, keys in requests.COMMANDS.items():
        shown = ", ".join(f"`{key}`" for key in (*keys, "transaction"))
        yield f"`{command}`", shown, COMMAND_SAYS[command]


def _keys(table: str, struct: Any) -> Iterator[tuple[str, ...]]:
    for key, hint in keys_of(struct).items():
        default = default_of(struct, key, hint)
        shown = "" if default is None else f"`{json.dumps(default)}`"
        yield f"`{key}`", _type(hint), shown, sentence(table, key)


def _type(hint: Any) -> str:
    schema = schema_of(hint)
    if is_list(hint):
        return f"list of {_words(schema['items'])}"
    return _words(schema)


def _words(schema: Any) -> str:
    return ", ".join(f"`{word}`" for word in schema["enum"]) if "enum" in schema else str(schema["title"])


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(line)} |\n" for line in (head, *(map(_cell, row) for row in rows))]
    return "".join([lines[0], "|" + "---|" * len(head) + "\n", *lines[1:]])


def _cell(text: str) -> str:
    """Text in which nothing but what stands in backquotes looks like a tag."""
    code = text.replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(code))
