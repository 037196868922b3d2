"""START HERE: what the service is made of, and in which order it starts and stops.

::

    main ──► service ─────── events and states to MQTT; outlives all others, so that their last messages go out
         ├─► policy ──────── pauses, schedules, budgets: which cameras may stream now
         ├─► watchdog loop ─ health, systemd's status and its watchdog
         ├─► dispatcher ──── requests by MQTT: pause, restart, snapshot ...
         ├─► unix socket ─── the same for commands of this machine
         └─► fleet ───────── a Camera each: capture and session
                 ▲
         signals ┘           SIGHUP: reload, on a terminal stop · SIGTERM, SIGINT: stop in order · a second one: at once
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import structlog
import trio

from interhuman2mqtt import health
from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.context import CameraContext
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fleet import Change, Fleet
from interhuman2mqtt.cameras.fork_server import ForkServer
from interhuman2mqtt.cameras.gap_events import CameraEvents
from interhuman2mqtt.cameras.session_failures import AcceptedKeys
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.cameras.start_limiter import StartLimiter
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.config import Config, loader
from interhuman2mqtt.config.loader import Loaded
from interhuman2mqtt.control.dispatcher import RequestDispatcher
from interhuman2mqtt.control.handlers import CommandHandlers, ForgetHandler, SnapshotHandler
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.control.parser import PauseTopics, RequestParser
from interhuman2mqtt.control.unix_socket import UnixSocketServer
from interhuman2mqtt.metrics.start import Sources, serve_metrics
from interhuman2mqtt.policy import policy
from interhuman2mqtt.publish.homeassistant import discovery
from interhuman2mqtt.publish.homeassistant.discovery import HomeAssistant
from interhuman2mqtt.publish.payloads import ReloadInfo
from interhuman2mqtt.publish.publisher import EventPublisher
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.reload import Reloader, RunningConfig
from interhuman2mqtt.runtime import state_dir, watchdog
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.clock_steps import follow_clock
from interhuman2mqtt.runtime.dns import Resolver
from interhuman2mqtt.runtime.lifeline import SignalHandler, receiving
from interhuman2mqtt.runtime.log import setup as setup_log
from interhuman2mqtt.runtime.process import keep_freed_memory, keep_private
from interhuman2mqtt.runtime.watchdog import Heartbeats, WatchdogLoop
from interhuman2mqtt.supervisor import BugBudget

log = structlog.get_logger(__name__)

BUGS = 3
"""How many bugs of one camera, or of the publisher, are survived in an hour."""


def run(arguments: Sequence[Path], box: str | None = None, *, lifeline: bool = False) -> None:
    """Run the service until it is stopped. Raise ConfigError, InUse and ReplacedError; else it is a bug.

    `lifeline`: stop when stdin ends, too.
    """

    def load() -> Loaded:
        return loader.load_marked(loader.find(arguments), box)  # found anew: a drop-in may have come

    keep_private()
    keep_freed_memory()
    state = state_dir.find()
    with state_dir.held(state):
        state_dir.keep_private(state)
        notify = watchdog.pop_notifier()
        loaded = load()
        setup_log(loaded.config.log.level, loaded.config.log.format)
        trio.run(_main, loaded, notify, load, SignalHandler(lifeline=lifeline))


async def _main(
    loaded: Loaded, notify: watchdog.SystemdNotifier, load: Callable[[], Loaded], stop_signals: SignalHandler
) -> None:
    """Run the daemon until a signal ends it: what is opened last is closed first."""
    trio.socket.set_custom_hostname_resolver(Resolver())
    # Two nurseries say the order of the end: what publishes runs in the outer one, the cameras in the inner one. A
    # camera's last gap, its `stopped` and the ends of its signals are made while it stops, so the outbox must still
    # take them then, and is drained only when no camera can add to it any more. One nursery for both would be simpler,
    # but a bug would then cancel the store's last commit together with the cameras, whose last events would come after
    # it.
    with receiving() as signals:
        async with trio.open_nursery() as services:
            services.start_soon(stop_signals.run, signals, services.cancel_scope)
            async with trio.open_nursery() as cameras:
                daemon = Daemon(loaded, notify, load, Fleet(cameras), stop_signals)
                await daemon.start(services)
                await daemon.serve()
                await daemon.stop_cameras()
            await daemon.close()
            services.cancel_scope.cancel()
    log.info("stopped")
    stop_signals.check_replaced()


class Daemon:
    """Builds the parts, each with what it needs, and joins them.

    Args:
        load: Reads and checks the files anew; raises ConfigError.
        stop_signals: Says when to stop.
    """

    def __init__(
        self,
        loaded: Loaded,
        notify: watchdog.SystemdNotifier,
        load: Callable[[], Loaded],
        fleet: Fleet,
        stop_signals: SignalHandler,
    ) -> None:
        config, boot_id, state = loaded.config, str(uuid4()), state_dir.find()
        box, bugs = config.box.id, int(os.environ.get("INTERHUMAN2MQTT_BUGS", BUGS))
        self._running = RunningConfig(*loaded)
        self._notify = notify
        self._boot_id = boot_id
        self._bugs = bugs
        self._fleet = fleet
        self._stop_signals = stop_signals
        self._clock = BoxClock()
        self._heartbeats = Heartbeats()
        self._slots = SessionSlots(config.interhuman.max_sessions)
        self._accepted = AcceptedKeys()
        self._fork_server = ForkServer()
        self._starts = StartLimiter(self._fork_server.at_once)
        self._policy = policy.for_box(config.box, state, self._heartbeats.of("policy"))
        self._topics = Topics(config.mqtt.base_topic, box, config.outbox.max_age)
        self._parser = RequestParser(config.mqtt.base_topic, box, config.mqtt.requests, discovery.birth_topic(config))
        self._inbox = Inbox(PauseTopics(self._parser, self._running))
        self._service = PublishService(
            config,
            self._topics,
            self._inbox,
            boot_id=boot_id,
            filters=self._parser.filters,
            heartbeats=self._heartbeats,
            bugs=bugs,
        )
        self._publisher = EventPublisher(self._topics, self._service.sender)
        self._home_assistant = HomeAssistant(self._topics, self._service)
        self._spools = Spools(state / "spool", self._clock)
        self._camera_events = CameraEvents(box, boot_id, self._clock, self._publisher, self._spools)
        self._coverage = Coverage(state / "coverage.json", self._camera_events, self._clock)
        self._reloader = Reloader(load, self, notify)
        self._dispatcher = RequestDispatcher(
            self._inbox,
            self._parser,
            running=self._running,
            handler=self._new_handlers(),
            publisher=self._service,
            home_assistant=self._home_assistant,
            bugs=BugBudget(bugs),
        )
        parts = (self._topics, self._running, self._service, fleet, self._coverage, self._policy, self._dispatcher)
        self._health = health.HealthReporter(*parts, began=trio.current_time())
        counted = (self._running, fleet, self._coverage, self._service, self._dispatcher, self._heartbeats)
        self._metrics = Sources(*counted)

    async def start(self, services: trio.Nursery) -> None:
        """Start everything, in the order in which each needs those before it, and say so to systemd."""
        # Neither the broker, nor the cloud, nor any camera is waited for: a box that boots with its network down must
        # not look failed to systemd, which would restart it for ever.
        await self._service.start(services)
        services.start_soon(self._policy.run)
        await services.start(self._fork_server.run)
        self._home_assistant.announce(self._running.config)
        services.start_soon(self._home_assistant.run)
        self._publish_info()
        await self._keep_spools(self._running.config)
        self._resume()
        services.start_soon(self._coverage.keep)
        services.start_soon(follow_clock, self._clock, (self._fleet, self._service))
        await self._fleet.apply(self._running.config.cameras, self._new_context(self._running.config))
        self._service.clear_stale_topics()
        watchdog_loop = WatchdogLoop(self._notify, self._heartbeats, self._health)
        services.start_soon(watchdog_loop.run)
        services.start_soon(serve_metrics, self._metrics, BugBudget(self._bugs))
        self._notify.ready()
        log.info("started", box=self._running.config.box.id, cameras=list(self._running.config.cameras))

    async def _keep_spools(self, config: Config) -> None:
        """Delete what was spooled of cameras that are gone, or are not to be spooled any more."""
        await self._spools.keep_only({name for name, camera in config.cameras.items() if camera.backfill is not None})

    def _resume(self) -> None:
        """Publish what an earlier life could not: the gap since, the ends of its signals; clear what else it left."""
        cameras = self._running.config.cameras
        left = {**self._coverage.resume(cameras), **self._service.outbox.journal.signals.values}
        for camera, signals in left.items():
            for signal in signals:
                self._camera_events.publish_signal_end(camera, signal)
        for camera in cameras:
            self._publisher.clear(camera)
        self._publisher.remove_others(cameras)

    async def serve(self) -> None:
        """Take requests and reload, until it is to stop.

        A stop does not wait for a reload under way: the cameras that it stops are stopping already.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reloader.run, self._stop_signals)
            nursery.start_soon(self._dispatcher.run)
            nursery.start_soon(self._new_unix_socket().run)
            await self._stop_signals.stop.wait()
            nursery.cancel_scope.cancel()

    async def stop_cameras(self) -> None:
        """Let each camera end its recording, drain its session and say its last."""
        self._notify.stopping()
        log.info("stopping")
        await self._fleet.stop()

    async def close(self) -> None:
        """Write down what the next life has to know, and drain the outbox; no camera runs any more."""
        await self._coverage.save()
        await self._policy.close()
        await self._service.drain()

    async def apply(self, loaded: Loaded) -> Change:
        """Make a configuration the one in force: see `reload`."""
        config, before = loaded.config, self._running.config
        self._running.note_fixed(config)
        if config.log != before.log:
            setup_log(config.log.level, config.log.format)
        self._slots.resize(config.interhuman.max_sessions)
        self._service.retry_now.trigger()  # the broker's password may have been mended
        await self._expect(frozenset(config.cameras) - frozenset(before.cameras))
        change = await self._fleet.apply(config.cameras, self._new_context(config))
        self._running.replace(loaded)
        self._home_assistant.announce(self._running.config)
        await self._keep_spools(config)
        for name in [name for name in before.cameras if name not in config.cameras]:
            self._coverage.forget(name)
            self._publisher.remove(name)
        self._service.stats.remove_others(config.cameras)
        self._service.clear_stale_topics()
        log.info("configuration reloaded", stopped=change.stopped, started=change.started)
        return change._replace(needs_restart=self._running.needs_restart)

    def reloaded(self, reload: ReloadInfo) -> None:
        """Publish how a reload ended."""
        self._running.last_reload = reload
        self._publish_info()

    def _publish_info(self) -> None:
        self._service.publish(self._topics.bridge_info(health.info(self._running, self._boot_id)))

    async def _expect(self, added: frozenset[str]) -> None:
        """Wait for the pauses that the broker retains for cameras that are about to be added: they begin paused."""
        self._running.expected = added
        if added and self._running.config.mqtt.requests == "all":
            await self._service.receive_levels([*map(self._parser.pause_topic, sorted(added))])

    def _new_context(self, config: Config) -> CameraContext:
        runtime = state_dir.find_runtime(state_dir.find())
        return CameraContext(
            box=self._running.config.box.id,
            server=Server(config.interhuman.url, config.interhuman.ca_file, loader.cloud_proxy(config.interhuman)),
            chunk_s=config.interhuman.chunk,
            redact=frozenset(config.privacy.redact),
            slots=self._slots,
            accepted=self._accepted,
            coverage=self._coverage,
            policy=self._policy,
            clock=self._clock,
            spools=self._spools,
            publisher=self._publisher,
            heartbeats=self._heartbeats,
            program=self._stop_signals,
            bugs=self._bugs,
            starts=self._starts,
            fork_server=self._fork_server,
            browsers=runtime / state_dir.BROWSERS if runtime is not None else None,
        )

    def _new_handlers(self) -> CommandHandlers:
        snapshots = SnapshotHandler(self._fleet, self._topics, self._publisher, self._service)
        forgetting = ForgetHandler(self._publisher, self._spools)
        return CommandHandlers(self._fleet, self._policy, snapshots, forgetting, self._reloader, self._running)

    def _new_unix_socket(self) -> UnixSocketServer:
        state = state_dir.find()
        folders = [folder for folder in (state, state_dir.find_runtime(state)) if folder is not None]
        box = self._running.config.box.id
        return UnixSocketServer(folders, box, self._running, self._dispatcher, self._heartbeats)
