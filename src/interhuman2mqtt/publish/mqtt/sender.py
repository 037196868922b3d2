"""From the outbox to the broker, one connection at a time.

The order on each connection: all retained state that is ours, then `online`, then our subscriptions and what waits in
the outbox. So who sees `online` sees the truth on every other topic, also when the broker came back without its store.
"""

import math
from collections import ChainMap
from collections.abc import Callable, Collection, Sequence
from functools import partial

import structlog
import trio
from msgspec import structs

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropReason, Message, MessageKind, OnDrop
from interhuman2mqtt.publish.mqtt.acks import AckHandler
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings, Endpoint, connected
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection, TooLarge
from interhuman2mqtt.publish.mqtt.direct import DirectPublisher
from interhuman2mqtt.publish.mqtt.poison import PoisonDetector
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import Ack, BrokerPhase, BrokerState
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.rows import Row
from interhuman2mqtt.publish.publisher import TopicThrottle
from interhuman2mqtt.publish.topics import BridgeWord, Topics, mark_late
from interhuman2mqtt.runtime.watchdog import Heartbeat

BATCH = 100
"""Rows taken out of the outbox at once."""

LATE = 30.0
"""Seconds in the outbox after which an event is published as late."""

FAREWELL = 2.0
"""Seconds for `stopped` to be acknowledged."""

log = structlog.get_logger(__name__)


