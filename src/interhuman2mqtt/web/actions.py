"""Requests to boxes on behalf of somebody who is logged in: sent by MQTT, and answered by the box itself."""

import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

import trio

from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection
from interhuman2mqtt.publish.mqtt.types import Ack

ANSWER_S = 10.0
"""For how long a box's answer is waited for."""
WAITING_MAX = 100
"""Requests at once."""
COMMANDS = ("pause", "resume")
"""What the page only passes on."""
ANSWERED = (*COMMANDS, "forget")


class Actions:
    """Sends requests over the page's own connection, while there is one.

    Args:
        base: `mqtt.base_topic`.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._connection: BrokerConnection | None = None
        self._waiting: dict[str, trio.MemorySendChannel[dict[str, Any]]] = {}

    @property
    def filters(self) -> list[str]:
        """The topics on which answers come."""
        return [f"{self._base}/+/bridge/response/{command}" for command in ANSWERED]

    def use(self, connection: BrokerConnection | None) -> None:
        """Send by this connection from now on."""
        self._connection = connection

    def receive(self, topic: str, payload: bytes) -> bool:
        """Take a message; return whether it is an answer to one of us."""
        if "/bridge/response/" not in topic:
            return False
        with suppress(ValueError, RecursionError):
            answer = json.loads(payload)
            if isinstance(answer, dict) and (channel := self._waiting.get(str(answer.get("transaction")))):
                with suppress(trio.WouldBlock, trio.BrokenResourceError):
                    channel.send_nowait(answer)
        return True

    async def ask(
        self, box: str, command: str, camera: str | None, *, by: str = "page", **fields: str
    ) -> dict[str, Any]:
        """Send a request, and return what the box answers.

        Args:
            box: Its id.
            command: One of `ANSWERED`.
            camera: None: all of the box.
            by: Names who asks, in the log of the box.
            fields: More of the request.

        Raises:
            Outage: There is no connection to the broker, the broker refuses the request, or the box does not answer.
        """
        if self._connection is None:
            raise Outage(Reason.BROKER_UNREACHABLE, "the page is not connected to the broker")
        if len(self._waiting) >= WAITING_MAX:
            raise Outage(Reason.BROKER_LOST, "too many requests wait for an answer")
        transaction = f"{by}-{uuid4().hex}"
        request = {"transaction": transaction, **fields} | ({"camera": camera} if camera is not None else {})
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        refused, take_ack = trio.open_memory_channel[Ack](1)
        self._waiting[transaction] = send
        try:
            with trio.fail_after(ANSWER_S):
                await self._connection.publish(
                    Message(
                        topic=f"{self._base}/{box}/bridge/request/{command}",
                        payload=json.dumps(request).encode(),
                        kind=MessageKind.EVENT,
                        retain=False,
                    ),
                    refused.send_nowait,
                )
                ack = await take_ack.receive()
                if ack.refused:
                    raise Outage(Reason.BROKER_REFUSED, f"the broker does not let the page send requests: {ack.text}")
                return await receive.receive()
        except trio.TooSlowError:
            raise Outage(Reason.BROKER_LOST, f"{box} did not answer within {ANSWER_S:g} s") from None
        finally:
            del self._waiting[transaction]
