"""How each fault is done to a site, and undone."""

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
from soak import watch
from soak.site import Paused, Site
from soak.spans import Span
from soak.storm import Happening

Do = Callable[[Site, Happening], Awaitable[str]]
"""Returns once the fault is over; what it says tells why it could not be done, empty: it was."""
THROTTLE = 6000.0
"""Bytes a second of one connection: less than half of what a camera of ours sends."""
PAGES = (1, 2, 3, 5, 8)
PAGE = 4096
RESUME_S = 60.0


class Done(NamedTuple):
    """A fault that happened."""

    happening: Happening
    began: float
    """time.time(), as is `ended`"""
    ended: float
    note: str
    """Why it could not be done; empty: it was."""


class Weather:
    """Lets the faults of a plan happen, each in its own time."""

    def __init__(self, site: Site) -> None:
        self.done: list[Done] = []
        self.began = time.time()
        """The plan's second 0."""
        self.under_way = 0
        self._site = site

    async def strike(self, happening: Happening) -> None:
        """One fault from its beginning to its end."""
        began = time.time()
        self.under_way += 1
        try:
            note = await FAULTS[happening.fault](self._site, happening)
        finally:
            self.under_way -= 1
        self.done.append(Done(happening, began, time.time(), note))

    def hampers(self, camera: str, start: float, end: float) -> bool:
        """Whether a fault of this camera was under way, or begun, between two times in the past."""
        return any(done.happening.target == camera and done.began < end and start < done.ended for done in self.done)

    def is_calm(self, start: float, end: float) -> bool:
        """Whether no fault was under way, or begun, between two times in the past."""
        return not any(done.began < end and start < done.ended for done in self.done)

    def faults(self, kind: str, target: str | None = None) -> list[Done]:
        """The faults of one kind, on any target or this one, that were really done."""
        return [
            done
            for done in self.done
            if done.happening.fault == kind and not done.note and target in {None, done.happening.target}
        ]


async def camera_stop(site: Site, happening: Happening) -> str:
    """The camera loses its power."""
    server = site.spots[happening.target].server
    await server.stop()
    await trio.sleep(happening.duration)
    await server.start()
    return ""


async def camera_freeze(site: Site, happening: Happening) -> str:
    """The camera hangs."""
    server = site.spots[happening.target].server
    server.freeze()
    await trio.sleep(happening.duration)
    server.thaw()
    return ""


async def camera_cable(site: Site, happening: Happening) -> str:
    """The camera's cable is pulled."""
    cable = site.spots[happening.target].cable
    cable.cut()
    await trio.sleep(happening.duration)
    cable.mend()
    return ""


async def camera_mute(site: Site, happening: Happening) -> str:
    """One of the camera's tracks falls silent."""
    server = site.spots[happening.target].server
    track: Literal["video", "audio"] = "video" if happening.fault.endswith("video") else "audio"
    await server.mute(track)
    await trio.sleep(happening.duration)
    await server.unmute(track)
    return ""


async def worker_signal(site: Site, happening: Happening) -> str:
    """The capture process gets a signal; one that was stopped may go on later, if it still exists."""
    number = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV, "stop": signal.SIGSTOP}[happening.fault.split("-")[1]]
    daemon = site.daemon.pid
    worker = None if daemon is None else watch.worker_of(daemon, site.trace(happening.target))
    if worker is None:
        return "there was no capture process of it"
    with suppress(ProcessLookupError):
        os.kill(worker, number)
    await trio.sleep(happening.duration)
    if number is signal.SIGSTOP and worker in watch.orphans(site.mark, None):
        os.kill(worker, signal.SIGCONT)
    return ""


async def pause(site: Site, happening: Happening) -> str:
    """Somebody pauses a camera, and resumes it."""
    if not await site.command("pause", happening.target):
        return "the command `pause` failed"
    paused_at = time.time()
    await trio.sleep(happening.duration)
    resumed, held_until = False, paused_at
    with trio.move_on_after(RESUME_S):
        while not resumed:  # one that is written down cannot be lifted while the disk is read-only
            held_until = time.time()
            resumed = await site.command("resume", happening.target)
    site.paused.append(Paused(happening.target, Span(paused_at, held_until)))
    return "" if resumed else "the command `resume` failed"


async def request_restart(site: Site, happening: Happening) -> str:
    """Somebody asks for the restart of a camera, by MQTT."""
    if not site.listener.is_up:
        return "the broker was away"
    site.listener.say(f"interhuman/{BOX}/bridge/request/restart", json.dumps({"camera": happening.target}))
    await trio.lowlevel.checkpoint()
    return ""


async def uplink_reset(site: Site, happening: Happening) -> str:
    """All connections to the cloud are reset."""
    site.uplink.reset()
    await trio.lowlevel.checkpoint()
    return ""


async def uplink_cut(site: Site, happening: Happening) -> str:
    """The cable to the cloud is pulled."""
    site.uplink.cut()
    await trio.sleep(happening.duration)
    site.uplink.mend()
    return ""


async def uplink_refused(site: Site, happening: Happening) -> str:
    """The way to the cloud breaks, and nobody answers at its address."""
    await site.uplink.refuse()
    site.uplink.reset()
    await trio.sleep(happening.duration)
    await site.uplink.accept()
    return ""


