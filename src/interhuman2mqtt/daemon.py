"""START HERE: who starts whom, and who stops last.

::

    run ──► delivery ──── events and states to MQTT; outlives all others, so that their last words go out
        ├─► policy ────── pauses, schedules, budgets: which cameras may stream now
        ├─► reporter ──── health, systemd's status and its watchdog
        ├─► requests ──── what MQTT asks for: pause, restart, snapshot ...
        ├─► control ───── the same for commands of this machine
        └─► fleet ─────── a Camera each: capture and session
                ▲
        signals ┘         SIGHUP: reload, on a terminal stop · SIGTERM, SIGINT: stop in order · a second one: at once
"""

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
import trio
from msgspec import structs

from interhuman2mqtt import health as report
from interhuman2mqtt.cameras.context import CameraContext
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fleet import Change, Fleet
from interhuman2mqtt.cameras.gap_events import CameraEvents
from interhuman2mqtt.cameras.refusal_doubt import Accepted
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.cloud.websocket import Server
from interhuman2mqtt.config import Config, proxy, validation
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.loader import Loaded
from interhuman2mqtt.control.dispatcher import RequestDispatcher
from interhuman2mqtt.control.handlers import CommandHandlers, SnapshotHandler
from interhuman2mqtt.control.parser import RequestParser
from interhuman2mqtt.control.unix_socket import UnixSocketServer
from interhuman2mqtt.policy import policy
from interhuman2mqtt.publish.homeassistant import discovery
from interhuman2mqtt.publish.homeassistant.discovery import HomeAssistant
from interhuman2mqtt.publish.publisher import EventPublisher
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.publish.topics import ReloadInfo, Topics
from interhuman2mqtt.reload import Reloader
from interhuman2mqtt.runtime import state_dir, watchdog
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.dns import Resolver
from interhuman2mqtt.runtime.lifeline import Endings, receiving
from interhuman2mqtt.runtime.log import setup as setup_log
from interhuman2mqtt.runtime.process import keep_private
from interhuman2mqtt.runtime.watchdog import Heartbeats, Overdue, WatchdogLoop
from interhuman2mqtt.supervisor import BugBudget

if TYPE_CHECKING:
    from interhuman2mqtt.metrics.server import Exporter

log = structlog.get_logger(__name__)

FIXED = ("box", "mqtt", "outbox", "metrics")
"""Sections that a reload does not take over."""
LOOK_S = 0.5
"""Seconds between two looks at the clocks."""
BUGS = 3
"""How many bugs of one camera, or of the publisher, are survived in an hour."""


def run(arguments: Sequence[Path], box: str | None = None, *, lifeline: bool = False) -> None:
    """The service; returns when it was stopped. Raises ConfigError and InUse; anything else is a bug.

    `lifeline`: stop when stdin ends, too.
    """

    def load() -> Loaded:
        return configfile.load_marked(configfile.find(arguments), box)  # found anew: a drop-in may have come

    keep_private()
    state = state_dir.find()
    with state_dir.held(state):
        state_dir.keep_private(state)
        notify = watchdog.take()
        loaded = load()
        setup_log(loaded.config.log.level, loaded.config.log.format)
        trio.run(_Daemon(loaded, notify, load, lifeline=lifeline).run)


