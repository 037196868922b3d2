"""From the outbox to the broker, one connection at a time.

The order on each connection: all retained state that is ours, then `online`, then our subscriptions and what waits in
the outbox. So who sees `online` sees the truth on every other topic, also when the broker came back without its store.
"""

import math
from collections.abc import Callable, Collection
from functools import partial

import structlog
import trio
from msgspec import structs

from interhuman2mqtt.alive import Promise
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish import mqtt, parking
from interhuman2mqtt.publish.atonce import AtOnce
from interhuman2mqtt.publish.broker import Ack, BrokerPhase, BrokerState, Endpoint
from interhuman2mqtt.publish.calm import Calm
from interhuman2mqtt.publish.dial import Settings
from interhuman2mqtt.publish.journal import Row
from interhuman2mqtt.publish.listening import Listener
from interhuman2mqtt.publish.losses import Loss, OnLoss, Quiet
from interhuman2mqtt.publish.message import Kind, Message
from interhuman2mqtt.publish.outbox import Outbox
from interhuman2mqtt.publish.refusals import HOPELESS, refusal, rule
from interhuman2mqtt.publish.suspicion import Suspicion
from interhuman2mqtt.publish.topics import BridgeWord, Topics, mark_late

BATCH = 100
"""Rows taken out of the outbox at once."""

LATE = 30.0
"""Seconds in the outbox after which an event is published as late."""

FAREWELL = 2.0
"""Seconds for `stopped` to be acknowledged."""

log = structlog.get_logger(__name__)