async def uplink_throttled(site: Site, happening: Happening) -> str:
    """The uplink carries less than the cameras send."""
    site.uplink.rate = THROTTLE
    await trio.sleep(happening.duration)
    site.uplink.rate = None
    return ""


async def cloud_restart(site: Site, happening: Happening) -> str:
    """The cloud goes down, and comes again."""
    await restart_cloud(site, happening.duration)
    return ""


async def cloud_faults(site: Site, happening: Happening) -> str:
    """The cloud misbehaves for a while."""
    await restart_cloud(site, 0.0, "--fault", happening.target)
    await trio.sleep(happening.duration)
    await restart_cloud(site, 0.0)
    return ""


async def cloud_gateway(site: Site, happening: Happening) -> str:
    """The cloud is deployed anew: for some seconds a gateway answers in its place."""
    await restart_cloud(site, 0.0, "--fault", happening.target)
    await trio.sleep(happening.duration)
    return ""


async def restart_cloud(site: Site, pause_s: float, *options: str) -> None:
    """Kill the simulator, and start it again."""
    await site.cloud.kill()
    site.archive.died()
    await trio.sleep(pause_s)
    await site.cloud.start(*options)


async def broker_restart(site: Site, happening: Happening) -> str:
    """The broker goes down, and comes again without its store."""
    await site.broker.kill()
    await trio.sleep(happening.duration)
    await site.broker.start()
    return ""


async def broker_freeze(site: Site, happening: Happening) -> str:
    """The broker hangs."""
    site.broker.freeze()
    await trio.sleep(happening.duration)
    site.broker.thaw()
    return ""


async def broker_cable(site: Site, happening: Happening) -> str:
    """The cable to the broker is pulled."""
    site.mqtt.cut()
    await trio.sleep(happening.duration)
    site.mqtt.mend()
    return ""


async def broker_reset(site: Site, happening: Happening) -> str:
    """The connection to the broker is reset."""
    site.mqtt.reset()
    await trio.lowlevel.checkpoint()
    return ""


async def broker_quota(site: Site, happening: Happening) -> str:
    """The broker answers all that it is sent by `quota exceeded`."""
    site.quota.is_spent = True
    await trio.sleep(happening.duration)
    site.quota.is_spent = False
    return ""


async def daemon_restart(site: Site, happening: Happening) -> str:
    """The daemon is killed or stopped, and started again."""
    if not await site.daemon.down(signal.SIGTERM if happening.fault == "daemon-term" else signal.SIGKILL):
        return "it was being stopped already"
    if happening.fault == "daemon-damage":
        damage(site.daemon.box.folder / "outbox.sqlite")
    await trio.sleep(happening.duration)
    await site.daemon.up()
    return ""


def damage(store: Path) -> None:
    """What a dying SD card does: some pages hold something else."""
    for file in (store, store.with_name(f"{store.name}-wal")):
        if file.exists():
            with file.open("r+b") as opened:
                for page in PAGES:
                    opened.seek(page * PAGE // 2)
                    opened.write(os.urandom(PAGE // 8))


async def clock_set(site: Site, happening: Happening) -> str:
    """The wall clock of the box is set, and set right again."""
    site.wall.step_to(float(happening.target))
    await trio.sleep(happening.duration)
    site.wall.step_to(0.0)
    return ""


async def log_unread(site: Site, happening: Happening) -> str:
    """Whoever reads the log of the daemon stands still: it goes on all the same, and ends when it is told to."""
    process = site.daemon.box.process
    process.leave_unread()
    try:
        await trio.sleep(happening.duration)
    finally:
        process.read_on()
    return ""


async def state_read_only(site: Site, happening: Happening) -> str:
    """The disk of the pauses becomes read-only: those that are made meanwhile are obeyed all the same."""
    folder = str(site.daemon.box.folder / "paused")
    if not await _mount("--bind", folder, folder):
        return "there is no mounting here"
    try:
        await _mount("-o", "remount,bind,ro", folder)
        await trio.sleep(happening.duration)
    finally:
        with trio.CancelScope(shield=True):
            await trio.run_process(["umount", "--lazy", folder], check=False)
    return ""


async def _mount(*arguments: str) -> bool:
    return (await trio.run_process(["mount", *arguments], check=False, capture_stderr=True)).returncode == 0


async def reload_good(site: Site, happening: Happening) -> str:
    """The file is changed and changed back: a camera comes, goes, or is another."""
    how = {"add": "more", "remove": "without", "change": "changed"}[happening.fault.removeprefix("reload-")]
    site.configure(**{how: happening.target})
    await site.daemon.hang_up()
    await trio.sleep(happening.duration)
    site.configure()
    await site.daemon.hang_up()
    return ""


async def reload_broken(site: Site, happening: Happening) -> str:
    """Somebody saves a file with an error in it, and mends it."""
    site.break_file()
    await site.daemon.hang_up()
    await trio.sleep(happening.duration)
    site.configure()
    await site.daemon.hang_up()
    return ""


FAULTS: dict[str, Do] = {
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
