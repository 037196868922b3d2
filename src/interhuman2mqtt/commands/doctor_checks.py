"""The checks of `doctor` on this machine (secrets, state directory, clock) and on the way to the cloud.

On the way to the cloud it looks up names, speaks TLS, and opens a session as the daemon would.
"""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import trio

from interhuman2mqtt.cameras.session_task import options_of
from interhuman2mqtt.cloud.event_mapper import EventMapper, MediaOrigin
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import Anomaly, SessionLimits
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.commands.doctor_report import Check, down, failed, ok, skipped, warning
from interhuman2mqtt.config import CameraConfig, Config, SecretRef, secrets, urls
from interhuman2mqtt.config.problems import Severity
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import Clock, Event, MediaChunk, utc_now
from interhuman2mqtt.runtime import clock, state_dir
from interhuman2mqtt.runtime.clock import BoxClock


def refs(config: Config) -> dict[str, SecretRef]:
    """Return every secret of the configuration by the key that names it; the same one is named once."""
    found: dict[SecretRef, str] = {}
    for camera in config.cameras.values():
        if camera.api_key is not None:
            own = camera.api_key != config.interhuman.api_key
            found.setdefault(camera.api_key, f"cameras.{camera.id}.api_key" if own else "interhuman.api_key")
    if config.mqtt.password is not None:
        found.setdefault(config.mqtt.password, "mqtt.password")
    for camera in config.cameras.values():
        if camera.password is not None and urls.is_network(camera.source):
            found.setdefault(camera.password, f"cameras.{camera.id}.password")
    return {key: ref for ref, key in found.items()}


def is_out_of_sight(ref: SecretRef) -> bool:
    """Return whether only the service itself is given a secret."""
    return ref.credential is not None and not os.environ.get("CREDENTIALS_DIRECTORY")


def check_secret(key: str, ref: SecretRef) -> Check:
    """Check whether a secret is there for us, and for nobody else."""
    name = f"secret {key}"
    if is_out_of_sight(ref):
        return skipped(
            name,
            f"the credential {ref.credential} is given to the service alone; run this as root where it stands in "
            f"{secrets.CREDSTORE}, or in a unit that has it: systemd-run --pipe -p LoadCredential={ref.credential} ...",
        )
    try:
        secrets.read(ref, what=key)
    except Refused as refused:
        return down(name, refused)
    doubts = [message for severity, message in secrets.inspect(ref) if severity is Severity.WARNING]
    if ref.file is not None and secrets.readable_by_everyone(ref.file):
        return failed(name, f"{ref.file} is readable by everyone", f"chmod o-r {ref.file}")
    if doubts:
        return warning(name, "it is there", doubts[0])
    return ok(name, "it is there, and not for everyone")


def check_state(config: Config) -> Iterator[Check]:
    """Check whether events, pauses and budgets can be written down, and for how long."""
    folder = state_dir.find()
    outbox = Path(config.outbox.path).parent if config.outbox.path else folder
    for place in dict.fromkeys((folder, outbox)):
        yield _check_folder(place, config.outbox.max_size if place == outbox else 0)


def _check_folder(folder: Path, needs: int) -> Check:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
            free = shutil.disk_usage(folder).free
    except FileNotFoundError:
        return failed(
            "state folder",
            f"{folder} is not there",
            f"the unit's StateDirectory= makes it; without systemd: mkdir -p {folder}, owned by the service's user",
        )
    except OSError as error:
        return failed("state folder", f"{folder} cannot be written: {error.strerror}", _unwritable(folder, error))
    if free < needs:
        return warning(
            "state folder",
            f"{folder} has {free >> 20} MiB free, and the outbox may need {needs >> 20}",
            "free some space, or set outbox.max_size lower",
        )
    return ok("state folder", f"{folder} can be written, {free >> 20} MiB free")


