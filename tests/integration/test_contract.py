"""One run in which everything is said that can be said, against the documents that machines read."""

import json
from collections.abc import Callable
from pathlib import Path

from jsonschema import Draft7Validator

from generate.configuration import document
from integration import contract
from integration.helpers import BOX, GAP, Json
from integration.requester import running
from interhuman2mqtt.control.requests import COMMANDS
from support.clips import Clip

UNHEARD = {"birth", "late"}
"""Channels on which nothing need be said here."""


def is_now(state: str) -> Callable[[Json], bool]:
    """Whether a status is of this state."""
    return lambda status: bool(status["state"] == state)


async def test_a_run_is_as_its_documents_say(tmp_path: Path) -> None:
    """Each message, requests and answers included, is on one channel of the AsyncAPI document and as it says there."""
    async with running(tmp_path, {"front": {"source": f"file:{Clip().path()}"}}) as requester:
        peers = requester.peers
        await peers.wait_status("front", "streaming")
        await peers.wait_event("front", "conversation_quality.updated")
        await peers.wait_event("front", "signal.detected")
        for word, state in (("ON", "paused"), ("OFF", "streaming")):
            await requester.publisher.publish(f"interhuman/{BOX}/front/pause/set", word, retain=True)
            await peers.wait_latest("front", is_now(state))
        for command in COMMANDS:
            fields: Json = {"log_level": {"level": "debug"}, "forget": {"camera": "front"}}.get(command, {})
            await peers.wait_latest("front", is_now("paused" if command == "resume" else "streaming"))
            await requester.ask(command, **fields)
        await peers.wait_latest("front", is_now("streaming"))
        await peers.wait_event("front", GAP)
    messages = peers.subscriber.messages
    contract.assert_keeps(messages, BOX)
    heard = {contract.channel_of(message.topic).name for message in messages}
    assert {channel.name for channel in contract.channels()} - heard == UNHEARD
    info = json.loads(peers.subscriber.payloads("bridge/info")[-1])
    assert [error.message for error in Draft7Validator(document()).iter_errors(info["config"])] == []


def test_the_document_is_strict() -> None:
    """A key too many, one too few, and a time without its zone are faults."""
    status = contract.channel_of(f"interhuman/{BOX}/front/status").message["payload"]
    right: Json = {
        "camera": "front",
        "state": "paused",
        "reason": "paused",
        "detail": None,
        "since": "2026-11-22T10:00:00Z",
    }
    right |= {"session": None, "attempts": 0, "source": None, "last_media_at": None, "gap": None, "audio_missing": None}
    assert contract.faults(status, right) == []
    few = {key: value for key, value in right.items() if key != "since"}
    for wrong in ({**right, "more": 1}, few, {**right, "since": "2026-11-22T10:00:00"}):
        assert len(contract.faults(status, wrong)) == 1
