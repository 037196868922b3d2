"""Validation across keys, and of the files that a configuration names; reads, never writes.

A value that was reported already is INVALID, and what would follow from it is not reported. Missing secrets are no
errors: a camera whose password is missing is `refused`, and the service starts without it.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from interhuman2mqtt.config import secrets, urls, value_types
from interhuman2mqtt.config.merge import Layers, camera_layers, camera_names, our_cameras, runs_on, section
from interhuman2mqtt.config.model import (
    AUDIO_MODELS,
    MODELS,
    PCM_RATES,
    STANDALONE_MIN,
    Framing,
    Interhuman,
    Mqtt,
    SecretRef,
)
from interhuman2mqtt.config.parser import INVALID, TABLE, Entries
from interhuman2mqtt.config.problems import BadValueError, KeyPath, Location, ProblemReport, did_you_mean, dotted, shown
from interhuman2mqtt.config.units import show_duration

EXTRA = "prometheus_client"
NEEDS_EXTRA = "needs prometheus-client, which is not installed: pip install 'interhuman2mqtt[metrics]'"
FILE_KEYS = ("ca_file", "cert_file", "key_file")


def check_files(entries: Entries, report: ProblemReport) -> None:
    """Check all that this box needs, reported where it is named; what only other boxes need is elsewhere."""
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
    """Return whether what `[metrics]` needs is installed."""
    return find_spec(EXTRA) is not None


def _of_cameras(entries: Entries) -> list[KeyPath]:
    """Yield where the secrets of this box's cameras are named."""
    ours = our_cameras(entries).values()
    keys = [camera.path("api_key") for camera in ours]
    passwords = [camera.path("password") for camera in ours if urls.is_network(str(camera.value("source")))]
    return [path for path in (*keys, *passwords) if path]


def _check_secret(ref: SecretRef, path: KeyPath, place: Location, report: ProblemReport) -> None:
    for severity, message in secrets.inspect(ref):
        report.add(severity, place, path, message)


def _check_file(file: str, path: KeyPath, place: Location, report: ProblemReport) -> None:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except PermissionError:
        report.warning(place, path, f"file {file} may not be read by you; make sure that the service may")
    except OSError as error:
        report.error(place, path, f"file {file}: {error.strerror}")
    if path[-1] == "key_file" and secrets.readable_by_everyone(file):
        report.warning(place, path, secrets.too_open(file))


def check_rules(entries: Entries, report: ProblemReport) -> None:
    """Check all rules, over what the files say together; `entries` holds `box.id`."""
    interhuman = section(entries, "interhuman", Interhuman)
    cameras = {name: camera_layers(entries, name) for name in camera_names(entries)}
    _check_mqtt(section(entries, "mqtt", Mqtt), report)
    _check_model(entries, interhuman, report)
    _check_profiles(entries, report)
    for name, camera in cameras.items():
        _check_camera(name, camera, interhuman, report)
    _check_api_key(interhuman, cameras, report)
    _check_box(entries, cameras, report)


def _check_camera(name: str, camera: Layers, interhuman: Layers, report: ProblemReport) -> None:
    try:
        value_types.check_name(name)
    except BadValueError as error:
        report.error(camera.entries["cameras", name].place, ("cameras", name), str(error))
    _check_source(name, camera, report)
    if camera.valid("source", "microphone", "model", "audio", "framing"):
        _check_audio(camera, report)
    _check_times(camera, interhuman, report)
    if camera.value("boxes") == ():
        _blame(camera, "boxes", "names no box; leave it out for all of them, or write enabled = false", report)


def _check_source(name: str, camera: Layers, report: ProblemReport) -> None:
    source = camera.value("source")
    if source is None:
        place = camera.entries["cameras", name].place
        report.error(place, ("cameras", name, "source"), 'is missing; write source = "rtsp://HOST/PATH" or another')
    if not isinstance(source, str):
        return
    if urls.is_network(source):
        _needs(camera, "password", "username", report)
    else:
        for key in ("username", "password"):
            if ("cameras", name, key) in camera.entries:
                _blame(camera, key, "is for cameras on the network only", report)


def _check_audio(camera: Layers, report: ProblemReport) -> None:
    """Check what goes with a model that analyses audio alone, and what goes without one."""
    audio, microphone = camera.value("audio"), camera.value("microphone")
    source = str(camera.value("source") or "")
    if camera.value("model") not in AUDIO_MODELS:
        if source.startswith("alsa:"):
            message = 'is a microphone: it needs model = "inter-2-audio", or a camera here and microphone beside it'
            _blame(camera, "source", message, report)
        if audio in PCM_RATES:
            message = f'{shown(audio)} is for model = "inter-2-audio" only; the others take no audio without video'
            _blame(camera, "audio", message, report)
        return
    if audio in {"none", "silence"}:
        _blame(camera, "audio", f'{shown(audio)} leaves model = "inter-2-audio" nothing to analyse', report)
    if audio in PCM_RATES and camera.value("framing") is Framing.STANDALONE:
        _blame(camera, "framing", f'"standalone" makes files, and audio = {shown(audio)} has none', report)
    if source.startswith("alsa:") and microphone is not None:
        _blame(camera, "microphone", "the source is a microphone itself; leave one of them out", report)
    if source.startswith("v4l2:") and microphone is None:
        message = 'has no audio for model = "inter-2-audio"; write source = "alsa:hw:1,0", or microphone beside it'
        _blame(camera, "source", message, report)


