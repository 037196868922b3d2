"""Everything between the topics and the broker, joined and kept running: outbox, its store, and one connection.

What became of the way to the broker, counted for Prometheus.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence

import structlog
import trio

from interhuman2mqtt.config import Config, secrets
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.message import DropLog, Message, MessageKind
from interhuman2mqtt.publish.mqtt.sender import OutboxSender
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState
from interhuman2mqtt.publish.outbox import writer
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.writer import StoreWriter
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.histogram import Histogram
from interhuman2mqtt.runtime.watchdog import Heartbeats
from interhuman2mqtt.supervisor import BugBudget, Health, RetryInfo, RetryNow, keep_running


class BrokerStats:
    """Connections, and what the broker acknowledged by them."""

    def __init__(self) -> None:
        self.connections = 0
        """That came about."""
        self.failures = Counter[Reason]()
        """Attempts that failed, and connections that were lost."""
        self.acknowledged = Counter[MessageKind]()
        self.delays: dict[str, Histogram] = {}
        """From the acceptance of an event to the broker's PUBACK, by camera; with all outages in between."""

    def acked(self, message: Message, age: float) -> None:
        """The broker has a message that was accepted `age` seconds ago."""
        self.acknowledged[message.kind] += 1
        if message.kind is MessageKind.EVENT and message.camera is not None:
            if message.camera not in self.delays:
                self.delays[message.camera] = Histogram()
            self.delays[message.camera].observe(age)

    def keep(self, cameras: Collection[str]) -> None:
        """Forget all cameras but these."""
        self.delays = {camera: delays for camera, delays in self.delays.items() if camera in cameras}


log = structlog.get_logger(__name__)

LEVELS = {BrokerPhase.OFFLINE: logging.WARNING, BrokerPhase.REFUSED: logging.ERROR}
FAREWELL_S = 10.0
"""How long the outbox may drain at the end."""
MARGIN_S = 3.0
DOUBTS = 5
"""Refusals in a row, of a broker that took us before, that are tried again soon."""
STAGE = "publisher"


class PublishService:
    """Brings messages to the broker, however often either of them is away; to be made within trio.

    Args:
        filters: What is listened to at the broker; `inbox` takes what comes.
        is_known: Whether a topic of a level is one of a camera that exists.
        bugs: How many bugs of the connection are survived in an hour.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        config: Config,
        topics: Topics,
        *,
        boot_id: str,
        filters: Sequence[str],
        is_known: Callable[[str], bool],
        alive: Heartbeats,
        bugs: int,
    ) -> None:
        self.inbox = Inbox(is_known)
        self.losses = DropLog()
        self.outbox = OutboxQueue(config.outbox, self.losses.report)
        self.broker: BrokerState | None = None
        """None: not tried yet."""
        self.handed = BrokerStats()
        self.retry_now = RetryNow()
        """Ends the pause between two attempts."""
        self.max_size = config.outbox.max_size
        """Bytes that the outbox may hold."""
        self._config = config.mqtt
        self._topics = topics
        self._alive = alive
        self._bugs = BugBudget(bugs)
        self._health = Health()
        self._was_online = False
        self._refusals = 0
        self._ended = trio.Event()
        self._listener = Subscriber(filters, self.inbox.put) if filters else None
        self._keeper = StoreWriter(writer.path_of(config.outbox), self.outbox, self.losses.report)
        self.sender = OutboxSender(
            config.mqtt,
            box=config.box.id,
            boot_id=boot_id,
            outbox=self.outbox,
            read_password=self._read_password,
            on_drop=self.losses.report,
            on_state=self._broker_changed,
            subscriber=self._listener,
            heartbeat=alive.of(STAGE),
            on_ack=self.handed.acked,
        )

    @property
    def is_online(self) -> bool:
        """Whether the broker takes what we have."""
        return self.broker is not None and self.broker.phase is BrokerPhase.ONLINE

    @property
    def unsubscribed(self) -> str | None:
        """What we are not subscribed to and why, in one sentence; None where it is all as it should be."""
        return None if self._listener is None else self._listener.trouble

    def publish(self, message: Message) -> None:
        """Accept a message. Never waits."""
        self.sender.publish(message)

    def repeat(self, first: Collection[str]) -> None:
        """Publish all that is retained once more, if there is a broker: the next one is told it all anyway."""
        if self.broker is not None and self.broker.phase is BrokerPhase.ONLINE:
            self.sender.repeat(first)

    async def publish_at_once(self, message: Message) -> None:
        """Publish beside the outbox, or not at all; raises NotDelivered."""
        await self.sender.publish_at_once(message)

    async def receive_levels(self, topics: Sequence[str]) -> None:
        """Return once what the broker retains on topics of levels was obeyed; at once where it cannot be asked."""
        if self._listener is not None and await self._listener.receive_retained(topics):
            await self.inbox.wait_handled(topics)

    async def start(self, nursery: trio.Nursery) -> None:
        """Take up what an earlier life left, and begin; what the nursery is cancelled with is kept for the next one."""
        await self._keeper.open()
        nursery.start_soon(self._keeper.run)
        nursery.start_soon(self._run)

    def sweep(self) -> None:
        """Clear what is retained of ours and nobody publishes any more: of cameras that are gone, or renamed."""
        for topic in self.outbox.retained_topics() - self.sender.topics:
            self.publish(self._topics.clear(topic))

    async def say_goodbye(self) -> None:
        """Drain the outbox, where there is a broker to drain it to; the keeper says what is left in it."""
        if self.is_online:
            self.sender.stop(FAREWELL_S)
            with trio.move_on_after(FAREWELL_S + MARGIN_S):
                await self._ended.wait()

    async def _run(self) -> None:
        promise = self._alive.of(STAGE)
        await keep_running(self._connect, self._waits, self._bugs, retry_now=self.retry_now, heartbeat=promise)
        self._alive.withdraw(STAGE)
        self._ended.set()

    async def _connect(self, health: Health) -> bool:
        self._health = health
        try:
            await self.sender.run_connection()
        except Refused as refused:
            raise self._doubted(refused) from refused
        return False

    def _doubted(self, refused: Refused) -> Outage:
        """A broker that took us before, and is being set up anew, refuses for seconds: it is asked again soon.

        Who was thrown out by a namesake only throws that out in turn.
        """
        self._refusals += 1
        if not self._was_online or self._refusals > DOUBTS or refused.reason is Reason.TAKEN_OVER:
            return refused
        return Outage(refused.reason, refused.detail, refused.retry_after)

    def _waits(self, waiting: RetryInfo) -> None:
        self.handed.failures[waiting.outage.reason] += 1
        log.debug("broker", attempt=waiting.failures, again_in=round(waiting.seconds, 1), detail=waiting.outage.detail)

    def _broker_changed(self, state: BrokerState) -> None:
        was_online, self.broker = self.is_online, state
        if state.phase is BrokerPhase.ONLINE:
            self.handed.connections += not was_online
            self._was_online, self._refusals = True, 0
            self._health.healthy()
        level = LEVELS.get(state.phase, logging.INFO)
        log.log(level, "broker", state=state.phase.value, reason=state.reason, detail=state.detail)

    def _read_password(self) -> str | None:
        ref = self._config.password
        return None if ref is None else secrets.read(ref, what="mqtt.password").reveal()
