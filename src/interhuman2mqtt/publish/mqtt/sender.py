"""From the outbox to the broker, one connection at a time.

The order on each connection: all retained state that is ours, then `online`, then our subscriptions and what waits in
the outbox. So who sees `online` sees the truth on every other topic, also when the broker came back without its store.
"""

import math
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

import trio
from msgspec import structs

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropReason, DropReporter, Message
from interhuman2mqtt.publish.mqtt.acks import AckCounter, AckHandler
from interhuman2mqtt.publish.mqtt.broker_status import BrokerObserver, BrokerStatus
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings, Endpoint, connected
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection, TooLarge
from interhuman2mqtt.publish.mqtt.direct import DirectPublisher
from interhuman2mqtt.publish.mqtt.poison import PoisonDetector
from interhuman2mqtt.publish.mqtt.retained import RetainedMessages
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import Ack, BrokerPhase
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.rows import Row
from interhuman2mqtt.publish.payloads import BridgeStatus
from interhuman2mqtt.publish.publisher import TopicThrottle
from interhuman2mqtt.publish.topics import Topics, aged
from interhuman2mqtt.runtime.watchdog import Heartbeat

BATCH = 100
"""Rows taken out of the outbox at once."""
STOPPED_S = 2.0
"""Seconds for `stopped` to be acknowledged."""