def _unwritable(folder: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"free some space, or inodes: df -h {folder}; df -i {folder}"
        case errno.EROFS:
            return f"see dmesg why it is read-only; mount -o remount,rw $(findmnt -no TARGET -T {folder})"
    return f"run this as the service's user, or give the folder to it: chown USER {folder}"


def check_clock() -> Check:
    """Check whether times, schedules and certificates can be relied upon."""
    now = utc_now()
    if clock.is_unset(now):
        return failed(
            "clock", f"it shows {now:%Y-%m-%d %H:%M}Z, which is long over", "set it: timedatectl set-ntp true"
        )
    if clock.clock_state() is Clock.UNKNOWN:
        return warning(
            "clock",
            f"it shows {now:%Y-%m-%d %H:%M}Z, and nothing says that it is synchronised",
            "timedatectl set-ntp true, or install chrony; in a container look at the host",
        )
    return ok("clock", f"synchronised, {now:%Y-%m-%d %H:%M}Z")


DNS_S = 8.0
ON_THE_WAY = {Reason.CLOUD_UNREACHABLE, Reason.PROXY_REFUSED, Reason.TLS_FAILED}
"""What fails before the key is even looked at."""


def hosts(config: Config, proxy: str | None) -> dict[str, str]:
    """Return the host names to be looked up, by who needs them; addresses need no looking up."""
    named = {"the proxy" if proxy else "the cloud": proxy or config.interhuman.url, "the broker": config.mqtt.url}
    named |= {camera.id: camera.source for camera in config.cameras.values() if urls.is_network(camera.source)}
    found = {who: urlsplit(url).hostname or "" for who, url in named.items()}
    return {who: host for who, host in found.items() if not _is_address(host)}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def check_name(who: str, host: str) -> Check:
    """Check whether a host's name can be found."""
    try:
        with trio.fail_after(DNS_S):
            found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except trio.TooSlowError:
        return failed(
            f"DNS {who}", f"no answer about {host} in {DNS_S:g} s", "is the network up? See resolvectl status"
        )
    except OSError as error:
        what = "check the spelling, this box's DNS server (resolvectl status), and whether the network is up"
        return failed(f"DNS {who}", f"{host} cannot be found: {error.strerror or error}", what)
    return ok(f"DNS {who}", f"{host} is {found[0][4][0]}")


async def check_cloud(config: Config, proxy: str | None) -> list[Check]:
    """TLS once, and each key that there is with what is asked for by it."""
    keys = {(camera.api_key, camera.model, camera.include): camera for camera in config.cameras.values()}
    if not keys:
        return [skipped("cloud", "no camera of this box needs it")]
    checks: list[Check] = []
    for camera in keys.values():
        checks += await _check_key(config, proxy, camera)
    return list(dict.fromkeys(checks))


async def _check_key(config: Config, proxy: str | None, camera: CameraConfig) -> list[Check]:
    ref = camera.api_key
    name = "key" if ref == config.interhuman.api_key else f"key of {camera.id}"
    if ref is None:
        return [failed(name, "no api_key is configured", "set interhuman.api_key to where the key is")]
    if is_out_of_sight(ref):
        return [skipped("cloud", "the key is out of sight here"), skipped(name, "the key is out of sight here")]
    watch = _Watch()
    try:
        await _open_session(config, proxy, camera, secrets.read(ref, what=name).reveal(), watch)
    except Outage as outage:
        return _judged(config, proxy, name, outage)
    reached = ok("cloud", _reached(config, proxy))
    if watch.anomalies:
        what = "the service leaves it out; take it out of the configuration, or choose another model or version"
        return [reached, warning(name, f"accepted; {'; '.join(watch.anomalies)}", what)]
    return [reached, ok(name, f"accepted: a session may last {watch.longest / 60:g} min")]


def _judged(config: Config, proxy: str | None, name: str, outage: Outage) -> list[Check]:
    if outage.reason in ON_THE_WAY:
        return [down("cloud", outage), skipped(name, "the cloud was not reached")]
    if outage.reason is Reason.SECRET_MISSING:
        return [skipped("cloud", "there is no key to ask with"), skipped(name, "see the secret")]
    reached = ok("cloud", _reached(config, proxy))
    if outage.reason is Reason.CONCURRENCY_LIMIT:
        busy = f"accepted, and all sessions of the account are in use: {outage.detail}"
        return [reached, warning(name, busy, "the service's own sessions count as well; else see max_sessions")]
    return [reached, down(name, outage)]


def _reached(config: Config, proxy: str | None) -> str:
    how = "TLS verified" if config.interhuman.url.startswith("wss:") else "without TLS, on this machine"
    return f"{config.interhuman.url} reached, {how}{' by way of a proxy' if proxy else ''}"


async def _open_session(config: Config, proxy: str | None, camera: CameraConfig, key: str, watch: "_Watch") -> None:
    """Open a session and end it in good order, with no media in between; raises Outage."""
    server = Server(config.interhuman.url, config.interhuman.ca_file, proxy)
    interpreter = EventMapper(MediaOrigin(config.box.id, camera.id, str(uuid4())), clock=BoxClock())
    await run_session(server, key, options_of(camera), _Nothing(), mapper=interpreter, observer=watch)


class _Nothing:
    """A recording that ends before it has begun."""

    async def next_chunk(self) -> MediaChunk:
        await trio.lowlevel.checkpoint()
        return MediaChunk(payload=b"", media_start=0.0, media_end=0.0, captured_from=0.0, last=True)

    async def idle(self, _seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def finish(self) -> None:
        """Ignore the end: it is over anyway."""


class _Watch:
    """The observer of the session (`cloud.session_types.Observer`)."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.anomalies: list[str] = []

    def ready(self, limits: SessionLimits, _correlation_id: str | None) -> None:
        """Note that the key is good."""
        self.longest = limits.max_duration

    def event(self, event: Event) -> None:
        """Nobody needs it."""

    def sent(self, chunk: MediaChunk) -> None:
        """There is none."""

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        """There is none."""

    def rejected(self, chunk: MediaChunk) -> None:
        """Ignore it: nothing was sent."""

    def complained(self, outage: Outage | None) -> None:
        """Ignore it: nothing was sent that it could be about."""

    def too_short(self) -> None:
        """Ignore it: nothing was sent."""

    def on_anomaly(self, anomaly: Anomaly, detail: str) -> None:
        """Keep it: most likely a wish that is not granted."""
        if anomaly is not Anomaly.NOT_DRAINED:
            self.anomalies.append(f"{anomaly.value.replace('_', ' ')}: {detail}")
