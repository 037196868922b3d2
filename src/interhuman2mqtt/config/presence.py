"""Whether the files and variables that a configuration names are there, and who may read them; reads, never writes.

The service itself starts without them: a camera whose password is missing is `refused`, and so on.
"""

from importlib.util import find_spec
from pathlib import Path

from interhuman2mqtt.config import secrets, urls
from interhuman2mqtt.config.effective import our_cameras
from interhuman2mqtt.config.keys import SecretRef
from interhuman2mqtt.config.problems import KeyPath, Place, Report
from interhuman2mqtt.config.tables import Entries

EXTRA = "prometheus_client"
NEEDS_EXTRA = "needs prometheus-client, which is not installed: pip install 'interhuman2mqtt[metrics]'"
FILE_KEYS = ("ca_file", "cert_file", "key_file")


def check_files(entries: Entries, report: Report) -> None:
    """All that this box needs, reported where it is named; what only other boxes need is elsewhere."""
    for path in dict.fromkeys([("mqtt", "password"), *_of_cameras(entries)]):
        if path in entries and isinstance(entries[path].value, SecretRef):
            _check_secret(entries[path].value, path, entries[path].place, report)
    for path, (value, place) in entries.items():
        if path[-1] in FILE_KEYS and isinstance(value, str):
            _check_file(value, path, place, report)
    path = ("metrics", "listen")
    if path in entries and not has_extra():
        report.warning(entries[path].place, path, f"{NEEDS_EXTRA}; on this machine, at least")


def has_extra() -> bool:
    """Whether what `[metrics]` needs is installed."""
    return find_spec(EXTRA) is not None


def _of_cameras(entries: Entries) -> list[KeyPath]:
    """Where the secrets of this box's cameras are named."""
    ours = our_cameras(entries).values()
    keys = [camera.path("api_key") for camera in ours]
    passwords = [camera.path("password") for camera in ours if urls.is_network(str(camera.value("source")))]
    return [path for path in (*keys, *passwords) if path]


def _check_secret(ref: SecretRef, path: KeyPath, place: Place, report: Report) -> None:
    for severity, message in secrets.inspect(ref):
        report.add(severity, place, path, message)


def _check_file(file: str, path: KeyPath, place: Place, report: Report) -> None:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except PermissionError:
        report.warning(place, path, f"file {file} may not be read by you; make sure that the service may")
    except OSError as error:
        report.error(place, path, f"file {file}: {error.strerror}")
    if path[-1] == "key_file" and secrets.readable_by_everyone(file):
        report.warning(place, path, secrets.too_open(file))
