"""How each fault is injected into a testbed, and undone."""

import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import trio

from integration.helpers import BOX
from soak import process_monitor
from soak.fault_plan import PlannedFault
from soak.spans import Span
from soak.testbed import Paused, Testbed

Action = Callable[[Testbed, PlannedFault], Awaitable[str]]
"""Returns once the fault is over; the result says why it could not be injected, empty: it was."""
THROTTLE = 6000.0
"""Bytes a second of one connection: less than half of what a camera of ours sends."""
PAGES = (1, 2, 3, 5, 8)
PAGE = 4096
RESUME_S = 60.0


class FaultRecord(NamedTuple):
    """A fault that happened."""

    planned: PlannedFault
    began: float
    """time.time(), as is `ended`"""
    ended: float
    note: str
    """Why it could not be done; empty: it was."""


class FaultRunner:
    """Injects the faults of a plan, each in its own task."""

    def __init__(self, testbed: Testbed) -> None:
        self.done: list[FaultRecord] = []
        self.began = time.time()
        """The plan's second 0."""
        self.under_way = 0
        self._testbed = testbed

    async def run(self, planned: PlannedFault) -> None:
        """One fault from its beginning to its end."""
        began = time.time()
        self.under_way += 1
        try:
            note = await FAULTS[planned.kind](self._testbed, planned)
        finally:
            self.under_way -= 1
        self.done.append(FaultRecord(planned, began, time.time(), note))

    def affects(self, camera: str, start: float, end: float) -> bool:
        """Whether a fault of this camera was under way, or begun, between two times in the past."""
        return any(done.planned.target == camera and done.began < end and start < done.ended for done in self.done)

    def is_quiet(self, start: float, end: float) -> bool:
        """Whether no fault was under way, or begun, between two times in the past."""
        return not any(done.began < end and start < done.ended for done in self.done)

    def faults(self, kind: str, target: str | None = None) -> list[FaultRecord]:
        """The faults of one kind, on any target or this one, that were really done."""
        return [
            done
            for done in self.done
            if done.planned.kind == kind and not done.note and target in {None, done.planned.target}
        ]


async def camera_stop(testbed: Testbed, planned: PlannedFault) -> str:
    """The camera loses its power."""
    server = testbed.rtsp_cameras[planned.target].server
    await server.stop()
    await trio.sleep(planned.duration)
    await server.start()
    return ""


async def camera_freeze(testbed: Testbed, planned: PlannedFault) -> str:
    """The camera hangs."""
    server = testbed.rtsp_cameras[planned.target].server
    server.freeze()
    await trio.sleep(planned.duration)
    server.thaw()
    return ""


async def camera_cable(testbed: Testbed, planned: PlannedFault) -> str:
    """The camera's cable is pulled."""
    cable = testbed.rtsp_cameras[planned.target].cable
    cable.cut()
    await trio.sleep(planned.duration)
    cable.mend()
    return ""


async def camera_mute(testbed: Testbed, planned: PlannedFault) -> str:
    """One of the camera's tracks falls silent."""
    server = testbed.rtsp_cameras[planned.target].server
    track: Literal["video", "audio"] = "video" if planned.kind.endswith("video") else "audio"
    await server.mute(track)
    await trio.sleep(planned.duration)
    await server.unmute(track)
    return ""


async def worker_signal(testbed: Testbed, planned: PlannedFault) -> str:
    """The capture process gets a signal; one that was stopped may go on later, if it still exists."""
    number = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV, "stop": signal.SIGSTOP}[planned.kind.split("-")[1]]
    daemon = testbed.daemon.pid
    worker = None if daemon is None else process_monitor.worker_of(daemon, testbed.trace(planned.target))
    if worker is None:
        return "there was no capture process of it"
    with suppress(ProcessLookupError):
        os.kill(worker, number)
    await trio.sleep(planned.duration)
    if number is signal.SIGSTOP and worker in process_monitor.orphans(testbed.mark, None):
        os.kill(worker, signal.SIGCONT)
    return ""


