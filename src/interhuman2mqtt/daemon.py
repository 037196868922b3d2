"""START HERE: who starts whom, and who stops last.

::

    run ──► publisher ─── events and states to MQTT; outlives all others, so that their last words go out
        ├─► policy ────── pauses, schedules, budgets: which cameras may stream now
        ├─► reporter ──── health, systemd's status and its watchdog
        └─► fleet ─────── a Camera each: capture and session
                ▲
        signals ┘         SIGHUP: reload · SIGTERM, SIGINT: stop in order · a second one: stop at once
"""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import uuid4

import structlog
import trio
from msgspec import structs

from interhuman2mqtt import report, statefolder, systemd
from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.cameras.places import Places
from interhuman2mqtt.cameras.shared import Shared
from interhuman2mqtt.clock import clock_state
from interhuman2mqtt.cloud.connect import Server
from interhuman2mqtt.config import Config, Interhuman, secrets
from interhuman2mqtt.config import file as configfile
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.events import CameraStatus, Event, State
from interhuman2mqtt.log import setup as setup_log
from interhuman2mqtt.policy import policy
from interhuman2mqtt.publish.losses import Losses
from interhuman2mqtt.publish.outbox import Outbox
from interhuman2mqtt.publish.publisher import BrokerPhase, BrokerState, Publisher
from interhuman2mqtt.publish.topics import CameraTopics, Topics
from interhuman2mqtt.supervise import BugBudget, Health, Waiting, keep_running

log = structlog.get_logger(__name__)

LEVELS = {BrokerPhase.OFFLINE: logging.WARNING, BrokerPhase.REFUSED: logging.ERROR}
STATUS_S = 2.0
FIXED = ("box", "mqtt", "outbox", "log")
"""Sections that a reload does not take over."""
HEALTH_S = 30.0
FAREWELL_S = 10.0
"""How long the outbox may drain at the end."""
MARGIN_S = 3.0
BUGS = 3
"""How many bugs of one camera, or of the publisher, are survived in an hour."""


def run(arguments: Sequence[Path], box: str | None = None) -> None:
    """The service; returns when it was stopped. Raises ConfigError; anything else is a bug."""

    def load() -> Config:
        return configfile.load(configfile.find(arguments), box)  # found anew: a drop-in may have come

    notify = systemd.take()
    config = load()
    setup_log(config.log.level, config.log.format)
    trio.run(_Daemon(config, notify, load).run)