class OutboxSender:
    """Publishes messages of one box, as long as somebody calls `run_connection` again and again.

    Args:
        config: Where the broker is and who we are to it.
        box: The id of this box.
        boot_id: The id of this life of the daemon.
        outbox: What waits for the broker.
        read_password: The password of `config`, read anew for each attempt, in a thread; raises Outage.
        on_loss: Told of each message that the broker will never take.
        on_state: Told of each change of the connection's state; never twice of the same.
        keepalive: Seconds of MQTT's keepalive.
        timeout: Seconds for one attempt to connect.
        listener: What we subscribe to on each connection, once `online` is said; None: nothing.
        promise: Told how long each wait of a connection may last.
        on_ack: Told of each message that the broker has, and how many seconds after it was accepted.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        config: Mqtt,
        *,
        box: str,
        boot_id: str,
        outbox: OutboxQueue,
        read_password: Callable[[], str | None],
        on_loss: OnDrop,
        on_state: Callable[[BrokerState], None],
        keepalive: int = 30,
        timeout: float = 10.0,
        listener: Subscriber | None = None,
        promise: Heartbeat = lambda _seconds: None,
        on_ack: Callable[[Message, float], None] = lambda _message, _age: None,
    ) -> None:
        self._topics = Topics(config.base_topic, box)
        self._boot_id = boot_id
        self._outbox = outbox
        self._on_state = on_state
        self._listener = listener
        self._settings = ConnectSettings(
            mqtt=config,
            read_password=read_password,
            endpoint=Endpoint.of(config.url),
            will=self._topics.bridge_state(BridgeWord.OFFLINE, boot_id, None),
            keepalive=keepalive,
            timeout=timeout,
            heartbeat=promise,
        )
        self._calm = TopicThrottle(outbox.put)
        self._at_once = DirectPublisher()
        self._kept_there: set[str] = set()
        self._told: BrokerState | None = None
        self._suspicion = PoisonDetector()
        self._retained: dict[str, Message] = {}
        self._word: dict[str, Message] = {}
        """What we said last on `bridge/state`, by its topic."""
        self._answers = AckHandler(outbox, ChainMap(self._retained, self._word), on_loss, on_ack)
        self._stop_at = math.inf
        self._draining = trio.CancelScope()

    @property
    def topics(self) -> frozenset[str]:
        """The retained topics that this life publishes; what is empty there is on its way to be cleared."""
        return frozenset({*self._retained, *self._kept_there, self._topics.bridge("state")})

    def publish(self, message: Message) -> None:
        """Accept a message: it is published as soon as there is a broker, and its turn comes. Never waits."""
        if message.retain:
            self._kept_there.discard(message.topic)
            self._retained[message.topic] = message
        self._calm.take(message)

    def repeat(self, first: Collection[str]) -> None:
        """Publish all that is retained once more, what is on the topics `first` before the rest.

        `bridge/state` is not among it: who says it is the connection.
        """
        held = [message for message in self._retained.values() if message.payload]
        self._calm.release_all()
        for message in sorted(held, key=lambda message: message.topic not in first):
            self._outbox.put(message)

    async def publish_at_once(self, message: Message) -> None:
        """Publish beside the outbox, on the connection that there is; raises NotDelivered.

        What is to be retained only the broker keeps: a later connection does not repeat it.
        """
        if message.retain:
            self._retained.pop(message.topic, None)
            self._kept_there.add(message.topic)
            self._outbox.journal.publishing(structs.replace(message, payload=b"-"))  # which need not hold the picture
        await self._at_once.send(message)

    def stop(self, within: float) -> None:
        """Let `run_connection` return once the outbox is empty, at the latest `within` seconds from now."""
        self._stop_at = self._draining.deadline = trio.current_time() + within
        self._calm.release_all()
        self._outbox.close()

    async def run_connection(self) -> None:
        """One connection from its beginning to its end; returns only after `stop`.

        Raises:
            Outage: The connection did not come about or was lost. What it was given and did not get acknowledged
                is published again by the next one.
        """
        if self._told is None:
            self._tell(BrokerPhase.CONNECTING)
        try:
            async with connected(self._settings) as connection:
                try:
                    await self._serve(connection)
                finally:
                    self._at_once.offline()
        except Outage as outage:
            self._suspicion.connection_lost()
            phase = BrokerPhase.REFUSED if isinstance(outage, Refused) else BrokerPhase.OFFLINE
            self._tell(phase, outage.reason, outage.detail)
            raise
        self._tell(BrokerPhase.STOPPED, Reason.STOPPED)

    async def _serve(self, connection: BrokerConnection) -> None:
        with trio.CancelScope(deadline=self._stop_at) as self._draining:
            await self._introduce(connection)
            self._at_once.online(connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, connection)
                nursery.start_soon(self._calm.run)
                if self._listener is not None:
                    await self._listener.wait_asked()
                await self._forward(connection)
                nursery.cancel_scope.cancel()
        with trio.move_on_after(FAREWELL):
            await self._say(connection, BridgeWord.STOPPED)

    async def _introduce(self, connection: BrokerConnection) -> None:
        """All retained state, and when the broker has it, `online`."""
        self._outbox.rewind()
        self._answers.again.clear()
        await self._say_states(connection, list(self._retained))
        self._tell_online(connection)

    async def _say_states(self, connection: BrokerConnection, topics: Sequence[str]) -> None:
        """What is retained on these topics, and then `online`, as long as the broker has room for them."""
        again = self._answers.again
        for number, topic in enumerate(topics):
            self._calm.release(topic)  # into the outbox, lest an older one follow
            message = self._retained.get(topic)
            if message is not None and not self._is_quarantined(topic):  # else its row waits to be tried alone
                await self._send_state(connection, message)
            if self._is_throttled():
                await connection.wait_acked()
            if again:
                again.update(dict.fromkeys(topics[number:]))
                return
        await connection.wait_acked()
        if not again:
            await self._say(connection, BridgeWord.ONLINE)

    async def _say_again(self, connection: BrokerConnection) -> None:
        """What the broker had no room for at the first time; we are subscribed meanwhile."""
        again = self._answers.again
        while again:
            await self._answers.throttle.wait()
            topics = [topic for topic in again if topic in self._retained]
            again.clear()
            await self._say_states(connection, topics)

    async def _listen(self, connection: BrokerConnection) -> None:
        """Subscribed to only now: what is asked of us may change what has just been said."""
        if self._listener is not None:
            await self._listener.run(connection, partial(self._tell_online, connection))

    def _tell_online(self, connection: BrokerConnection) -> None:
        parts = [f"{self._settings.endpoint}, MQTT {connection.version}"]
        parts += [self._listener.trouble] if self._listener is not None and self._listener.trouble else []
        self._tell(BrokerPhase.ONLINE, detail="; ".join(parts))

    async def _forward(self, connection: BrokerConnection) -> None:
        """What waits in the outbox, until it is closed and empty."""
        await self._say_again(connection)
        while rows := await self._next_rows(connection):
            for row in rows:
                message = _as_published(row.message, self._outbox.age(row))
                key = message.topic if message.retain else row.n
                if not await self._may_go(connection, key):
                    self._answers.quarantine(row)
                    continue
                lose = partial(self._outbox.drop, row)
                await self._send(connection, message, key, partial(self._answers.to_row, row), lose)
            connection.flush()
        await connection.wait_acked()

    async def _next_rows(self, connection: BrokerConnection) -> list[Row]:
        """As many as may be on their way together; none only after `stop`."""
        if self._is_throttled():
            await connection.wait_acked()
            await self._answers.throttle.wait()
        return await self._outbox.wait_batch(1 if self._is_throttled() else BATCH)

    def _is_throttled(self) -> bool:
        """Decide whether messages go one at a time: a refusal in the middle of many would change their order."""
        return trio.current_time() < self._answers.throttle.active_until

    async def _say(self, connection: BrokerConnection, word: BridgeWord) -> None:
        message = self._topics.bridge_state(word, self._boot_id, utc_now())
        topic = message.topic
        self._outbox.journal.publishing(message)
        if topic in self._word:
            self._outbox.withdraw(self._word[topic])
        self._word[topic] = message
        if word is BridgeWord.ONLINE and self._is_quarantined(topic):
            self._outbox.put(message)  # to be tried alone
            return
        await self._send_state(connection, message)
        await connection.wait_acked()

    async def _send_state(self, connection: BrokerConnection, message: Message) -> None:
        """Send what has no row, unless it seems to break the connection."""
        if await self._may_go(connection, message.topic):
            lose = partial(self._answers.lose_state, message)
            await self._send(connection, message, message.topic, self._answers.to_state, lose)
        else:
            self._answers.quarantine_state(message)

    async def _may_go(self, connection: BrokerConnection, key: str | int) -> bool:
        """Wait until it is a message's turn; whether it should be sent. `key` names it on later connections too."""
        relapse = self._is_quarantined(key)
        suspected = self._suspicion.suspect is not None
        if relapse or (suspected and self._suspicion.alone):
            await connection.wait_acked()
        return not (suspected and self._suspicion.convicts(key, relapse=relapse))

    def _is_quarantined(self, key: str | int) -> bool:
        return bool(self._outbox.parked.lanes) and self._outbox.parked.is_quarantined(key)

    async def _send(
        self,
        connection: BrokerConnection,
        message: Message,
        key: str | int,
        answered: Callable[[Message, Ack], None],
        lose: Callable[[DropReason, str], None],
    ) -> None:
        """Send, as soon as the window allows."""
        try:
            await connection.publish(message, partial(self._answered, message, key, answered))
        except TooLarge as error:
            lose(DropReason.TOO_LARGE, str(error))
        else:
            self._suspicion.in_flight[key] = None
            if self._is_quarantined(key):
                await connection.wait_acked()  # if it breaks the connection, no other is on its way

    def _answered(self, message: Message, key: str | int, answered: Callable[[Message, Ack], None], ack: Ack) -> None:
        self._suspicion.answered(key, comes_again=message.retain)
        answered(message, ack)

    def _tell(self, phase: BrokerPhase, reason: Reason | None = None, detail: str | None = None) -> None:
        told = self._told
        if told is not None and (told.phase, told.reason, told.detail) == (phase, reason, detail):
            return
        self._told = BrokerState(phase=phase, reason=reason, detail=detail, since=utc_now())
        self._on_state(self._told)


def _as_published(message: Message, age: float) -> Message:
    """An event as it is after `age` seconds in the outbox."""
    if message.kind is not MessageKind.EVENT:
        return message
    payload = mark_late(message.payload) if age > LATE else message.payload
    expiry = None if message.expiry is None else max(1, message.expiry - int(age))
    return structs.replace(message, payload=payload, expiry=expiry)
