"""START HERE: who starts whom, and who stops last.

::

    run ──► publisher ─── events and states to MQTT; outlives all others, so that their last words go out
        ├─► policy ────── pauses, schedules, budgets: which cameras may stream now
        ├─► reporter ──── health, systemd's status and its watchdog
        ├─► requests ──── what MQTT asks for: pause, restart, reload ...
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
from interhuman2mqtt.alive import Alive, Stuck
from interhuman2mqtt.cameras.coverage import Coverage, Signal
from interhuman2mqtt.cameras.fleet import Change, Fleet
from interhuman2mqtt.cameras.ledger import Gap
from interhuman2mqtt.cameras.places import Places
from interhuman2mqtt.cameras.shared import Shared
from interhuman2mqtt.cameras.told import Teller
from interhuman2mqtt.clock import clock_state
from interhuman2mqtt.cloud.connect import Server
from interhuman2mqtt.config import Config, Interhuman, secrets
from interhuman2mqtt.config import file as configfile
from interhuman2mqtt.log import setup as setup_log
from interhuman2mqtt.memory import keep_private
from interhuman2mqtt.obeying import Obeying
from interhuman2mqtt.policy import policy
from interhuman2mqtt.publish import keeper
from interhuman2mqtt.publish.announce import Announcer
from interhuman2mqtt.publish.inbox import Inbox
from interhuman2mqtt.publish.keeper import Keeper
from interhuman2mqtt.publish.listening import Listener
from interhuman2mqtt.publish.losses import Losses
from interhuman2mqtt.publish.outbox import Outbox
from interhuman2mqtt.publish.publisher import BrokerPhase, BrokerState, Publisher
from interhuman2mqtt.publish.reading import Reader
from interhuman2mqtt.publish.topics import Reload, Topics
from interhuman2mqtt.reload import Reloader
from interhuman2mqtt.reporter import Reporter
from interhuman2mqtt.requests import Requests
from interhuman2mqtt.supervise import BugBudget, Health, Hurry, Waiting, keep_running

log = structlog.get_logger(__name__)

LEVELS = {BrokerPhase.OFFLINE: logging.WARNING, BrokerPhase.REFUSED: logging.ERROR}
FIXED = ("box", "mqtt", "outbox")
"""Sections that a reload does not take over."""
FAREWELL_S = 10.0
"""How long the outbox may drain at the end."""
MARGIN_S = 3.0
BUGS = 3
"""How many bugs of one camera, or of the publisher, are survived in an hour."""


def run(arguments: Sequence[Path], box: str | None = None) -> None:
    """The service; returns when it was stopped. Raises ConfigError; anything else is a bug."""

    def load() -> Config:
        return configfile.load(configfile.find(arguments), box)  # found anew: a drop-in may have come

    keep_private()
    notify = systemd.take()
    config = load()
    setup_log(config.log.level, config.log.format)
    trio.run(_Daemon(config, notify, load).run)


class _Daemon:
    """Wires the stages together."""

    def __init__(self, config: Config, notify: systemd.Systemd, load: Callable[[], Config]) -> None:
        self._config = config
        self._notify = notify
        self._boot_id = str(uuid4())
        self._bugs = int(os.environ.get("INTERHUMAN2MQTT_BUGS", BUGS))
        self._topics = Topics(config.mqtt.base_topic, config.box.id, config.outbox.max_age)
        self._teller = Teller(config.box.id, self._boot_id, clock_state)
        self._reloader = Reloader(load, self._take_over, notify, self._reloaded)
        self._reload: Reload | None = None
        self._broker: BrokerState | None = None
        self._broker_health = Health()
        self._hurry = Hurry()
        self._alive = Alive()
        self._places = Places(config.interhuman.max_sessions)
        self._inbox = Inbox()
        self._reader = Reader(config.mqtt.base_topic, config.box.id, config.mqtt.requests)
        self._policy = policy.for_box(config.box, statefolder.find())
        self._stop = trio.Event()
        self._hangup = trio.Event()

    async def run(self) -> None:
        """Until a signal says so."""
        self._began = trio.current_time()
        self._losses = Losses()
        self._outbox = Outbox(self._config.outbox, self._losses.report)
        self._keeper = Keeper(keeper.path_of(self._config.outbox), self._outbox, self._losses.report)
        self._publisher = self._new_publisher()
        self._announcer = Announcer(self._topics, self._publisher.publish)
        self._coverage = Coverage(statefolder.find() / "coverage.json", self._tell_gap, self._active)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                await self._live()
                nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        """What is opened last is closed first."""
        await self._keeper.open()
        async with trio.open_nursery() as nursery:
            published = trio.Event()
            nursery.start_soon(self._keeper.run)
            nursery.start_soon(self._publish, published)
            nursery.start_soon(self._policy.run)
            self._publish_info()
            self._take_up()
            nursery.start_soon(self._coverage.keep)
            async with trio.open_nursery() as cameras:
                self._fleet = Fleet(cameras)
                self._requests = self._new_requests()
                await self._fleet.apply(self._config.cameras, self._shared(self._config))
                nursery.start_soon(self._reporter().run)
                self._notify.ready()
                log.info("started", box=self._config.box.id, cameras=list(self._config.cameras))
                await self._reload_until_stopped()
                self._notify.stopping()
                log.info("stopping")
                await self._fleet.stop()
            await self._coverage.save()
            await self._policy.close()
            await self._say_goodbye(published)
            nursery.cancel_scope.cancel()
        log.info("stopped")

    def _take_up(self) -> None:
        """Tell what an earlier life could not: the time since, the ends of its signals; the rest of it is cleared."""
        for camera, signals in self._coverage.resume(self._config.cameras).items():
            for active in signals:
                self._announcer.event(self._teller.signal_end(camera, active.type, active.session))
        for camera in self._config.cameras:
            self._announcer.clear(camera)

    async def _say_goodbye(self, published: trio.Event) -> None:
        """Drain the outbox, where there is a broker to drain it to; the keeper says what is left in it."""
        if self._broker is not None and self._broker.phase is BrokerPhase.ONLINE:
            self._publisher.stop(FAREWELL_S)
            with trio.move_on_after(FAREWELL_S + MARGIN_S):
                await published.wait()

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
            nursery.start_soon(self._requests.run)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup = trio.Event()
            await self._reloader.reload()

    async def _take_over(self, config: Config) -> Change:
        for name in FIXED:
            if getattr(config, name) != getattr(self._config, name):
                log.warning("a change of this section needs a restart", section=name)
        if config.log != self._config.log:
            setup_log(config.log.level, config.log.format)
        gone = [name for name in self._config.cameras if name not in config.cameras]
        self._places.resize(config.interhuman.max_sessions)
        self._hurry.now()  # the broker's password may have been mended
        change = await self._fleet.apply(config.cameras, self._shared(config))
        for name in gone:
            self._coverage.forget(name)
            self._announcer.remove(name)
        self._config = structs.replace(config, **{name: getattr(self._config, name) for name in FIXED})
        log.info("configuration reloaded", stopped=change.stopped, started=change.started)
        return change

    def _reloaded(self, reload: Reload) -> None:
        self._reload = reload
        self._publish_info()

    def _publish_info(self) -> None:
        info = report.info(self._config, self._boot_id, self._reload)
        self._publisher.publish(self._topics.bridge_info(info))

    def _shared(self, config: Config) -> Shared:
        return Shared(
            box=self._config.box.id,
            server=Server(config.interhuman.url, config.interhuman.ca_file, proxy(config.interhuman)),
            chunk_s=config.interhuman.chunk,
            redact=frozenset(config.privacy.redact),
            places=self._places,
            coverage=self._coverage,
            policy=self._policy,
            clock=clock_state,
            publish_event=self._announcer.event,
            publish_status=self._announcer.status,
            alive=self._alive,
            bugs=self._bugs,
        )

    def _tell_gap(self, camera: str, gap: Gap) -> None:
        self._announcer.event(self._teller.gap(camera, gap))

    def _active(self) -> dict[str, tuple[Signal, ...]]:
        return {
            camera: tuple(Signal(kind, signal.session) for kind, signal in signals.items())
            for camera, signals in self._announcer.active.items()
        }

    def _new_publisher(self) -> Publisher:
        return Publisher(
            self._config.mqtt,
            box=self._config.box.id,
            boot_id=self._boot_id,
            outbox=self._outbox,
            read_password=self._read_password,
            on_loss=self._losses.report,
            on_state=self._broker_changed,
            listener=Listener(self._reader.filters, self._inbox.put) if self._reader.filters else None,
        )

    def _new_requests(self) -> Requests:
        return Requests(
            self._inbox,
            self._reader,
            cameras=lambda: self._config.cameras,
            obeys=Obeying(self._fleet, self._policy, self._reloader.reload, lambda: self._config.log.format),
            publish=self._publisher.publish,
            bugs=BugBudget(self._bugs),
        )

    def _read_password(self) -> str | None:
        ref = self._config.mqtt.password
        return None if ref is None else secrets.read(ref, what="mqtt.password").reveal()

    async def _publish(self, published: trio.Event) -> None:
        await keep_running(self._publish_once, self._broker_waits, BugBudget(self._bugs), hurry=self._hurry)
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

    def _reporter(self) -> Reporter:
        return Reporter(self._notify, self._alive, self._sentence, self._publish_health)

    def _sentence(self, stuck: Sequence[Stuck]) -> str:
        return report.sentence(
            self._fleet.cameras, self._broker, trouble=self._outbox.trouble, stuck=stuck, reload=self._reload
        )

    def _publish_health(self) -> None:
        health = report.health(
            self._began,
            self._outbox,
            self._losses,
            self._fleet.cameras,
            coverage=self._coverage,
            requests=self._requests.counts,
        )
        self._publisher.publish(self._topics.bridge_health(health))


def proxy(interhuman: Interhuman) -> str | None:
    """The proxy on the way to the cloud: the configured one, else the environment's; an empty one is none."""
    if interhuman.proxy is not None:
        return interhuman.proxy or None
    if interhuman.url.startswith("ws:"):
        return None
    return os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or None