class _Daemon:
    """Wires the stages together."""

    def __init__(self, config: Config, notify: systemd.Systemd, load: Callable[[], Config]) -> None:
        self._config = config
        self._notify = notify
        self._load = load
        self._boot_id = str(uuid4())
        self._bugs = int(os.environ.get("INTERHUMAN2MQTT_BUGS", BUGS))
        self._topics = Topics(config.mqtt.base_topic, config.box.id, config.outbox.max_age)
        self._camera_topics: dict[str, CameraTopics] = {}
        self._broker: BrokerState | None = None
        self._broker_health = Health()
        self._places = Places(config.interhuman.max_sessions)
        self._policy = policy.for_box(config.box, statefolder.find())
        self._stop = trio.Event()
        self._hangup = trio.Event()

    async def run(self) -> None:
        """Until a signal says so."""
        self._began = trio.current_time()
        self._losses = Losses()
        self._outbox = Outbox(self._config.outbox, self._losses.report)
        self._publisher = self._new_publisher()
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                await self._live()
                nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        """What is opened last is closed first."""
        async with trio.open_nursery() as nursery:
            published = trio.Event()
            nursery.start_soon(self._publish, published)
            nursery.start_soon(self._policy.run)
            self._publisher.publish(self._topics.bridge_info(report.info(self._config, self._boot_id)))
            for camera in self._config.cameras:  # what an earlier life left there is not known to be true any more
                self._clear_state(camera)
            async with trio.open_nursery() as cameras:
                self._fleet = Fleet(cameras)
                await self._fleet.apply(self._config.cameras, self._shared(self._config))
                nursery.start_soon(self._report)
                self._notify.ready()
                log.info("started", box=self._config.box.id, cameras=list(self._config.cameras))
                await self._reload_until_stopped()
                self._notify.stopping()
                log.info("stopping")
                await self._fleet.stop()
            await self._policy.close()
            await self._say_goodbye(published)
            nursery.cancel_scope.cancel()
        log.info("stopped")

    async def _say_goodbye(self, published: trio.Event) -> None:
        """Drain the outbox, where there is a broker to drain it to."""
        if self._broker is not None and self._broker.phase is BrokerPhase.ONLINE:
            self._publisher.stop(FAREWELL_S)
            with trio.move_on_after(FAREWELL_S + MARGIN_S):
                await published.wait()
        elif waiting := self._outbox.depth.rows:
            log.warning("stopping without a broker: what waits for it is lost", messages=waiting)

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self._hangup.set()
            elif self._stop.is_set():
                log.warning("stopping at once")
                everything.cancel()
            else:
                self._stop.set()

    async def _reload_until_stopped(self) -> None:
        """A stop does not wait for a reload under way: the cameras that it stops are stopping already."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reload_when_asked)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup = trio.Event()
            await self._reload()

    async def _reload(self) -> None:
        """Take over a good configuration; a bad one changes nothing."""
        self._notify.reloading()
        try:
            config = self._load()
        except ConfigError as error:
            log.error("configuration rejected, the old one goes on", problems=str(error))  # noqa: TRY400 - no traceback
            self._notify.status(f"configuration rejected: {error}")
        else:
            await self._take_over(config)
        self._notify.ready()

    async def _take_over(self, config: Config) -> None:
        for name in FIXED:
            if getattr(config, name) != getattr(self._config, name):
                log.warning("a change of this section needs a restart", section=name)
        gone = [name for name in self._config.cameras if name not in config.cameras]
        self._places.resize(config.interhuman.max_sessions)
        change = await self._fleet.apply(config.cameras, self._shared(config))
        for name in gone:
            for message in self._topics.clear_camera(name):
                self._publisher.publish(message)
        self._config = structs.replace(config, **{name: getattr(self._config, name) for name in FIXED})
        self._publisher.publish(self._topics.bridge_info(report.info(self._config, self._boot_id)))
        log.info("configuration reloaded", stopped=change.stopped, started=change.started)

    def _shared(self, config: Config) -> Shared:
        return Shared(
            box=self._config.box.id,
            server=Server(config.interhuman.url, config.interhuman.ca_file, proxy(config.interhuman)),
            chunk_s=config.interhuman.chunk,
            redact=frozenset(config.privacy.redact),
            places=self._places,
            policy=self._policy,
            clock=clock_state,
            publish_event=self._publish_event,
            publish_status=self._publish_status,
            bugs=self._bugs,
        )

    def _publish_event(self, event: Event) -> None:
        topics = self._camera_topics.setdefault(event.camera, CameraTopics(self._topics, event.camera))
        for message in topics.messages(event):
            self._publisher.publish(message)

    def _publish_status(self, status: CameraStatus) -> None:
        self._publisher.publish(self._topics.status(status))
        if status.state in {State.PAUSED, State.STOPPED}:
            self._clear_state(status.camera)

    def _clear_state(self, camera: str) -> None:
        topics = self._camera_topics.setdefault(camera, CameraTopics(self._topics, camera))
        for message in topics.clear():
            self._publisher.publish(message)

    def _new_publisher(self) -> Publisher:
        return Publisher(
            self._config.mqtt,
            box=self._config.box.id,
            boot_id=self._boot_id,
            outbox=self._outbox,
            read_password=self._read_password,
            on_loss=self._losses.report,
            on_state=self._broker_changed,
        )

    def _read_password(self) -> str | None:
        ref = self._config.mqtt.password
        return None if ref is None else secrets.read(ref, what="mqtt.password").reveal()

    async def _publish(self, published: trio.Event) -> None:
        await keep_running(self._publish_once, self._broker_waits, BugBudget(self._bugs))
        published.set()

    async def _publish_once(self, health: Health) -> bool:
        self._broker_health = health
        await self._publisher.run_connection()
        return False

    def _broker_waits(self, waiting: Waiting) -> None:
        log.debug("broker", attempt=waiting.failures, again_in=round(waiting.seconds, 1), detail=waiting.outage.detail)

    def _broker_changed(self, state: BrokerState) -> None:
        self._broker = state
        if state.phase is BrokerPhase.ONLINE:
            self._broker_health.well()
        log.log(
            LEVELS.get(state.phase, logging.INFO),
            "broker",
            state=state.phase.value,
            reason=state.reason,
            detail=state.detail,
        )

    async def _report(self) -> None:
        """Health for MQTT, a sentence and the watchdog for systemd: all show that the loop turns."""
        every = min(STATUS_S, (self._notify.watchdog or STATUS_S * 2) / 2)
        health_at = said = None
        while True:
            if health_at is None or trio.current_time() >= health_at:
                health_at = trio.current_time() + HEALTH_S
                health = report.health(self._began, self._outbox, self._losses, self._fleet.cameras)
                self._publisher.publish(self._topics.bridge_health(health))
            sentence = report.sentence(self._fleet.cameras, self._broker)
            if sentence != said:
                said = sentence
                self._notify.status(sentence)
            self._notify.alive()
            await trio.sleep(every)


def proxy(interhuman: Interhuman) -> str | None:
    """The proxy on the way to the cloud: the configured one, else the environment's; an empty one is none."""
    if interhuman.proxy is not None:
        return interhuman.proxy or None
    if interhuman.url.startswith("ws:"):
        return None
    return os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or None
