"""ALSA capture devices: the hardware that a name means, and why it cannot be opened."""

# FFmpeg answers EIO to whatever is wrong with a device, so we look for ourselves. The cards are looked up in sysfs, and
# not in /proc/asound, which container engines hide; only who holds a device stands nowhere else. A device is opened for
# a moment without waiting (O_NONBLOCK), since no list shows whether it may be opened; alsa-lib would have done it as
# well, with a dozen lines on stderr for each attempt.

import errno
import os
import re
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.capture.v4l2 import DEV, SYS, read_line
from interhuman2mqtt.errors import Outage, Reason, Refused

PROC = Path("/proc")
EXCLUSIVE = ("hw", "plughw")
"""Names of devices that one program at a time can open."""
HARDWARE = (*EXCLUSIVE, "dsnoop", "sysdefault")
"""Names whose arguments are a card, a device and a subdevice; the last two share it, which alsa-lib has to arrange."""
ARGUMENTS = ("CARD", "DEV", "SUBDEV")


class HardwareAddress(NamedTuple):
    """The hardware that a name of ALSA means."""

    card: str
    """Its number or its id."""
    device: int = 0
    subdevice: int = -1
    """Any that is free."""


class Roots(NamedTuple):
    """The folders in which the kernel shows its devices; tests have others."""

    sys: Path = SYS
    dev: Path = DEV
    proc: Path = PROC


def parse_name(name: str) -> HardwareAddress | None:
    """Return the hardware that a name such as `hw:CARD=USB,DEV=0` or `plughw:1,0` means.

    None for a name that only the configuration of ALSA explains (`default`, a plug-in's), or that is malformed.
    """
    plugin, _, arguments = name.partition(":")
    if plugin not in HARDWARE:
        return None
    values = dict(zip(ARGUMENTS, ("0", "0", "-1"), strict=True))
    for place, argument in enumerate(arguments.split(",") if arguments else []):
        key, is_named, value = argument.partition("=")
        if place >= len(ARGUMENTS) or (is_named and key not in ARGUMENTS):
            return None
        values[key if is_named else ARGUMENTS[place]] = value if is_named else argument
    try:
        return HardwareAddress(values["CARD"], int(values["DEV"]), int(values["SUBDEV"]))
    except ValueError:
        return None


def open_attempts(name: str) -> list[tuple[str, dict[str, str]]]:
    """Return the names to try for one, with FFmpeg's options, until one opens.

    FFmpeg asks for two channels of 16 bits and nothing else, which a device of one channel, or of 24 bits, refuses to
    `hw:`; `plughw:` converts. It comes last, because it resamples where `hw:` has the true rate.
    """
    plugin, colon, arguments = name.partition(":")
    converted: list[tuple[str, dict[str, str]]] = [(f"plughw{colon}{arguments}", {})] if plugin == "hw" else []
    return [(name, {}), (name, {"channels": "1"}), *converted]


def find_fault(name: str, roots: Roots = Roots()) -> Outage | None:  # noqa: B008 - frozen
    """Return why a microphone cannot be opened now.

    None where nothing is seen to be wrong with its hardware, or its name does not say which that is.
    """
    hardware = parse_name(name)
    if hardware is None:
        return None
    what = f"microphone alsa:{name}"
    cards = _cards(roots.sys)
    if not cards:
        return _without_cards(what)
    number = _card_number(cards, hardware)
    if number is None:
        there = ", ".join(f"{id_} (number {number})" for number, id_ in cards.items())
        return Outage(Reason.NOT_FOUND, f"{what}: there is no sound card {hardware.card}; there are: {there}")
    card = f"sound card {cards[number]}"
    found = _devices(roots.sys, number, "c")
    if hardware.device in found:
        return _device_fault(what, f"C{number}", hardware, roots) if name.partition(":")[0] in EXCLUSIVE else None
    if hardware.device in _devices(roots.sys, number, "p"):
        return Refused(Reason.UNSUPPORTED, f"{what}: device {hardware.device} of {card} only plays{_others(found)}")
    return Outage(Reason.NOT_FOUND, f"{what}: {card} has no device {hardware.device} that captures{_others(found)}")


def device_node(name: str, roots: Roots = Roots()) -> Path | None:  # noqa: B008 - frozen
    """Return the file in /dev of the hardware that a name means; None where it means none that is there."""
    hardware = parse_name(name)
    number = _card_number(_cards(roots.sys), hardware) if hardware else None
    return roots.dev / f"snd/pcmC{number}D{hardware.device}c" if hardware and number is not None else None


