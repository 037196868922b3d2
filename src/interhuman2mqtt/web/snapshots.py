"""Snapshots on request: asked for over a connection of its own, passed on to one browser, and kept nowhere.

The page's own subscription has no snapshots: what somebody else asked for, or the broker retains, is not for it.
"""

import json
from typing import Any
from uuid import uuid4

import trio

from interhuman2mqtt.commands.watch_subscription import settings_for, subscribed
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, leaves
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.mqtt.types import Ack, IncomingMessage
from interhuman2mqtt.runtime.notifier import Notifier
from interhuman2mqtt.web.rows import CameraKey

WITHIN_S = 20.0
"""More than a camera takes for one that is asked for after three others."""
AT_ONCE = 2
JPEG_MAX = 8 << 20
"""Bytes. A picture of 4K has two million at most."""


class Snapshots:
    """Takes snapshots by the boxes.

    Args:
        mqtt: How to connect.
    """

    def __init__(self, mqtt: Mqtt) -> None:
        self._mqtt = mqtt
        self._base = mqtt.base_topic
        self._places = trio.Semaphore(AT_ONCE)

    async def take(self, camera: CameraKey) -> bytes:
        """Return what a camera sees now, as JPEG.

        Raises:
            Outage: The broker, or the box, does not give it; the detail says why.
        """
        async with self._places:
            with trio.move_on_after(WITHIN_S):
                try:
                    return await self._take(camera)
                except BaseExceptionGroup as group:
                    outages = [error for error in leaves(group) if isinstance(error, Outage)]
                    if len(outages) != len(list(leaves(group))):
                        raise
                    raise outages[0] from group
        raise Outage(Reason.BROKER_LOST, f"{camera.box} did not answer within {WITHIN_S:g} s")

    async def _take(self, camera: CameraKey) -> bytes:
        below = f"{self._base}/{camera.box}"
        waiting = _Waiting(f"{below}/{camera.name}/snapshot")
        request = Message(
            topic=f"{below}/bridge/request/snapshot",
            payload=json.dumps({"camera": camera.name, "transaction": waiting.transaction}).encode(),
            kind=MessageKind.EVENT,
            retain=False,
        )
        topics = [f"{below}/bridge/response/snapshot", waiting.topic]
        settings = settings_for(self._mqtt, "snapshot")._replace(incoming_max=JPEG_MAX)
        async with subscribed(settings, topics, waiting.receive) as it:
            await it.publish(request, waiting.refuse)
            return await waiting.wait()
        raise AssertionError  # a connection that is lost raises


class _Waiting:
    """Answers to one request so far.

    Args:
        topic: Of the picture.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.transaction = f"page-{uuid4().hex}"
        self._jpeg: bytes | None = None
        self._answer: dict[str, Any] | None = None
        self._news = Notifier()

    def receive(self, incoming: IncomingMessage) -> None:
        """Take a message; what the broker retains is of an earlier time."""
        if incoming.topic == self.topic and not incoming.retained:
            self._jpeg = incoming.payload
        elif incoming.topic != self.topic:
            self._answer = _answer(incoming.payload, self.transaction) or self._answer
        self._news.set()

    def refuse(self, ack: Ack) -> None:
        """Take the broker's answer to the request."""
        if ack.refused:
            self._answer = {"status": "error", "error": f"the broker does not let the page send requests: {ack.text}"}
            self._news.set()

    async def wait(self) -> bytes:
        """Return the picture once the box has said that it is there; raises Outage."""
        while self._answer is None or (self._jpeg is None and self._answer.get("status") == "ok"):
            await self._news.wait()
        if self._jpeg is None or self._answer.get("status") != "ok":
            raise Outage(Reason.BROKER_REFUSED, str(self._answer.get("error")))
        return self._jpeg


def _answer(payload: bytes | None, transaction: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(payload or b"")
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and answer.get("transaction") == transaction else None