async def pause(testbed: Testbed, planned: PlannedFault) -> str:
    """Somebody pauses a camera, and resumes it."""
    if not await testbed.command("pause", planned.target):
        return "the command `pause` failed"
    paused_at = time.time()
    await trio.sleep(planned.duration)
    resumed, held_until = False, paused_at
    with trio.move_on_after(RESUME_S):
        while not resumed:  # one that is written down cannot be lifted while the disk is read-only
            held_until = time.time()
            resumed = await testbed.command("resume", planned.target)
    testbed.paused.append(Paused(planned.target, Span(paused_at, held_until)))
    return "" if resumed else "the command `resume` failed"


async def request_restart(testbed: Testbed, planned: PlannedFault) -> str:
    """Somebody asks for the restart of a camera, by MQTT."""
    if not testbed.subscriber.is_up:
        return "the broker was away"
    testbed.subscriber.publish(f"interhuman/{BOX}/bridge/request/restart", json.dumps({"camera": planned.target}))
    await trio.lowlevel.checkpoint()
    return ""


async def uplink_reset(testbed: Testbed, planned: PlannedFault) -> str:
    """All connections to the cloud are reset."""
    testbed.uplink.reset()
    await trio.lowlevel.checkpoint()
    return ""


async def uplink_cut(testbed: Testbed, planned: PlannedFault) -> str:
    """The cable to the cloud is pulled."""
    testbed.uplink.cut()
    await trio.sleep(planned.duration)
    testbed.uplink.mend()
    return ""


async def uplink_refused(testbed: Testbed, planned: PlannedFault) -> str:
    """The way to the cloud breaks, and nobody answers at its address."""
    await testbed.uplink.refuse()
    testbed.uplink.reset()
    await trio.sleep(planned.duration)
    await testbed.uplink.accept()
    return ""


async def uplink_throttled(testbed: Testbed, planned: PlannedFault) -> str:
    """The uplink carries less than the cameras send."""
    testbed.uplink.rate = THROTTLE
    await trio.sleep(planned.duration)
    testbed.uplink.rate = None
    return ""


async def cloud_restart(testbed: Testbed, planned: PlannedFault) -> str:
    """The cloud goes down, and comes again."""
    await restart_cloud(testbed, planned.duration)
    return ""


async def cloud_faults(testbed: Testbed, planned: PlannedFault) -> str:
    """The cloud misbehaves for a while."""
    await restart_cloud(testbed, 0.0, "--fault", planned.target)
    await trio.sleep(planned.duration)
    await restart_cloud(testbed, 0.0)
    return ""


async def cloud_gateway(testbed: Testbed, planned: PlannedFault) -> str:
    """The cloud is deployed anew: for some seconds a gateway answers in its place."""
    await restart_cloud(testbed, 0.0, "--fault", planned.target)
    await trio.sleep(planned.duration)
    return ""


async def restart_cloud(testbed: Testbed, pause_s: float, *options: str) -> None:
    """Kill the simulator, and start it again."""
    await testbed.cloud.kill()
    testbed.archive.on_killed()
    await trio.sleep(pause_s)
    await testbed.cloud.start(*options)


async def broker_restart(testbed: Testbed, planned: PlannedFault) -> str:
    """The broker goes down, and comes again without its store."""
    await testbed.broker.kill()
    await trio.sleep(planned.duration)
    await testbed.broker.start()
    return ""


async def broker_freeze(testbed: Testbed, planned: PlannedFault) -> str:
    """The broker hangs."""
    testbed.broker.freeze()
    await trio.sleep(planned.duration)
    testbed.broker.thaw()
    return ""


async def broker_cable(testbed: Testbed, planned: PlannedFault) -> str:
    """The cable to the broker is pulled."""
    testbed.mqtt.cut()
    await trio.sleep(planned.duration)
    testbed.mqtt.mend()
    return ""


async def broker_reset(testbed: Testbed, planned: PlannedFault) -> str:
    """The connection to the broker is reset."""
    testbed.mqtt.reset()
    await trio.lowlevel.checkpoint()
    return ""


async def broker_quota(testbed: Testbed, planned: PlannedFault) -> str:
    """The broker answers all that it is sent by `quota exceeded`."""
    testbed.quota.is_spent = True
    await trio.sleep(planned.duration)
    testbed.quota.is_spent = False
    return ""


