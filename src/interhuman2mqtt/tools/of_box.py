"""What `doctor` looks at on this machine itself: secrets, the folder of the state, the clock."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interhuman2mqtt.config import Config, SecretRef, secrets, urls
from interhuman2mqtt.config.problems import Severity
from interhuman2mqtt.errors import Refused
from interhuman2mqtt.events import Clock, utc_now
from interhuman2mqtt.runtime import clock, state_dir
from interhuman2mqtt.tools.checks import Check, down, failed, ok, skipped, warning


def refs(config: Config) -> dict[str, SecretRef]:
    """Every secret of the configuration by the key that names it; the same one is named once."""
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
    """Whether only the service itself is given a secret."""
    return ref.credential is not None and not os.environ.get("CREDENTIALS_DIRECTORY")


def check_secret(key: str, ref: SecretRef) -> Check:
    """Whether a secret is there for us, and for nobody else."""
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
    doubts = [said for severity, said in secrets.inspect(ref) if severity is Severity.WARNING]
    if ref.file is not None and secrets.readable_by_everyone(ref.file):
        return failed(name, f"{ref.file} is readable by everyone", f"chmod o-r {ref.file}")
    if doubts:
        return warning(name, "it is there", doubts[0])
    return ok(name, "it is there, and not for everyone")


def check_state(config: Config) -> Iterator[Check]:
    """Whether events, pauses and budgets can be written down, and for how long."""
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
    """Whether times, schedules and certificates can be relied upon."""
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
