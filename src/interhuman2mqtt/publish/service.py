"""Everything between the topics and the broker, joined and kept running: outbox, its store, and one connection."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

import structlog
import trio

from interhuman2mqtt.config import Config
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.message import DropLog, Message, MessageKind
from interhuman2mqtt.publish.mqtt.sender import OutboxSender
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState, IncomingMessage
from interhuman2mqtt.publish.outbox import writer
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.writer import StoreWriter
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.histogram import Histogram
from interhuman2mqtt.runtime.watchdog import Heartbeats
from interhuman2mqtt.supervisor import BugBudget, Health, RetryInfo, RetryNow, keep_running

LEVELS = {BrokerPhase.OFFLINE: logging.WARNING, BrokerPhase.REFUSED: logging.ERROR}
DRAIN_S = 10.0
"""Seconds for which the outbox may drain at the end."""
DRAIN_MARGIN_S = 3.0
"""Seconds beyond that in which the connection must have ended."""
REFUSALS_IN_DOUBT = 5
"""Refusals in a row, of a broker that accepted us before, that are tried again soon."""
STAGE = "publisher"

log = structlog.get_logger(__name__)


class IncomingQueue(Protocol):
    """Accepts the messages that come from the broker (`control.inbox`)."""

    def put(self, incoming: IncomingMessage, /) -> None:
        """Accept a message. Never waits, never fails."""

    async def wait_handled(self, topics: Collection[str], /) -> None:
        """Return once every message on these topics was handled."""


class BrokerStats:
    """Connections to the broker, and the messages that it acknowledged, counted for Prometheus."""

    def __init__(self) -> None:
        self.connections = 0
        """Connections that came about."""
        self.failures = Counter[Reason]()
        """Attempts that failed, and connections that were lost."""
        self.acknowledged = Counter[MessageKind]()
        self.delays: dict[str, Histogram] = {}
        """From the acceptance of an event to the broker's PUBACK, by camera; with all outages in between."""

    def count(self, message: Message, age: float) -> None:
        """Count an acknowledged message, which was accepted `age` seconds ago."""
        self.acknowledged[message.kind] += 1
        if message.kind is MessageKind.EVENT and message.camera is not None:
            if message.camera not in self.delays:
                self.delays[message.camera] = Histogram()
            self.delays[message.camera].observe(age)

    def remove_others(self, cameras: Collection[str]) -> None:
        """Forget all cameras but these."""
        self.delays = {camera: delays for camera, delays in self.delays.items() if camera in cameras}


