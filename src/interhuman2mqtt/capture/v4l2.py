"""Finds a V4L2 device by what does not change: numbers behind /dev/video do, at every reboot and reset of a hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.errors import Outage, Reason

SYS = Path("/sys")
DEV = Path("/dev")


class Node(NamedTuple):
    """A camera as the kernel knows it."""

    name: str
    """`video0`"""
    label: str
    """What its driver calls it."""
    serial: str
    """Empty where it is no USB device, or has none."""
    usb_path: str


def find(name: str, sys: Path = SYS, dev: Path = DEV) -> Path:
    """The device that `v4l2:<name>` means: a path, a USB serial number, or a USB path such as `1-1.4`.

    Raises:
        Outage: no such device now; the sentence lists those that are there.
    """
    if name.startswith("/"):
        return Path(name)
    seen = []
    for node in nodes(sys):
        if name and name in {node.serial, node.usb_path}:
            return dev / node.name
        seen.append(f"/dev/{node.name} (serial {node.serial or 'none'}, USB path {node.usb_path or 'none'})")
    there = "; ".join(seen) or "none"
    raise Outage(Reason.NOT_FOUND, f"no camera has the serial number or USB path {name!r}; there are: {there}")


def nodes(sys: Path = SYS) -> Iterator[Node]:
    """The cameras that there are; a second node of one carries metadata, not pictures, and is left out."""
    for node in sorted((sys / "class/video4linux").glob("video*")):
        if read_line(node / "index") in {"", "0"}:
            serial, usb_path = usb(node)
            yield Node(node.name, read_line(node / "name") or node.name, serial, usb_path)


def usb(node: Path) -> tuple[str, str]:
    """Serial number and bus path of the USB device that a node of sysfs belongs to; empty where it is no USB device."""
    for parent in (node / "device").resolve().parents:
        if (parent / "idVendor").exists():
            return read_line(parent / "serial"), parent.name
    return "", ""


def read_line(path: Path) -> str:
    """What a file of sysfs or procfs says, without the newline; empty where it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