def explain_refusal(name: str, error_text: str, roots: Roots = Roots()) -> Outage:  # noqa: B008 - frozen
    """Return what the error is that FFmpeg prints (`... (Device or resource busy)`), as one sentence."""
    what = f"microphone alsa:{name}"
    for number in (errno.EBUSY, errno.EACCES, errno.EPERM, errno.ENODEV):
        if error_text.endswith(f"({os.strerror(number)})"):
            return _open_error(what, number)
    if error_text.endswith(f"({os.strerror(errno.ENOENT)})"):
        if not _cards(roots.sys):
            return _without_cards(what)
        return Outage(
            Reason.NOT_FOUND,
            f"{what}: ALSA knows no such device; `interhuman2mqtt devices` lists those of this machine, and names "
            "such as `default` need the system's /usr/share/alsa (Debian: libasound2-data)",
        )
    return Outage(Reason.INVALID_MEDIA, f"{what} cannot be opened: {error_text or 'ALSA does not say why'}")


def explain_end(name: str, error_text: str) -> Outage:
    """Return why a microphone that was open is not any more."""
    broke_off = f"microphone alsa:{name} broke off: {error_text or 'ALSA does not say why'}"
    return find_fault(name) or Outage(Reason.SOURCE_ENDED, broke_off)


def is_available(name: str, roots: Roots = Roots()) -> bool:  # noqa: B008 - frozen
    """Return whether the hardware that a name means is there; of other names that is not known."""
    node = device_node(name, roots)
    return parse_name(name) is None or (node is not None and node.exists())


def _without_cards(what: str) -> Outage:
    return Outage(Reason.NOT_FOUND, f"{what}: this machine has no sound card")


def _cards(sys: Path) -> dict[str, str]:
    """Return the ids of the sound cards by their numbers."""
    cards = sorted((sys / "class/sound").glob("card[0-9]*"))
    return {card.name.removeprefix("card"): read_line(card / "id") or card.name for card in cards}


def _card_number(cards: dict[str, str], hardware: HardwareAddress) -> str | None:
    """Return the number of a card that is named by its number or its id; None where there is none."""
    if hardware.card in cards:
        return hardware.card
    return next((number for number, card in cards.items() if card == hardware.card), None)


def _devices(sys: Path, card: str, direction: str) -> list[int]:
    nodes = (re.fullmatch(rf"pcmC{card}D(\d+){direction}", node.name) for node in (sys / "class/sound").glob("pcm*"))
    return sorted(int(found[1]) for found in nodes if found)


def _others(devices: list[int]) -> str:
    """Return a half sentence about what captures on the same card."""
    return f"; those that capture: {', '.join(map(str, devices))}" if devices else "; none of it captures"


def _device_fault(what: str, card: str, hardware: HardwareAddress, roots: Roots) -> Outage | None:
    """Return what is wrong with a device that the kernel has."""
    info = roots.proc / f"asound/card{card[1:]}/pcm{hardware.device}c"
    for node in (f"control{card}", f"pcm{card}D{hardware.device}c"):
        path = roots.dev / "snd" / node
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        except OSError as error:
            return _open_error(f"{what}: {path}", error.errno or 0, _holder(info, hardware.subdevice, roots.proc))
    if hardware.subdevice >= 0 and info.is_dir():
        if not (info / f"sub{hardware.subdevice}").is_dir():
            return Outage(Reason.NOT_FOUND, f"{what}: device {hardware.device} has no subdevice {hardware.subdevice}")
        if holder := _holder(info, hardware.subdevice, roots.proc):
            return Outage(Reason.BUSY, f"{what} is in use{holder}")
    return None


def _open_error(what: str, number: int, holder: str = "") -> Outage:
    """Return the outage of the system's refusal to open a device."""
    match number:
        case errno.EBUSY | errno.EAGAIN:
            return Outage(Reason.BUSY, f"{what} is in use{holder or ' by another program'}")
        case errno.EACCES | errno.EPERM:
            return Refused(Reason.NO_PERMISSION, f"{what} may not be opened: does this user belong to the group audio?")
        case errno.ENOENT:
            return Outage(Reason.NOT_FOUND, f"{what} is not there: does the container get /dev/snd of its machine?")
        case errno.ENODEV | errno.ENXIO:
            return Outage(Reason.NOT_FOUND, f"{what} is gone: it was unplugged")
    return Outage(Reason.INVALID_MEDIA, f"{what} cannot be opened: {os.strerror(number)}")


def _holder(info: Path, subdevice: int, proc: Path) -> str:
    """Return who has a device open, as half a sentence; empty where nobody has, or it is not known."""
    for status in sorted(info.glob(f"sub{subdevice if subdevice >= 0 else '*'}/status")):
        if found := re.search(r"^owner_pid\s*: (\d+)", read_line(status), re.MULTILINE):
            name = read_line(proc / found[1] / "comm")  # empty under ProtectProc=, where it is another user's
            return f" by {name} (process {found[1]})" if name else f" by process {found[1]}"
    return ""