async def daemon_restart(testbed: Testbed, planned: PlannedFault) -> str:
    """The daemon is killed or stopped, and started again."""
    if not await testbed.daemon.stop(signal.SIGTERM if planned.kind == "daemon-term" else signal.SIGKILL):
        return "it was being stopped already"
    if planned.kind == "daemon-damage":
        damage(testbed.daemon.box.folder / "outbox.sqlite")
    await trio.sleep(planned.duration)
    await testbed.daemon.start()
    return ""


def damage(store: Path) -> None:
    """Overwrite some pages, as a dying SD card does."""
    for file in (store, store.with_name(f"{store.name}-wal")):
        if file.exists():
            with file.open("r+b") as opened:
                for page in PAGES:
                    opened.seek(page * PAGE // 2)
                    opened.write(os.urandom(PAGE // 8))


async def clock_set(testbed: Testbed, planned: PlannedFault) -> str:
    """The wall clock of the box is set, and set right again."""
    testbed.wall.step_to(float(planned.target))
    await trio.sleep(planned.duration)
    testbed.wall.step_to(0.0)
    return ""


async def log_unread(testbed: Testbed, planned: PlannedFault) -> str:
    """The reader of the log hangs: the daemon goes on all the same, and ends on SIGTERM."""
    process = testbed.daemon.box.process
    process.leave_unread()
    try:
        await trio.sleep(planned.duration)
    finally:
        process.read_on()
    return ""


async def state_read_only(testbed: Testbed, planned: PlannedFault) -> str:
    """The disk of the pauses becomes read-only: those that are made meanwhile take effect all the same."""
    folder = str(testbed.daemon.box.folder / "paused")
    if not await _mount("--bind", folder, folder):
        return "there is no mounting here"
    try:
        await _mount("-o", "remount,bind,ro", folder)
        await trio.sleep(planned.duration)
    finally:
        with trio.CancelScope(shield=True):
            await trio.run_process(["umount", "--lazy", folder], check=False)
    return ""


async def _mount(*arguments: str) -> bool:
    return (await trio.run_process(["mount", *arguments], check=False, capture_stderr=True)).returncode == 0


async def reload_good(testbed: Testbed, planned: PlannedFault) -> str:
    """The file is changed and changed back: a camera comes, goes, or is another."""
    how = {"add": "more", "remove": "without", "change": "changed"}[planned.kind.removeprefix("reload-")]
    testbed.configure(**{how: planned.target})
    await testbed.daemon.reload()
    await trio.sleep(planned.duration)
    testbed.configure()
    await testbed.daemon.reload()
    return ""


async def reload_broken(testbed: Testbed, planned: PlannedFault) -> str:
    """Somebody saves a file with an error in it, and mends it."""
    testbed.break_file()
    await testbed.daemon.reload()
    await trio.sleep(planned.duration)
    testbed.configure()
    await testbed.daemon.reload()
    return ""


FAULTS: dict[str, Action] = {
    "camera-stop": camera_stop,
    "camera-freeze": camera_freeze,
    "camera-cable": camera_cable,
    "camera-mute-video": camera_mute,
    "camera-mute-audio": camera_mute,
    "worker-kill": worker_signal,
    "worker-stop": worker_signal,
    "worker-segv": worker_signal,
    "pause": pause,
    "request-restart": request_restart,
    "uplink-reset": uplink_reset,
    "uplink-cut": uplink_cut,
    "uplink-refused": uplink_refused,
    "uplink-throttled": uplink_throttled,
    "cloud-restart": cloud_restart,
    "cloud-faults": cloud_faults,
    "cloud-gateway": cloud_gateway,
    "broker-restart": broker_restart,
    "broker-freeze": broker_freeze,
    "broker-cable": broker_cable,
    "broker-reset": broker_reset,
    "broker-quota": broker_quota,
    "daemon-kill": daemon_restart,
    "daemon-term": daemon_restart,
    "daemon-damage": daemon_restart,
    "reload-add": reload_good,
    "reload-remove": reload_good,
    "reload-change": reload_good,
    "reload-broken": reload_broken,
    "log-unread": log_unread,
    "state-read-only": state_read_only,
    "clock-set": clock_set,
}
