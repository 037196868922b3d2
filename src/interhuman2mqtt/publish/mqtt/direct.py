"""Publishes at once or not at all: snapshots, which must not wait in an outbox that is brought to the disk."""

import math

import trio

from interhuman2mqtt.errors import Interhuman2MqttError
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection, TooLarge
from interhuman2mqtt.publish.mqtt.types import Ack

# Why beside the outbox: a snapshot shows people, and what is in the outbox is written to the disk of the box; it is out
# of date in seconds; and at tens of kilobytes each would push out dozens of events that are promised to be kept.
# Whoever asked for it gets an error that says why, and can ask again.

ANSWER_S = 30.0
"""Seconds for the broker to take one; on a slow link a snapshot takes its time."""
SUSPECT_S = 5.0
SUSPECT_LONGEST_S = 600.0
"""Seconds for which nothing of a size like one that broke the connection is sent; doubled each time."""
ALIKE = 0.5
"""From this share of its size on a message is like it: no two snapshots of a camera have the same size."""


class NotDelivered(Interhuman2MqttError):  # noqa: N818 - it names what happened
    """The broker does not have it; the text says why, and what to do."""


class DirectPublisher:
    """Publishes on the connection that there is."""

    # A message that breaks the connection, perhaps because it is larger than the broker likes (MQTT 3.1.1 has no other
    # way to say so), is remembered by its size, so that an automation that asks every few seconds does not end
    # connection after connection. It may have been the line: so the first time that lasts for seconds, and one that is
    # taken is enough to forget it.

    def __init__(self) -> None:
        self._connection: BrokerConnection | None = None
        self._waiting: dict[trio.CancelScope, int] = {}
        self._suspect_size = math.inf
        self._suspect_until = -math.inf
        self._delay = 0.0

    def connected(self, connection: BrokerConnection) -> None:
        """Use this connection from now on."""
        self._connection = connection

    def disconnected(self) -> None:
        """Forget the connection; who waits for an answer will get none."""
        if self._connection is not None and self._connection.lost is not None and self._waiting:
            self._delay = min(2 * self._delay or SUSPECT_S, SUSPECT_LONGEST_S)
            self._suspect_size, self._suspect_until = min(self._waiting.values()), trio.current_time() + self._delay
        self._connection = None
        for scope in self._waiting:
            scope.cancel()

    async def publish(self, message: Message) -> None:
        """Publish, and wait until the broker has it; raises NotDelivered. Cancelled before its turn, send nothing."""
        connection, size = self._connection, len(message.payload)
        if connection is None:
            raise NotDelivered("there is no connection to the broker")
        if size > self._suspect_size * ALIKE and trio.current_time() < self._suspect_until:
            raise NotDelivered(
                f"the broker ended the connection when it was sent {self._suspect_size} bytes, so these {size} are not "
                f"sent: raise its maximum packet size, and ask again in {self._delay:g} s"
            )
        with trio.move_on_after(ANSWER_S) as scope:
            self._waiting[scope] = size
            try:
                ack = await _publish_and_wait(connection, message)
            finally:
                del self._waiting[scope]
            if size > self._suspect_size * ALIKE:
                self._suspect_size, self._delay = math.inf, 0.0
            if ack.refused:
                raise NotDelivered(f"the broker refused {message.topic}: {ack.text} (code {ack.code:#04x})")
            return
        is_lost = self._connection is not connection
        raise NotDelivered("the connection to the broker broke" if is_lost else f"no answer in {ANSWER_S:g} s")


async def _publish_and_wait(connection: BrokerConnection, message: Message) -> Ack:
    send, receive = trio.open_memory_channel[Ack](1)
    try:
        await connection.publish(message, send.send_nowait)
    except TooLarge as error:
        raise NotDelivered(f"{error}: raise the broker's maximum packet size") from error
    return await receive.receive()