class PublishService:
    """Brings messages to the broker, however often either of them is away; to be made within trio.

    Args:
        inbox: Gets the messages that come by `filters`.
        filters: Topic filters to subscribe to, the most important one first.
        bugs: How many bugs of the connection are survived in an hour.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        config: Config,
        topics: Topics,
        inbox: IncomingQueue,
        *,
        boot_id: str,
        filters: Sequence[str],
        heartbeats: Heartbeats,
        bugs: int,
    ) -> None:
        self.drops = DropLog()
        self.outbox = OutboxQueue(config.outbox, self.drops)
        self.broker: BrokerState | None = None
        """None: not tried yet."""
        self.stats = BrokerStats()
        self.retry_now = RetryNow()
        """Ends the pause between two attempts."""
        self.max_size = config.outbox.max_size
        """Bytes that the outbox may hold."""
        self._config = config.mqtt
        self._topics = topics
        self._inbox = inbox
        self._heartbeats = heartbeats
        self._bugs = BugBudget(bugs)
        self._health = Health()
        self._was_online = False
        self._refusals = 0
        self._ended = trio.Event()
        self._subscriber = Subscriber(filters, inbox.put) if filters else None
        self._writer = StoreWriter(writer.path_of(config.outbox), self.outbox, self.drops)
        self.sender = OutboxSender(
            config.mqtt,
            box=config.box.id,
            boot_id=boot_id,
            outbox=self.outbox,
            drops=self.drops,
            acked=self.stats,
            observer=self,
            subscriber=self._subscriber,
            heartbeat=heartbeats.of(STAGE),
        )

    @property
    def is_online(self) -> bool:
        """True while there is a broker that takes messages."""
        return self.broker is not None and self.broker.phase is BrokerPhase.ONLINE

    @property
    def unsubscribed(self) -> str | None:
        """Topics that we are not subscribed to and why, in one sentence; None where we are subscribed to all."""
        return None if self._subscriber is None else self._subscriber.trouble

    def publish(self, message: Message) -> None:
        """Accept a message. Never waits."""
        self.sender.publish(message)

    def repeat(self, first: Collection[str]) -> None:
        """Publish all that is retained once more, if there is a broker: each new connection does so anyway."""
        if self.is_online:
            self.sender.repeat(first)

    def redate(self, step_s: float) -> None:
        """Date `bridge/state` by a clock that was set by `step_s` seconds."""
        self.sender.redate(step_s)

    async def publish_at_once(self, message: Message) -> None:
        """Publish beside the outbox, or not at all; raises NotDelivered."""
        await self.sender.publish_at_once(message)

    async def receive_levels(self, topics: Sequence[str]) -> None:
        """Return once what the broker retains on topics of levels was handled; at once where it cannot be asked."""
        if self._subscriber is not None and await self._subscriber.receive_retained(topics):
            await self._inbox.wait_handled(topics)

    async def start(self, nursery: trio.Nursery) -> None:
        """Read what an earlier life left, and begin; what the nursery is cancelled with is stored for the next one."""
        await self._writer.open()
        nursery.start_soon(self._writer.run)
        nursery.start_soon(self._run)

    def clear_stale_topics(self) -> None:
        """Clear retained topics of ours that nobody publishes any more: of cameras that are gone, or renamed."""
        for topic in self.outbox.retained_topics() - self.sender.topics:
            self.publish(self._topics.clear(topic))

    async def drain(self) -> None:
        """Drain the outbox, where there is a broker to drain it to; the writer stores and logs what is left in it."""
        if self.is_online:
            self.sender.stop(DRAIN_S)
            with trio.move_on_after(DRAIN_S + DRAIN_MARGIN_S):
                await self._ended.wait()

    async def _run(self) -> None:
        heartbeat = self._heartbeats.of(STAGE)
        await keep_running(self._connect, self._on_retry, self._bugs, retry_now=self.retry_now, heartbeat=heartbeat)
        self._heartbeats.withdraw(STAGE)
        self._ended.set()

    async def _connect(self, health: Health) -> bool:
        self._health = health
        try:
            await self.sender.run_connection()
        except Refused as refused:
            raise self._as_doubtful(refused) from refused
        return False

    def _as_doubtful(self, refused: Refused) -> Outage:
        """Return the error by which a refusal is retried: soon, while it may pass by itself."""
        # A broker that is being set up anew refuses for seconds those whom it accepted before: its users come last. To
        # wait for minutes then, as is right where a person must act, would cost the events of minutes their freshness.
        # Not so where another client took our place: who connects again at once only throws that one out in turn.
        self._refusals += 1
        if not self._was_online or self._refusals > REFUSALS_IN_DOUBT or refused.reason is Reason.TAKEN_OVER:
            return refused
        return Outage(refused.reason, refused.detail, refused.retry_after)

    def _on_retry(self, retry: RetryInfo) -> None:
        self.stats.failures[retry.outage.reason] += 1
        log.debug("broker", attempt=retry.failures, again_in=round(retry.seconds, 1), detail=retry.outage.detail)

    def broker_changed(self, state: BrokerState) -> None:
        """Note and log a new state of the connection."""
        was_online, self.broker = self.is_online, state
        if state.phase is BrokerPhase.ONLINE:
            self.stats.connections += not was_online
            self._was_online, self._refusals = True, 0
            self._health.healthy()
        level = LEVELS.get(state.phase, logging.INFO)
        log.log(level, "broker", state=state.phase.value, reason=state.reason, detail=state.detail)