class OutboxSender:
    """Publishes messages of one box, as long as somebody calls `run_connection` again and again.

    Args:
        config: Where the broker is and who we are to it.
        box: The id of this box.
        boot_id: The id of this life of the daemon.
        outbox: Messages that wait for the broker.
        drops: Takes the messages that the broker will never take.
        acked: Counts those that it has.
        observer: Gets each change of the connection's state; never twice the same.
        keepalive: Seconds of MQTT's keepalive.
        timeout: Seconds for one attempt to connect.
        subscriber: Subscribes on each connection, once `online` is published; None: to nothing.
        heartbeat: Called with how long each wait of a connection may last.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        config: Mqtt,
        *,
        box: str,
        boot_id: str,
        outbox: OutboxQueue,
        drops: DropReporter,
        acked: AckCounter,
        observer: BrokerObserver,
        keepalive: int = 30,
        timeout: float = 10.0,
        subscriber: Subscriber | None = None,
        heartbeat: Heartbeat = lambda _seconds: None,
    ) -> None:
        self._topics = Topics(config.base_topic, box)
        self._boot_id = boot_id
        self._outbox = outbox
        self._subscriber = subscriber
        self._settings = ConnectSettings(
            mqtt=config,
            endpoint=Endpoint.of(config.url),
            will=self._topics.bridge_state(BridgeStatus.OFFLINE, boot_id, None),
            keepalive=keepalive,
            timeout=timeout,
            heartbeat=heartbeat,
        )
        self._topic_throttle = TopicThrottle(outbox)
        self._direct = DirectPublisher()
        self._status = BrokerStatus(observer)
        self._poison = PoisonDetector()
        self._retained = RetainedMessages()
        self._acks = AckHandler(outbox, self._retained.all, drops, acked)
        self._online_since: datetime | None = None
        """None: `bridge/state` is not `online`."""
        self._stop_at = math.inf
        self._draining = trio.CancelScope()

    @property
    def topics(self) -> frozenset[str]:
        """The retained topics that this life publishes; what is empty there is on its way to be cleared."""
        return self._retained.topics | {self._topics.bridge("state")}

    def publish(self, message: Message) -> None:
        """Accept a message: it is published as soon as there is a broker, and its turn comes. Never waits."""
        if message.retain:
            self._retained.kept_by_broker.discard(message.topic)
            self._retained.states[message.topic] = message
        self._topic_throttle.put(message)

    async def wait_safe(self) -> None:
        """Wait until no event that was published before would be lost in a crash."""
        await self._outbox.wait_safe()

    def repeat(self, first: Collection[str]) -> None:
        """Publish all that is retained but `bridge/state` once more, what is on the topics `first` before the rest."""
        self._topic_throttle.release_all()
        for message in self._retained.filled(first):
            self._outbox.put(message)

    def redate(self, step_s: float) -> None:
        """Publish `online` once more where it is published, dated by a clock that was set by `step_s` seconds."""
        if self._online_since is not None:
            self._online_since += timedelta(seconds=step_s)
            message = self._topics.bridge_state(BridgeStatus.ONLINE, self._boot_id, self._online_since)
            self._retained.bridge_state[message.topic] = message
            self._outbox.put(message)

    async def publish_at_once(self, message: Message) -> None:
        """Publish beside the outbox, on the connection that there is; raises NotDelivered.

        What is to be retained only the broker keeps: a later connection does not repeat it.
        """
        if message.retain:
            self._retained.keep_by_broker(message.topic)
            placeholder = structs.replace(message, payload=b"-")  # the journal need not hold the snapshot
            self._outbox.journal.publishing(placeholder)
        await self._direct.publish(message)

    def stop(self, within: float) -> None:
        """Let `run_connection` return once the outbox is empty, at the latest `within` seconds from now."""
        self._stop_at = self._draining.deadline = trio.current_time() + within
        self._topic_throttle.release_all()
        self._outbox.close()

    async def run_connection(self) -> None:
        """Run one connection from its beginning to its end; return only after `stop`.

        Raises:
            Outage: The connection did not come about or was lost. What it was given and did not get acknowledged
                is published again by the next one.
        """
        if not self._status.is_known:
            self._status.report(BrokerPhase.CONNECTING)
        try:
            async with connected(self._settings) as connection:
                try:
                    await self._serve(connection)
                finally:
                    self._online_since = None
                    self._direct.disconnected()
        except Outage as outage:
            self._poison.connection_lost()
            phase = BrokerPhase.REFUSED if isinstance(outage, Refused) else BrokerPhase.OFFLINE
            self._status.report(phase, outage.reason, outage.detail)
            raise
        self._status.report(BrokerPhase.STOPPED, Reason.STOPPED)

    async def _serve(self, connection: BrokerConnection) -> None:
        with trio.CancelScope(deadline=self._stop_at) as self._draining:
            await self._introduce(connection)
            self._direct.connected(connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._topic_throttle.run)
                if self._subscriber is not None:
                    # only now: a request may change the states that were just published
                    nursery.start_soon(self._subscriber.run, connection, partial(self._report_online, connection))
                    await self._subscriber.wait_asked()
                await self._forward(connection)
                nursery.cancel_scope.cancel()
        with trio.move_on_after(STOPPED_S):
            await self._publish_bridge_state(connection, BridgeStatus.STOPPED)

    async def _introduce(self, connection: BrokerConnection) -> None:
        """Publish all retained state, and when the broker has it, `online`."""
        # All of it on each connection, though the broker retains it: one without a store (Mosquitto by default) comes
        # back empty after a restart, and nothing in MQTT says so.
        self._outbox.rewind()
        self._acks.again.clear()
        await self._publish_states(connection, list(self._retained.states))
        self._report_online(connection)

    async def _publish_states(self, connection: BrokerConnection, topics: Sequence[str]) -> None:
        """Publish what is retained on these topics, and then `online`, as long as the broker has room for them."""
        again = self._acks.again
        for number, topic in enumerate(topics):
            self._topic_throttle.release(topic)  # into the outbox, lest an older one follow
            message = self._retained.states.get(topic)
            if message is not None and not self._is_quarantined(topic):  # else its row waits to be tried alone
                await self._send_state(connection, message)
            if self._is_throttled():
                await connection.wait_acked()
            if again:
                again.update(dict.fromkeys(topics[number:]))
                return
        await connection.wait_acked()
        if not again:
            await self._publish_bridge_state(connection, BridgeStatus.ONLINE)

    async def _publish_refused_states(self, connection: BrokerConnection) -> None:
        """Publish what the broker had no room for at the first time; we are subscribed meanwhile."""
        again = self._acks.again
        while again:
            await self._acks.throttle.wait()
            topics = [topic for topic in again if topic in self._retained.states]
            again.clear()
            await self._publish_states(connection, topics)

    def _report_online(self, connection: BrokerConnection) -> None:
        trouble = None if self._subscriber is None else self._subscriber.trouble
        where = f"{self._settings.endpoint}, MQTT {connection.version}"
        self._status.report(BrokerPhase.ONLINE, detail="; ".join(filter(None, (where, trouble))))

    async def _forward(self, connection: BrokerConnection) -> None:
        """Publish what waits in the outbox, until it is closed and empty."""
        await self._publish_refused_states(connection)
        while rows := await self._next_rows(connection):
            for row in rows:
                message = aged(row.message, self._outbox.age(row))
                key = message.topic if message.retain else row.n
                if not await self._wait_turn(connection, key):
                    self._acks.quarantine(row)
                    continue
                acked, drop = partial(self._acks.handle_row, row), partial(self._outbox.drop, row)
                await self._send(connection, message, key, acked, drop)
            connection.flush()
        await connection.wait_acked()

    async def _next_rows(self, connection: BrokerConnection) -> list[Row]:
        """Return as many rows as may be on their way together; none only after `stop`."""
        if self._is_throttled():
            await connection.wait_acked()
            await self._acks.throttle.wait()
        return await self._outbox.wait_batch(1 if self._is_throttled() else BATCH)

    def _is_throttled(self) -> bool:
        """Decide whether messages go one at a time: a refusal in the middle of many would change their order."""
        return trio.current_time() < self._acks.throttle.active_until

    async def _publish_bridge_state(self, connection: BrokerConnection, status: BridgeStatus) -> None:
        message = self._topics.bridge_state(status, self._boot_id, now := utc_now())
        self._online_since = now if status is BridgeStatus.ONLINE else None
        topic = message.topic
        self._outbox.journal.publishing(message)
        if topic in self._retained.bridge_state:
            self._outbox.withdraw(self._retained.bridge_state[topic])
        self._retained.bridge_state[topic] = message
        if status is BridgeStatus.ONLINE and self._is_quarantined(topic):
            self._outbox.put(message)  # to be tried alone
        else:
            await self._send_state(connection, message)
            await connection.wait_acked()

    async def _send_state(self, connection: BrokerConnection, message: Message) -> None:
        """Send what has no row, unless it seems to break the connection."""
        if await self._wait_turn(connection, message.topic):
            drop = partial(self._acks.drop_state, message)
            await self._send(connection, message, message.topic, self._acks.handle_state, drop)
        else:
            self._acks.quarantine_state(message)

    async def _wait_turn(self, connection: BrokerConnection, key: str | int) -> bool:
        """Wait until it is a message's turn, and decide whether to send it; `key` is the same on later connections."""
        is_quarantined = self._is_quarantined(key)
        has_suspect = self._poison.suspect is not None
        if is_quarantined or (has_suspect and self._poison.alone):
            await connection.wait_acked()
        return not (has_suspect and self._poison.is_poison(key, was_quarantined=is_quarantined))

    def _is_quarantined(self, key: str | int) -> bool:
        return bool(self._outbox.parked.lanes) and self._outbox.parked.is_quarantined(key)

    async def _send(
        self,
        connection: BrokerConnection,
        message: Message,
        key: str | int,
        on_ack: Callable[[Message, Ack], None],
        drop: Callable[[DropReason, str], None],
    ) -> None:
        """Send, as soon as the window allows."""
        try:
            await connection.publish(message, partial(self._acknowledged, message, key, on_ack))
        except TooLarge as error:
            drop(DropReason.TOO_LARGE, str(error))
        else:
            self._poison.in_flight[key] = None
            if self._is_quarantined(key):
                await connection.wait_acked()  # if it breaks the connection, no other is on its way

    def _acknowledged(self, message: Message, key: str | int, on_ack: Callable[[Message, Ack], None], ack: Ack) -> None:
        self._poison.answered(key, repeats=message.retain)
        on_ack(message, ack)