def _check_times(camera: Layers, interhuman: Layers, report: ProblemReport) -> None:
    buffer, replay, chunk = camera.value("buffer"), camera.value("replay"), interhuman.value("chunk")
    if camera.valid("buffer", "replay") and replay >= buffer:
        key = "replay" if camera.path("replay") else "buffer"
        _blame(camera, key, f"replay ({show_duration(replay)}) must be below buffer ({show_duration(buffer)})", report)
    if interhuman.valid("chunk") and camera.valid("buffer") and chunk >= buffer:
        _blame(camera, "buffer", f"must be above interhuman.chunk ({show_duration(chunk)})", report)
    if interhuman.valid("chunk") and camera.value("framing") is Framing.STANDALONE and chunk < STANDALONE_MIN:
        message = f'"standalone" needs interhuman.chunk to be at least 3s, it is {show_duration(chunk)}'
        _blame(camera, "framing", message, report)


def _check_model(entries: Entries, interhuman: Layers, report: ProblemReport) -> None:
    url = interhuman.value("url")
    if not isinstance(url, str):
        return
    if not urls.is_known_path(url) and (path := interhuman.path("url")):
        message = "is no path that this version knows; it is spoken to as /v2/stream/analyze is"
        report.warning(interhuman.entries[path].place, path, message)
    for path, entry in entries.items():
        if path[-1] != "model" or not isinstance(entry.value, str):
            continue
        if urls.api_version(url) == 1:
            message = "cannot be chosen on /v1; remove it, or end interhuman.url in /v2/stream/analyze"
            report.error(entry.place, path, message)
        elif entry.value not in MODELS:
            message = f"this version does not know {shown(entry.value)}{did_you_mean(entry.value, MODELS)}"
            report.warning(entry.place, path, message)


def _check_profiles(entries: Entries, report: ProblemReport) -> None:
    known = [str(path[1]) for path, entry in entries.items() if path[0] == "profiles" and entry.value is TABLE]
    for path, (value, place) in entries.items():
        if path[-1] != "profile" or not isinstance(value, str):
            continue
        if path[0] == "profiles":
            report.error(place, path, "a profile cannot have a profile itself")
        elif value not in known:
            hint = did_you_mean(value, known) or f"; open it with [{dotted(('profiles', value))}]"
            report.error(place, path, f"there is no profile {shown(value)}{hint}")


def _check_api_key(interhuman: Layers, cameras: Mapping[str, Layers], report: ProblemReport) -> None:
    """Check that there is one, unless the cloud is a server on this machine, which may do without or add it."""
    url = interhuman.value("url")
    if not isinstance(url, str) or urls.is_loopback(url):
        return
    lacking = [name for name, camera in cameras.items() if camera.value("enabled") and camera.value("api_key") is None]
    if lacking:
        place = interhuman.entries.get(("interhuman",)) or interhuman.entries["cameras", lacking[0]]
        message = 'is missing; write api_key = { credential = "NAME" }, or { file = "/PATH" }'
        report.error(place.place, ("interhuman", "api_key"), message)


def _check_mqtt(mqtt: Layers, report: ProblemReport) -> None:
    _needs(mqtt, "password", "username", report)
    _needs(mqtt, "cert_file", "key_file", report)
    _needs(mqtt, "key_file", "cert_file", report)
    base = mqtt.value("base_topic")
    if base is not INVALID and base == mqtt.value("discovery_prefix"):
        key = "base_topic" if mqtt.path("base_topic") else "discovery_prefix"
        _blame(mqtt, key, "base_topic and discovery_prefix must not be the same", report)
    url = mqtt.value("url")
    if not isinstance(url, str) or url.startswith("mqtts:"):
        return
    for key in ("ca_file", "cert_file"):
        if path := mqtt.path(key):
            report.warning(mqtt.entries[path].place, path, "has no effect: mqtt.url does not begin with mqtts://")
    if (path := mqtt.path("url")) and urlsplit(url).port == 8883:
        report.warning(mqtt.entries[path].place, path, "port 8883 is used for TLS; did you mean mqtts://?")


def _check_box(entries: Entries, cameras: Mapping[str, Layers], report: ProblemReport) -> None:
    if report.errors:  # what is meant is not clear yet
        return
    box, place = entries["box", "id"]
    if not cameras:
        report.warning(Location(None, None), ("cameras",), "there is none: nothing will be streamed")
    elif not any(runs_on(camera, box) for camera in cameras.values()):
        report.warning(place, ("box", "id"), f'no camera is enabled for box "{box}": see their keys boxes and enabled')


def _needs(layers: Layers, key: str, other: str, report: ProblemReport) -> None:
    """Check a key that makes sense only beside another."""
    if layers.path(key) and not layers.path(other):
        _blame(layers, key, f"needs {other} as well", report)


def _blame(layers: Layers, key: str, message: str, report: ProblemReport) -> None:
    """Report a value where it was decided: a profile's mistake is mended in the profile."""
    path = layers.path(key) or layers.tables[0]
    report.error(layers.entries[path].place, path, message)
