"""V4L2 devices by what does not change: numbers behind /dev/video do, at every reboot and reset of a hub."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.errors import Outage, Reason

SYS = Path("/sys")
DEV = Path("/dev")


class DeviceNode(NamedTuple):
    """A camera as the kernel knows it."""

    name: str
    """`video0`"""
    label: str
    """Its name by the driver."""
    serial: str
    """Empty where it is no USB device, or has none."""
    usb_path: str


def find_device(name: str, sys: Path = SYS, dev: Path = DEV) -> Path:
    """Return the device that `v4l2:<name>` means: a path, a USB serial number, or a USB path such as `1-1.4`.

    Raises:
        Outage: There is no such device now; the sentence lists those that are there.
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


def is_available(name: str, sys: Path = SYS, dev: Path = DEV) -> bool:
    """Decide whether that device is plugged in, and ours to open; it is not opened.

    A node that is new belongs to root until udev has given it to the group `video`: to open it before would be refused.
    """
    try:
        node = find_device(name, sys, dev)
        status = node.stat()
    except (Outage, OSError):
        return False
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    # after an unplugging the kernel forgets the device first, and udev removes the node some time later
    known = sys / "dev/char"
    is_known = not (stat.S_ISCHR(status.st_mode) and known.is_dir()) or (known / number).exists()
    return is_known and os.access(node, os.R_OK | os.W_OK, effective_ids=True)


def nodes(sys: Path = SYS) -> Iterator[DeviceNode]:
    """Return the cameras that there are; a second node of one carries metadata, not frames, and is left out."""
    for node in sorted((sys / "class/video4linux").glob("video*")):
        if read_line(node / "index") in {"", "0"}:
            serial, usb_path = usb_identity(node)
            yield DeviceNode(node.name, _label(read_line(node / "name")) or node.name, serial, usb_path)


def _label(name: str) -> str:
    """Return "HD Webcam" for "HD Webcam: HD Webcam", which uvcvideo makes of two equal names, and cuts at 31 bytes."""
    product, _, function = name.partition(": ")
    return product if function and product.startswith(function.strip()) else name


def usb_identity(node: Path) -> tuple[str, str]:
    """Return serial number and bus path of the USB device that a node of sysfs belongs to; empty where it is none."""
    for parent in (node / "device").resolve().parents:
        if (parent / "idVendor").exists():
            return read_line(parent / "serial"), parent.name
    return "", ""


def read_line(path: Path) -> str:
    """Return the content of a file of sysfs or procfs, without the newline; empty where it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
