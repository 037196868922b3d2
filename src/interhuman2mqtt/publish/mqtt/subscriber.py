"""Subscribing at the broker, on one connection after the other, and again where the broker does not let us."""

import math
from collections.abc import Callable, Sequence

import structlog
import trio

from interhuman2mqtt.publish.mqtt.connection import BrokerConnection
from interhuman2mqtt.publish.mqtt.subscriptions import OnMessage

# Subscribing never costs the publishing. There are brokers that answer a subscription which they do not allow by
# closing the connection (MQTT 3.1.1 lets them), and lines that break at any moment; from here both look the same. All
# filters in one SUBSCRIBE would be the obvious way: then one that is denied takes the others with it, and the
# connection for ever. So each topic filter is asked for by itself, the most important one first, and has a backoff of
# its own: what costs the connection is asked for less and less often, and the others are subscribed to all the same.
# One SUBACK is enough to forget it all.

FIRST_S = 5.0
"""Seconds from an attempt that failed to the next one on the same connection; doubled each time."""
LONGEST_S = 60.0
"""Seconds between two attempts at most, while the broker refuses or does not answer."""
ENDED_LONGEST_S = 600.0
"""The same while each attempt ends the connection, which costs the publishing too."""
LOST_IN_A_ROW = 2
"""Connections in a row that may end before the SUBACK until the next one waits: the first may have been the line."""
RETAINED_S = 5.0
"""Seconds for the broker to send again what it retains."""
TOPICS_AT_ONCE = 10
"""Topics of one SUBSCRIBE at most: fewer than any broker has unacknowledged messages under way."""
FIRST_ROUND_S = 2.0
"""Seconds for which publishing waits for the subscriptions of a new connection."""
ANSWER_S = 30.0
"""Seconds that the broker may take to answer."""

log = structlog.get_logger(__name__)

_REMEDY = "allow it to subscribe in the broker's ACL, or switch off what needs it: mqtt.requests, mqtt.discovery"


class Subscriber:
    """Subscribes to topic filters on each connection anew, and again where that fails.

    Args:
        filters: Topic filters, the most important one first.
        on_message: Called with each message that comes by them; must neither wait nor fail.
    """

    def __init__(self, filters: Sequence[str], on_message: OnMessage) -> None:
        self.trouble: str | None = None
        """Topics that we are not subscribed to and why, in one sentence; None where we are subscribed to all."""
        self._filters = [_TopicFilter(topic) for topic in filters]
        self._on_message = on_message
        self._connection: BrokerConnection | None = None
        self._all_asked = trio.Event()
        self._one_at_a_time = trio.Lock()  # one SUBSCRIBE at a time, so that each waiter sees its own SUBACK

    async def run(self, connection: BrokerConnection, on_change: Callable[[], None]) -> None:
        """Keep subscribed until the connection ends; `on_change` is called whenever `trouble` is another one."""
        for each in self._filters:
            each.connected(trio.current_time())
        self._connection = connection
        try:
            while True:
                self._report(on_change)
                earliest = min(self._filters, key=lambda each: each.due)
                await trio.sleep_until(earliest.due)
                async with self._one_at_a_time:
                    await earliest.ask(connection, self._on_message)
                if all(each.due > trio.current_time() for each in self._filters):
                    self._all_asked.set()
        finally:
            self._connection = None
            self._all_asked = trio.Event()

    async def wait_asked(self) -> None:
        """Wait until each filter was asked for on this connection, be it in vain; `FIRST_ROUND_S` at most."""
        # Whoever gets an answer of ours may send the next request at once, and what is sent before we are subscribed is
        # lost. So nothing but the retained states and `online` goes out before.
        with trio.move_on_after(FIRST_ROUND_S):
            await self._all_asked.wait()

    async def receive_retained(self, topics: Sequence[str]) -> bool:
        """Subscribe once more to some of our topics; return once all that the broker retains on them was received.

        Returns:
            False where that cannot be known: there is no connection, it ended, or we may not subscribe.
        """
        if self._connection is None or self.trouble is not None:
            return False
        with trio.move_on_after(RETAINED_S):
            async with self._one_at_a_time:
                for first in range(0, len(topics), TOPICS_AT_ONCE):
                    # The second SUBACK comes after what the first SUBSCRIBE made the broker send.
                    for _ in range(2):
                        await self._connection.subscriptions.subscribe(
                            topics[first : first + TOPICS_AT_ONCE], self._on_message
                        )
            return True
        return False

    def _report(self, on_change: Callable[[], None]) -> None:
        troubles = [s.trouble for s in self._filters if s.trouble is not None]
        trouble = "; ".join(troubles) or None
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            log.info("subscribed to all topics")
        else:
            log.warning("topics are not subscribed to", detail=trouble)
        on_change()


class _TopicFilter:
    """One topic filter, with the backoff of its own."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.trouble: str | None = None
        self.due = -math.inf
        """Time of the next attempt, on trio's clock; infinite once we are subscribed."""
        self._not_before = -math.inf
        self._lost_in_a_row = 0
        self._failures = 0

    def connected(self, now: float) -> None:
        """Handle a new connection, on which we are subscribed to nothing."""
        self._failures = 0
        self.due = max(now, self._not_before)

    async def ask(self, connection: BrokerConnection, on_message: OnMessage) -> None:
        """Subscribe on this connection, once."""
        try:
            with trio.move_on_after(ANSWER_S):
                [ack] = await connection.subscriptions.subscribe([self.topic], on_message)
                self._lost_in_a_row, self._not_before = 0, -math.inf
                if ack.refused:
                    self._failed(f"the broker refused ({ack.text}, code {ack.code:#04x}): {_REMEDY}")
                else:
                    self.trouble, self.due = None, math.inf
                return
        finally:
            if connection.lost is not None:
                self._connection_ended()
        self._failed(f"the broker did not answer our subscription within {ANSWER_S:g} s")

    def _failed(self, why: str) -> None:
        self.trouble = f"{self.topic} is not subscribed to: {why}"
        self.due = trio.current_time() + _pause(self._failures, LONGEST_S)
        self._failures += 1

    def _connection_ended(self) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            self.trouble = (
                f"{self.topic} is not subscribed to: {self._lost_in_a_row} connections in a row ended when we "
                f"subscribed to it: {_REMEDY}"
            )
            self._not_before = trio.current_time() + _pause(self._lost_in_a_row - LOST_IN_A_ROW, ENDED_LONGEST_S)


def _pause(failures: int, longest: float) -> float:
    return min(FIRST_S * 2.0 ** min(failures, 30), longest)
