"""The command `devices`: the cameras and microphones of this machine, ready to be pasted into the configuration."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
import tomli_w
from msgspec import Struct

from interhuman2mqtt.capture import v4l2
from interhuman2mqtt.capture.v4l2_formats import Format, NotACamera, formats
from interhuman2mqtt.capture.v4l2_mode import Wanted, choose_mode
from interhuman2mqtt.commands.alsa_devices import PROC, Microphone, microphones
from interhuman2mqtt.commands.device_holders import holders
from interhuman2mqtt.config.model import AUDIO_MODELS
from interhuman2mqtt.runtime.sanitize import clean_lines

NOTHING = """no camera and no microphone was found. What to look at:
  ls -l /dev/video* /dev/snd    is the device there? (lsusb, dmesg: does the kernel see it?)
  id                            does this user belong to the groups video and audio?
                                usermod -aG video,audio USER, and log in again
  in a container                it needs --device /dev/video0 --device /dev/snd
cameras on the network: interhuman2mqtt devices --network"""


class Roots(NamedTuple):
    """The trees in which the kernel lists devices; tests have trees of their own."""

    sys: Path = v4l2.SYS
    dev: Path = v4l2.DEV
    proc: Path = PROC


class Camera(Struct, frozen=True):
    """A V4L2 camera."""

    label: str
    device: str
    source: str
    """As the configuration takes it, by the most stable name that it has."""
    names: tuple[str, ...]
    """All its names."""
    formats: tuple[Format, ...]
    takes: str | None
    """What is taken of them where nothing is configured: `mjpeg 1280x720 30 fps`."""
    note: str | None
    """Why its formats are not known."""
    microphone: str | None
    """The one that is built into it."""


def devices_command(out: TextIO, *, as_toml: bool, as_json: bool, roots: Roots = Roots()) -> int:  # noqa: B008 - frozen
    """List them; 0, also where there is none, with what to look at."""
    microphones_found = list(microphones(roots.proc, roots.sys))
    cameras_found = list(cameras(roots, microphones_found))
    if as_json:
        print(
            json.dumps(
                {"cameras": msgspec.to_builtins(cameras_found), "microphones": msgspec.to_builtins(microphones_found)}
            ),
            file=out,
        )
    elif not cameras_found and not microphones_found:
        print("\n".join(f"# {line}" for line in NOTHING.split("\n")) if as_toml else NOTHING, file=out)
    elif as_toml:
        print(toml(cameras_found, microphones_found), file=out)
    else:
        print(clean_lines("\n".join([*_camera_lines(cameras_found), *_microphone_lines(microphones_found)])), file=out)
    return 0


def cameras(roots: Roots, microphones_found: Iterable[Microphone]) -> Iterator[Camera]:
    """Return all devices that capture video."""
    nodes = list(v4l2.nodes(roots.sys))
    serials = [node.serial for node in nodes]
    built_in = {each.usb_path: each.microphone for each in microphones_found if each.usb_path}
    for node in nodes:
        device = roots.dev / node.name
        note: str | None = None
        offered: tuple[Format, ...] = ()
        try:
            if holder := next(holders(device, roots.proc), None):
                note = f"in use by {holder}, so it was not asked"
            else:
                offered = formats(device)
        except NotACamera:
            continue
        except OSError as error:
            note = f"{device} cannot be opened: {error.strerror}{_remedy(error)}"
        names = list(_names(node, roots, is_only=serials.count(node.serial) == 1))
        mode = choose_mode(offered, Wanted())
        yield Camera(
            label=node.label,
            device=str(device),
            source=names[0],
            names=tuple(names),
            formats=offered,
            takes=str(mode) if mode else None,
            note=note,
            microphone=built_in.get(node.usb_path),
        )


def _remedy(error: OSError) -> str:
    return ": usermod -aG video USER, and log in again" if isinstance(error, PermissionError) else ""


def _names(node: v4l2.DeviceNode, roots: Roots, *, is_only: bool) -> Iterator[str]:
    """Return all names that `source` takes, the most stable one first."""
    if node.serial and is_only:
        yield f"v4l2:{node.serial}"
    if node.usb_path:
        yield f"v4l2:{node.usb_path}"
    for link in sorted((roots.dev / "v4l").glob("by-*/*")):
        if link.resolve() == (roots.dev / node.name).resolve():
            yield f"v4l2:{link}"
    yield f"v4l2:{roots.dev / node.name}"


def toml(cameras_found: Iterable[Camera], microphones_found: Iterable[Microphone]) -> str:
    """Tables that stand in the configuration as they are."""
    tables: dict[str, dict[str, object]] = {}
    for camera in cameras_found:
        tables[_name(camera.label, tables)] = _table(camera)
    text = tomli_w.dumps({"cameras": tables}) if tables else ""
    taken = {camera.microphone for camera in cameras_found}
    spare = [each for each in microphones_found if each.microphone not in taken]
    if not tables:
        for each in spare:
            tables[_name(each.label, tables)] = _alone(each)
        return tomli_w.dumps({"cameras": tables}).strip()
    beside = 'or a source of its own, for model = "inter-2-audio"'
    return "\n".join([text.strip(), *(f'# {each.label}: microphone = "{each.microphone}", {beside}' for each in spare)])


def _alone(microphone: Microphone) -> dict[str, object]:
    return {"name": microphone.label, "source": microphone.microphone, "model": AUDIO_MODELS[0]}


def _table(camera: Camera) -> dict[str, object]:
    table: dict[str, object] = {"name": camera.label, "source": camera.source}
    if camera.microphone:
        table["microphone"] = camera.microphone
    if mode := choose_mode(camera.formats, Wanted()):
        table["size"] = f"{mode.width}x{mode.height}"
        if mode.fps >= 1:
            table["fps"] = int(mode.fps) if mode.fps == int(mode.fps) else mode.fps
    return table


def _name(label: str, taken: Iterable[str]) -> str:
    """Make the name of a table out of what the driver calls the camera."""
    name = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:32].strip("-") or "camera"
    number = sum(other == name or other.startswith(f"{name}-") for other in taken)
    return f"{name}-{number + 1}" if number else name


def _camera_lines(cameras_found: Iterable[Camera]) -> Iterator[str]:
    for camera in cameras_found:
        yield f'{camera.label}\n  source = "{camera.source}"'
        yield from (f"    or {name}" for name in camera.names[1:])
        if camera.note:
            yield f"  {camera.note}"
        for offered in camera.formats:
            sizes = ", ".join(f"{size.width}x{size.height} {size.fps:g} fps" for size in offered.sizes)
            yield f"  {offered.code} ({offered.description}): {sizes or 'sizes unknown'}"
        if camera.takes:
            yield f"  by default it is opened as {camera.takes}"


def _microphone_lines(microphones_found: Iterable[Microphone]) -> Iterator[str]:
    for each in microphones_found:
        yield f'{each.label}{" (in use)" if each.in_use else ""}\n  microphone = "{each.microphone}"'
        yield f"    or {each.numbered}"
        yield f'  alone: source = "{each.microphone}", model = "{AUDIO_MODELS[0]}"'
        yield from (f"  {offered}" for offered in each.formats)
