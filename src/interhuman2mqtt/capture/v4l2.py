"""Finds a V4L2 device by what does not change: numbers behind /dev/video do, at every reboot and reset of a hub."""

from pathlib import Path

from interhuman2mqtt.errors import Outage, Reason

SYS = Path("/sys")
DEV = Path("/dev")


def find(name: str, sys: Path = SYS, dev: Path = DEV) -> Path:
    """The device that `v4l2:<name>` means: a path, a USB serial number, or a USB path such as `1-1.4`.

    Raises:
        Outage: no such device now; the sentence lists those that are there.
    """
    if name.startswith("/"):
        return Path(name)
    seen = []
    for node in sorted((sys / "class/video4linux").glob("video*")):
        if _read(node / "index") not in {"", "0"}:
            continue  # the second node of a camera carries metadata, not pictures
        serial, usb_path = _usb(node)
        if name and name in {serial, usb_path}:
            return dev / node.name
        seen.append(f"/dev/{node.name} (serial {serial or 'none'}, USB path {usb_path or 'none'})")
    there = "; ".join(seen) or "none"
    raise Outage(Reason.NOT_FOUND, f"no camera has the serial number or USB path {name!r}; there are: {there}")


def _usb(node: Path) -> tuple[str, str]:
    """Serial number and bus path of the USB device that a video node belongs to; empty where it is no USB device."""
    for parent in (node / "device").resolve().parents:
        if (parent / "idVendor").exists():
            return _read(parent / "serial"), parent.name
    return "", ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