class _Daemon:
    """Wires the stages together."""

    def __init__(
        self, loaded: Loaded, notify: watchdog.SystemdNotifier, load: Callable[[], Loaded], *, lifeline: bool = False
    ) -> None:
        self._config, self._files_hash = config, _ = loaded
        self._notify = notify
        self._boot_id = str(uuid4())
        self._bugs = int(os.environ.get("INTERHUMAN2MQTT_BUGS", BUGS))
        self._topics = Topics(config.mqtt.base_topic, config.box.id, config.outbox.max_age)
        self._clock = BoxClock()
        self._reloader = Reloader(load, self._take_over, notify, self._reloaded)
        self._reload: ReloadInfo | None = None
        self._waits: tuple[str, ...] = ()
        """Sections that wait for a restart."""
        self._alive = Heartbeats()
        self._places = SessionSlots(config.interhuman.max_sessions)
        self._accepted = Accepted()
        birth = discovery.birth_topic(config)
        self._reader = RequestParser(config.mqtt.base_topic, config.box.id, config.mqtt.requests, birth)
        self._policy = policy.for_box(config.box, state_dir.find(), self._alive.of("policy"))
        self._expected: frozenset[str] = frozenset()
        self._endings = Endings(lifeline=lifeline)

    async def run(self) -> None:
        """Until a signal says so."""
        self._began = trio.current_time()
        trio.socket.set_custom_hostname_resolver(Resolver())
        self._delivery = PublishService(
            self._config,
            self._topics,
            boot_id=self._boot_id,
            filters=self._reader.filters,
            is_known=lambda topic: topic in map(self._reader.pause_topic, self._cameras()),
            alive=self._alive,
            bugs=self._bugs,
        )
        self._announcer = EventPublisher(self._topics, self._delivery.sender)
        self._teller = CameraEvents(self._config.box.id, self._boot_id, self._clock, self._announcer)
        self._home = HomeAssistant(self._topics, self._delivery.publish, self._delivery.repeat)
        self._coverage = Coverage(state_dir.find() / "coverage.json", self._teller, self._clock)
        with receiving() as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._endings.run, signals, nursery.cancel_scope)
                await self._live()
                nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        """What is opened last is closed first."""
        async with trio.open_nursery() as nursery:
            await self._delivery.start(nursery)
            nursery.start_soon(self._policy.run)
            self._home.announce(self._config)
            nursery.start_soon(self._home.run)
            self._publish_info()
            self._take_up()
            nursery.start_soon(self._coverage.keep)
            async with trio.open_nursery() as cameras:
                self._fleet = Fleet(cameras)
                nursery.start_soon(self._watch_clock)
                self._requests = self._new_requests()
                await self._fleet.apply(self._config.cameras, self._shared(self._config))
                self._delivery.sweep()
                nursery.start_soon(self._reporter().run)
                self._serve_metrics(nursery)
                self._notify.ready()
                log.info("started", box=self._config.box.id, cameras=list(self._config.cameras))
                await self._reload_until_stopped()
                self._notify.stopping()
                log.info("stopping")
                await self._fleet.stop()
            await self._coverage.save()
            await self._policy.close()
            await self._delivery.say_goodbye()
            nursery.cancel_scope.cancel()
        log.info("stopped")

    def _take_up(self) -> None:
        """Tell what an earlier life could not: the time since, the ends of its signals; the rest of it is cleared."""
        left = {**self._coverage.resume(self._config.cameras), **self._delivery.outbox.active_signals()}
        for camera, signals in left.items():
            for active in signals:
                self._teller.publish_signal_end(camera, active)
        for camera in self._config.cameras:
            self._announcer.clear(camera)
        self._announcer.keep(self._config.cameras)

    async def _reload_until_stopped(self) -> None:
        """A stop does not wait for a reload under way: the cameras that it stops are stopping already."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reload_when_asked)
            nursery.start_soon(self._requests.run)
            nursery.start_soon(self._new_control().run)
            await self._endings.stop.wait()
            nursery.cancel_scope.cancel()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._endings.wait_hangup()
            await self._reloader.reload()

    async def _take_over(self, loaded: Loaded) -> Change:
        config = loaded.config
        self._waits = tuple(name for name in FIXED if getattr(config, name) != getattr(self._config, name))
        if self._waits:
            log.warning("changed sections wait for a restart", needs_restart=self._waits)
        if config.log != self._config.log:
            setup_log(config.log.level, config.log.format)
        gone = [name for name in self._config.cameras if name not in config.cameras]
        self._places.resize(config.interhuman.max_sessions)
        self._delivery.hurry.now()  # the broker's password may have been mended
        await self._expect(set(config.cameras) - set(self._config.cameras))
        change = await self._fleet.apply(config.cameras, self._shared(config))
        self._config = structs.replace(config, **{name: getattr(self._config, name) for name in FIXED})
        self._home.announce(self._config)
        for name in gone:
            self._coverage.forget(name)
            self._announcer.remove(name)
        self._delivery.handed.keep(config.cameras)
        self._delivery.sweep()
        self._files_hash, self._expected = loaded.files_hash, frozenset()
        log.info("configuration reloaded", stopped=change.stopped, started=change.started)
        return change._replace(needs_restart=self._waits)

    async def _expect(self, added: Collection[str]) -> None:
        """Obey what the broker retains for cameras that are about to be added, before they begin."""
        self._expected = frozenset(added)
        if added and self._config.mqtt.requests == "all":
            await self._delivery.receive_levels([*map(self._reader.pause_topic, sorted(added))])

    def _cameras(self) -> Collection[str]:
        """The ids of the cameras that there are, and are about to be."""
        return {*self._config.cameras, *self._expected}

    def _reloaded(self, reload: ReloadInfo) -> None:
        self._reload = reload
        self._publish_info()

    def _publish_info(self) -> None:
        self._info = report.info(Loaded(self._config, self._files_hash), self._boot_id, self._reload, self._waits)
        self._delivery.publish(self._topics.bridge_info(self._info))

    def _shared(self, config: Config) -> CameraContext:
        return CameraContext(
            box=self._config.box.id,
            server=Server(config.interhuman.url, config.interhuman.ca_file, proxy.to_cloud(config.interhuman)),
            chunk_s=config.interhuman.chunk,
            redact=frozenset(config.privacy.redact),
            places=self._places,
            accepted=self._accepted,
            coverage=self._coverage,
            policy=self._policy,
            clock=self._clock,
            publisher=self._announcer,
            alive=self._alive,
            bugs=self._bugs,
        )

    async def _watch_clock(self) -> None:
        """Look at the clocks often, for that is how exactly a suspension is dated; publish what a setting changes."""
        while True:
            if step_s := self._clock.take_step():
                log.warning("the clock was set", by_seconds=round(step_s, 3), clock=self._clock.state)
                for camera in self._fleet.cameras.values():
                    camera.standing.redate()
            await trio.sleep(LOOK_S)

    def _new_requests(self) -> RequestDispatcher:
        return RequestDispatcher(
            self._delivery.inbox,
            self._reader,
            cameras=self._cameras,
            obeys=self._new_obeying(),
            publish=self._delivery.publish,
            born=self._home.born,
            bugs=BugBudget(self._bugs),
        )

    def _new_control(self) -> UnixSocketServer:
        state = state_dir.find()
        folders = [folder for folder in (state, state_dir.find_runtime(state)) if folder is not None]
        obey = partial(self._requests.do, by_command=True)
        return UnixSocketServer(folders, self._config.box.id, lambda: self._config.cameras, obey)

    def _new_obeying(self) -> CommandHandlers:
        snapshots = SnapshotHandler(self._fleet, self._topics, self._announcer, self._delivery.publish_at_once)
        return CommandHandlers(
            self._fleet, self._policy, snapshots, self._reloader.reload, lambda: self._config.log.format
        )

    def _reporter(self) -> WatchdogLoop:
        return WatchdogLoop(self._notify, self._alive, self._sentence, self._publish_health)

    def _serve_metrics(self, nursery: trio.Nursery) -> None:
        listen = self._config.metrics.listen
        if listen is not None and validation.has_extra():
            nursery.start_soon(self._exporter(listen).run)
        elif listen is not None:  # the cameras are worth more than their numbers
            log.error("metrics are not served", detail=f"metrics.listen {validation.NEEDS_EXTRA}")

    def _exporter(self, listen: str) -> "Exporter":
        from interhuman2mqtt.metrics.server import Exporter, Sources  # noqa: PLC0415 - an extra, which may be missing

        sources = Sources(
            box=self._config.box.id,
            info=lambda: self._info,
            cameras=lambda: self._fleet.cameras,
            coverage=self._coverage,
            delivery=self._delivery,
            requests=lambda: self._requests.counts,
            alive=self._alive,
        )
        return Exporter(listen, sources, BugBudget(self._bugs))

    def _sentence(self, stuck: Sequence[Overdue]) -> str:
        broker, trouble = self._delivery.broker, self._delivery.outbox.trouble
        return report.sentence(
            self._fleet.cameras, broker, trouble=trouble, stuck=stuck, reload=self._reload, waits=self._waits
        )

    def _publish_health(self) -> None:
        health = report.health(
            self._began,
            self._delivery.outbox,
            self._delivery.losses,
            self._fleet.cameras,
            coverage=self._coverage,
            budgets=self._policy.budgets.told(),
            requests=self._requests.counts,
            subscriptions=self._delivery.unsubscribed,
        )
        self._delivery.publish(self._topics.bridge_health(health))