class Publisher:
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
        outbox: Outbox,
        read_password: Callable[[], str | None],
        on_loss: OnLoss,
        on_state: Callable[[BrokerState], None],
        keepalive: int = 30,
        timeout: float = 10.0,
        listener: Listener | None = None,
        promise: Promise = lambda _seconds: None,
        on_ack: Callable[[Message, float], None] = lambda _message, _age: None,
    ) -> None:
        self._topics = Topics(config.base_topic, box)
        self._boot_id = boot_id
        self._outbox = outbox
        self._on_loss = on_loss
        self._on_state = on_state
        self._on_ack = on_ack
        self._listener = listener
        self._settings = Settings(
            mqtt=config,
            read_password=read_password,
            endpoint=Endpoint.of(config.url),
            will=self._topics.bridge_state(BridgeWord.OFFLINE, boot_id, None),
            keepalive=keepalive,
            timeout=timeout,
            promise=promise,
        )
        self._retained: dict[str, Message] = {}
        self._calm = Calm(outbox.put)
        self._at_once = AtOnce()
        self._kept_there: set[str] = set()
        self._told: BrokerState | None = None
        self._quiet = Quiet(trio.current_time)
        self._suspicion = Suspicion()
        self._stop_at = math.inf
        self._draining = trio.CancelScope()

    @property
    def topics(self) -> frozenset[str]:
        """The retained topics that this life publishes; what is empty there is on its way to be cleared."""
        word = self._topics.bridge_state(BridgeWord.ONLINE, self._boot_id, None).topic
        return frozenset({*self._retained, *self._kept_there, word})

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
            self._outbox.journal.publishes(structs.replace(message, payload=b"-"))  # which need not hold the picture
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
            async with mqtt.connected(self._settings) as connection:
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

    async def _serve(self, connection: mqtt.Connection) -> None:
        with trio.CancelScope(deadline=self._stop_at) as self._draining:
            await self._introduce(connection)
            self._at_once.online(connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, connection)
                nursery.start_soon(self._calm.run)
                await self._forward(connection)
                nursery.cancel_scope.cancel()
        with trio.move_on_after(FAREWELL):
            await self._say(connection, BridgeWord.STOPPED)

    async def _introduce(self, connection: mqtt.Connection) -> None:
        """All retained state, and when the broker has it, `online`."""
        self._outbox.rewind()
        for topic in list(self._retained):
            self._calm.release(topic)  # into the outbox, lest an older one follow
            message = self._retained[topic]
            await self._send(connection, message, topic, self._state_answered, self._lose_state)
        await connection.wait_acked()
        await self._say(connection, BridgeWord.ONLINE)
        self._tell_online(connection)

    async def _listen(self, connection: mqtt.Connection) -> None:
        """Subscribed to only now: what is asked of us may change what has just been said."""
        if self._listener is not None:
            await self._listener.run(connection, partial(self._tell_online, connection))

    def _tell_online(self, connection: mqtt.Connection) -> None:
        parts = [f"{self._settings.endpoint}, MQTT {connection.version}"]
        parts += [self._listener.trouble] if self._listener is not None and self._listener.trouble else []
        self._tell(BrokerPhase.ONLINE, detail="; ".join(parts))

    async def _forward(self, connection: mqtt.Connection) -> None:
        """What waits in the outbox, until it is closed and empty."""
        while rows := await self._outbox.wait_batch(BATCH):
            for row in rows:
                message = _as_published(row.message, self._outbox.age(row))
                key = message.topic if message.retain else row.n
                lose = partial(self._lose_row, row)
                await self._send(connection, message, key, partial(self._row_answered, row), lose)
            connection.flush()
        await connection.wait_acked()

    async def _say(self, connection: mqtt.Connection, word: BridgeWord) -> None:
        message = self._topics.bridge_state(word, self._boot_id, utc_now())
        self._outbox.journal.publishes(message)
        await self._send(connection, message, message.topic, self._word_answered, self._on_loss)
        await connection.wait_acked()

    async def _send(
        self,
        connection: mqtt.Connection,
        message: Message,
        key: str | int,
        answered: Callable[[Message, Ack], None],
        lose: Callable[[Message, Loss, str], None],
    ) -> None:
        """Send, as soon as the window allows; `key` names the message on later connections too."""
        if self._suspicion.alone:
            await connection.wait_acked()
        if self._suspicion.convicts(key):
            self._retained.pop(message.topic, None)
            lose(message, Loss.BREAKS_CONNECTION, "one connection after the other was lost when it was sent")
            return
        try:
            await connection.publish(message, partial(self._answered, message, key, answered))
        except mqtt.TooLarge as error:
            lose(message, Loss.TOO_LARGE, str(error))
        else:
            self._suspicion.sent(key)

    def _answered(self, message: Message, key: str | int, answered: Callable[[Message, Ack], None], ack: Ack) -> None:
        self._suspicion.answered(key, comes_again=message.retain)
        answered(message, ack)

    def _row_answered(self, row: Row, message: Message, ack: Ack) -> None:
        if not ack.refused:
            self._on_ack(message, self._outbox.age(row))
            if self._outbox.done(row):
                log.info("the broker takes this topic again", topic=message.topic)
        elif ack.code in HOPELESS or message.kind is Kind.ANSWER:
            self._lose_row(row, message, rule(ack), refusal(ack))
        elif self._outbox.park(row) and (count := self._quiet.count("parked")):
            again_in = parking.AGAIN
            log.warning("topics parked", count=count, topic=message.topic, again_in=again_in, detail=refusal(ack))

    def _state_answered(self, message: Message, ack: Ack) -> None:
        if not ack.refused:
            self._outbox.settle(message)
        elif ack.code in HOPELESS:
            self._lose_state(message, rule(ack), refusal(ack))
        elif self._retained.get(message.topic) is message:
            self._outbox.put(message)  # as a row, which is parked when it is refused too

    def _word_answered(self, message: Message, ack: Ack) -> None:
        if ack.refused:
            self._on_loss(message, rule(ack), refusal(ack))

    def _lose_row(self, row: Row, _: Message, loss: Loss, detail: str) -> None:
        self._outbox.lose(row, loss, detail)

    def _lose_state(self, message: Message, loss: Loss, detail: str) -> None:
        self._outbox.withdraw(message)
        self._on_loss(message, loss, detail)

    def _tell(self, phase: BrokerPhase, reason: Reason | None = None, detail: str | None = None) -> None:
        told = self._told
        if told is not None and (told.phase, told.reason, told.detail) == (phase, reason, detail):
            return
        self._told = BrokerState(phase=phase, reason=reason, detail=detail, since=utc_now())
        self._on_state(self._told)


def _as_published(message: Message, age: float) -> Message:
    """An event as it is after `age` seconds in the outbox."""
    if message.kind is not Kind.EVENT:
        return message
    payload = mark_late(message.payload) if age > LATE else message.payload
    expiry = None if message.expiry is None else max(1, message.expiry - int(age))
    return structs.replace(message, payload=payload, expiry=expiry)
