"""The command `doctor`: the whole chain from the cameras to the broker, each link with its remedy where it fails."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import trio

from interhuman2mqtt import exit_codes
from interhuman2mqtt.cameras.capture_task import open_command, opened_source
from interhuman2mqtt.capture import alsa, ipc, v4l2
from interhuman2mqtt.commands import doctor_broker, doctor_checks, doctor_upload, restart
from interhuman2mqtt.commands.device_holders import holders
from interhuman2mqtt.commands.doctor_report import (
    Check,
    down,
    failed,
    is_well,
    ok,
    print_checks,
    remedy,
    skipped,
    warning,
)
from interhuman2mqtt.commands.measure import measure
from interhuman2mqtt.commands.pause import why_paused
from interhuman2mqtt.config import CameraConfig, Config, loader, secrets, urls
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import ConfigFileError, Severity
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime import log, state_dir

CAMERAS_AT_ONCE = 3
ASK_S = 2.0

Look = Callable[[], Awaitable[list[Check]]]


def doctor_command(
    arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO, *, as_json: bool = False
) -> int:
    """Look at everything, and say how it is; 0, or 69 where anything failed."""
    log.setup("critical")
    checks, config = _check_configuration(arguments, box)
    if config is not None:
        secrets.use_credstore()
        checks += [doctor_checks.check_secret(key, ref) for key, ref in doctor_checks.refs(config).items()]
        checks += [*doctor_checks.check_state(config), doctor_checks.check_clock()]
        checks += trio.run(_check_all, config, _progress(err))
    print_checks(checks, out, as_json=as_json)
    return 0 if is_well(checks) else exit_codes.UNAVAILABLE


def _check_configuration(arguments: Sequence[Path], box: str | None) -> tuple[list[Check], Config | None]:
    try:
        paths = configfile.find(arguments)
        problems = configfile.check(paths, box)
        config = configfile.load(paths, box)
    except ConfigFileError as error:
        return [failed("configuration", str(error), "see `interhuman2mqtt check`")], None
    errors = [str(problem) for problem in problems if problem.severity is Severity.ERROR]
    if errors:  # with which the service would start all the same, without what they are about
        return [failed("configuration", "; ".join(errors), "see `interhuman2mqtt check`")], config
    cameras = ", ".join(config.cameras) or "no camera"
    return [ok("configuration", f"{', '.join(map(str, paths))}: box {config.box.id} runs {cameras}")], config


async def _check_all(config: Config, progress: Callable[[str], None]) -> list[Check]:
    """Check what may take its time side by side; report it in the order of the chain."""
    way = loader.cloud_proxy(config.interhuman)
    cameras = trio.CapacityLimiter(CAMERAS_AT_ONCE)
    looks: dict[str, Look] = {
        **{
            f"DNS {who}": partial(_alone, doctor_checks.check_name, who, host)
            for who, host in doctor_checks.hosts(config, way).items()
        },
        "cloud": partial(doctor_checks.check_cloud, config, way),
        "uploads": partial(doctor_upload.check_uploads, config, way),
        "broker": partial(doctor_broker.check_broker, config),
        **{name: partial(_alone, _check_camera, camera, cameras) for name, camera in config.cameras.items()},
    }
    found: dict[str, list[Check]] = {}

    async def look(name: str) -> None:
        found[name] = await looks[name]()
        progress(", ".join(other for other in looks if other not in found))

    async with trio.open_nursery() as nursery:
        progress(", ".join(looks))
        for name in looks:
            nursery.start_soon(look, name)
    return [check for name in looks for check in found[name]]


async def _alone(check: Callable[..., Awaitable[Check]], *about: object) -> list[Check]:
    return [await check(*about)]


async def _check_camera(camera: CameraConfig, places: trio.CapacityLimiter) -> Check:
    """Check whether it opens and sends a whole GOP, by the code of `probe`."""
    name = f"camera {camera.id}"
    if urls.is_browser(camera.source):
        return skipped(
            name, f"a browser is this camera once somebody opens a link of `interhuman2mqtt invite {camera.id}`"
        )
    if why := await trio.to_thread.run_sync(why_paused, camera.id):
        return skipped(name, f"not opened: {why}")
    try:
        async with places:
            measured = await measure(open_command(camera), 0.0)
    except Outage as outage:
        if outage.reason is Reason.BUSY:
            return await trio.to_thread.run_sync(busy, name, _device(opened_source(camera)), outage)
        return down(name, outage)
    if missing := measured.audio_missing:
        return await trio.to_thread.run_sync(without_sound, name, camera, missing)
    return ok(name, measured.description + (f", a key frame every {measured.gop:g} s" if measured.video else ""))


def _device(source: str) -> Path:
    """Return the file of a device that is opened by this source."""
    scheme, _, rest = source.partition(":")
    return (alsa.device_node(rest) or Path(rest)) if scheme == "alsa" else v4l2.find_device(rest)


def without_sound(name: str, camera: CameraConfig, missing: ipc.AudioFault) -> Check:
    """Return how it stands with a camera whose microphone does not open: well where the service has it. Blocks."""
    if missing.reason is Reason.BUSY and camera.microphone is not None:
        device = alsa.device_node(camera.microphone.removeprefix("alsa:"))
        if device is not None and any(holder.is_capture for holder in holders(device)) and _is_running():
            return ok(name, "it opens, and the service has its microphone open, as it should while it runs")
    outage = Outage(missing.reason, missing.detail)
    return warning(name, f"it opens, without audio: {missing.reason.value}: {missing.detail}", remedy(outage))


def busy(name: str, device: Path, outage: Outage) -> Check:
    """Return how it stands with a device that is in use: well where the service has it open. Blocks."""
    who = list(holders(device))
    if any(holder.is_capture for holder in who) and _is_running():
        return ok(name, "the service has the device open, as it should while it runs")
    if not who:
        return down(name, Outage(Reason.BUSY, f"{outage.detail}; which one, root alone may see"))
    return down(name, Outage(Reason.BUSY, f"{device} is in use by {', '.join(map(str, who))}"))


def _is_running() -> bool:
    """Return whether the service runs here."""
    try:
        restart.ask(state_dir.find(), {"command": ""}, ASK_S)
    except restart.NotAsked:
        return False
    return True


def _progress(err: TextIO) -> Callable[[str], None]:
    """Print what is still being checked, on a terminal."""

    def print_rest(rest: str) -> None:
        if err.isatty():
            err.write(f"\r\x1b[K{f'looking at: {rest}'[:78] if rest else ''}")
            err.flush()

    return print_rest
