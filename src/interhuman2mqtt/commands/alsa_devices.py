"""The microphones of this machine, as ALSA lists them in /proc/asound; no device is opened."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from interhuman2mqtt.capture import v4l2

PROC = Path("/proc")


class Microphone(Struct, frozen=True):
    """A device that captures sound."""

    label: str
    microphone: str
    """As the configuration takes it, by the card's name, which stays the same as long as the cards do."""
    numbered: str
    """The same by the card's number, which may change at each start."""
    usb_path: str
    """Where it is plugged in; the camera that it belongs to has the same. Empty where it is no USB device."""
    formats: tuple[str, ...]
    """Of USB devices: `S16_LE, 2 channels, 16000 Hz`."""
    in_use: bool


def microphones(proc: Path = PROC, sys: Path = v4l2.SYS) -> Iterator[Microphone]:
    """Return all microphones that ALSA lists."""
    for info in sorted((proc / "asound").glob("card[0-9]*/pcm[0-9]*c/info")):
        device = re.sub(r"\D", "", info.parent.name)
        card = info.parent.parent
        number = card.name.removeprefix("card")
        name = v4l2.read_line(card / "id") or number
        found = re.search(r"^name: (.*)$", v4l2.read_line(info), re.MULTILINE)
        yield Microphone(
            label=f"{name}: {found[1] if found else device}",
            microphone=f"alsa:hw:CARD={name},DEV={device}",
            numbered=f"alsa:hw:{number},{device}",
            usb_path=v4l2.usb_identity(sys / "class/sound" / card.name)[1],
            formats=tuple(_formats(v4l2.read_line(card / "stream0"))),
            in_use="closed" not in (v4l2.read_line(info.parent / "sub0/status") or "closed"),
        )


def _formats(stream: str) -> Iterator[str]:
    """Return what a USB device can capture (Documentation/sound/designs/procfile.rst)."""
    for part in stream.partition("Capture:")[2].split("Altset")[1:]:
        values = dict(re.findall(r"^\s*(Format|Channels|Rates): (.*)$", part, re.MULTILINE))
        if len(values) == 3:
            yield f"{values['Format']}, {values['Channels']} channels, {values['Rates']} Hz"
