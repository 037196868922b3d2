"""`devices` on machines of our own making: a /sys, a /dev and a /proc in a folder, and a driver that answers."""

import errno
import io
import json
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest

from interhuman2mqtt.capture import v4l2_formats
from interhuman2mqtt.commands import devices
from interhuman2mqtt.commands.devices import Roots, devices_command
from interhuman2mqtt.config import loader

MJPG, YUYV = (int.from_bytes(code, "little") for code in (b"MJPG", b"YUYV"))
LADDER = {MJPG: [(1920, 1080, 30), (1280, 720, 30)], YUYV: [(640, 480, 30), (1280, 720, 10)]}
STREAM0 = """C920 at usb-0000:00:14.0-1.4, high speed : USB Audio

Capture:
  Status: Stop
  Interface 3
    Altset 1
    Format: S16_LE
    Channels: 2
    Endpoint: 0x82 (2 IN) (ASYNC)
    Rates: 16000, 24000
    Bits: 16
"""


class Driver:
    """Answers as linux/videodev2.h says, by offsets of its own: 8-byte reserves left out."""

    def __init__(self, capabilities: int = 0x84200001, device_caps: int = 0x04200001) -> None:
        self.capabilities = capabilities, device_caps
        self.is_range = False

    def __call__(self, request: int, argument: bytearray) -> None:
        index = int.from_bytes(argument[:4], "little")
        try:
            match request:
                case 0x80685600:
                    struct.pack_into("<II", argument, 84, *self.capabilities)
                case 0xC0405602:
                    code = list(LADDER)[index]
                    struct.pack_into("<32sI", argument, 12, b"Motion-JPEG" if code == MJPG else b"YUYV 4:2:2", code)
                case 0xC02C564A:
                    self._size(index, argument)
                case 0xC034564B:
                    self._interval(index, argument)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None

    def _size(self, index: int, argument: bytearray) -> None:
        [code] = struct.unpack_from("<I", argument, 4)
        if self.is_range:
            struct.pack_into("<7I", argument, 8, 3, 160, 1280, 16, 120, 720, 8)
            return
        width, height, _ = LADDER[code][index]
        struct.pack_into("<3I", argument, 8, 1, width, height)

    def _interval(self, index: int, argument: bytearray) -> None:
        code, width, height = struct.unpack_from("<3I", argument, 4)
        rates = [fps for w, h, fps in LADDER[code] if (w, h) == (width, height)] or [25]
        struct.pack_into("<3I", argument, 16, 1, 1, [*rates, 5][: len(rates) + 1][index])


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Who answers for every device."""
    driver = Driver()
    monkeypatch.setattr(v4l2_formats, "_ioctl", lambda _descriptor, request, argument: driver(request, argument))
    return driver


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A machine with nothing plugged in."""
    made = Roots(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc")
    for root in made:
        root.mkdir()
    return made


def plug_camera(roots: Roots, name: str, usb_path: str, serial: str | None, label: str = "HD Pro Webcam C920") -> None:
    device = roots.sys / "devices/pci0/usb1" / usb_path
    interface = device / f"{usb_path}:1.0"
    interface.mkdir(parents=True, exist_ok=True)
    (device / "idVendor").write_text("046d\n")
    if serial is not None:
        (device / "serial").write_text(f"{serial}\n")
    node = roots.sys / "class/video4linux" / name
    node.mkdir(parents=True)
    (node / "index").write_text("0\n")
    (node / "name").write_text(f"{label}\n")
    (node / "device").symlink_to(interface)
    (roots.dev / name).touch()
    links = roots.dev / "v4l/by-path"
    links.mkdir(parents=True, exist_ok=True)
    (links / f"pci-usb-{usb_path}").symlink_to(roots.dev / name)


def plug_microphone(roots: Roots, number: int, usb_path: str | None) -> None:
    card = roots.proc / f"asound/card{number}"
    (card / "pcm0c/sub0").mkdir(parents=True)
    (card / "id").write_text("C920\n" if usb_path else "PCH\n")
    (card / "pcm0c/info").write_text("card: 1\ndevice: 0\nname: USB Audio\n")
    (card / "pcm0c/sub0/status").write_text("closed\n")
    if usb_path:
        (card / "stream0").write_text(STREAM0)
        sound = roots.sys / "class/sound" / f"card{number}"
        sound.mkdir(parents=True)
        (sound / "device").symlink_to(roots.sys / "devices/pci0/usb1" / usb_path / f"{usb_path}:1.0")


def listing(roots: Roots, *, as_toml: bool = False) -> str:
    out = io.StringIO()
    assert devices_command(out, as_toml=as_toml, as_json=False, roots=roots) == 0
    return out.getvalue()


def listing_json(roots: Roots) -> dict[str, Any]:
    out = io.StringIO()
    assert devices_command(out, as_toml=False, as_json=True, roots=roots) == 0
    return dict(json.loads(out.getvalue()))


def test_nothing_is_there(roots: Roots) -> None:
    """Where there is neither, it says what to look at, and that is no failure."""
    assert "groups video and audio" in listing(roots)
    assert tomllib.loads(listing(roots, as_toml=True)) == {}
    assert listing_json(roots) == {"cameras": [], "microphones": []}


def test_what_a_camera_offers(roots: Roots, driver: Driver) -> None:
    """Formats with their sizes and rates, as the driver lists them, and every name that `source` takes."""
    plug_camera(roots, "video0", "1-1.4", "ABC123")
    [camera] = listing_json(roots)["cameras"]
    by_path = f"v4l2:{roots.dev}/v4l/by-path/pci-usb-1-1.4"
    assert camera["names"] == ["v4l2:ABC123", "v4l2:1-1.4", by_path, f"v4l2:{roots.dev}/video0"]
    assert camera["source"] == "v4l2:ABC123"
    assert camera["formats"][0] == {
        "code": "MJPG",
        "description": "Motion-JPEG",
        "sizes": [
            {"width": 1920, "height": 1080, "fps": 30.0, "rates": [30.0, 5.0]},
            {"width": 1280, "height": 720, "fps": 30.0, "rates": [30.0, 5.0]},
        ],
        "steps": None,
    }
    assert "YUYV (YUYV 4:2:2): 640x480 30 fps, 1280x720 10 fps" in listing(roots)


def test_what_is_taken_of_it(roots: Roots, driver: Driver) -> None:
    """What a camera is opened as where nothing is configured stands beside what it offers, and is what `--toml` has."""
    plug_camera(roots, "video0", "1-1.4", "ABC123")
    assert "by default it is opened as mjpeg 1280x720 30 fps" in listing(roots)
    assert listing_json(roots)["cameras"][0]["takes"] == "mjpeg 1280x720 30 fps"
    [table] = tomllib.loads(listing(roots, as_toml=True))["cameras"].values()
    assert (table["size"], table["fps"]) == ("1280x720", 30)


def test_what_is_too_slow_is_not_proposed_faster(roots: Roots, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of the size that is proposed, not the best that the camera has at any size."""
    monkeypatch.setitem(LADDER, MJPG, [(320, 240, 30)])
    monkeypatch.setitem(LADDER, YUYV, [(1280, 720, 10), (320, 240, 30)])
    plug_camera(roots, "video0", "1-1.4", "ABC123")
    [table] = tomllib.loads(listing(roots, as_toml=True))["cameras"].values()
    assert (table["size"], table["fps"]) == ("1280x720", 10)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("HD Webcam: HD Webcam", "HD Webcam"),
        ("Integrated Camera: Integrated C", "Integrated Camera"),
        ("Integrated_Webcam: IR", "Integrated_Webcam: IR"),
        ("HD Pro Webcam C920", "HD Pro Webcam C920"),
        ("", "video0"),
    ],
)
def test_a_name_that_is_said_twice_is_told_once(roots: Roots, driver: Driver, said: str, label: str) -> None:
    """Uvcvideo makes one name of two, which are the same on most cameras, and cuts it."""
    plug_camera(roots, "video0", "1-1.4", None, label=said)
    assert listing(roots).startswith(f"{label}\n")


def test_it_can_be_pasted(roots: Roots, driver: Driver, tmp_path: Path) -> None:
    """The TOML of two equal cameras, one with a microphone of its own, is a configuration that has no mistake."""
    plug_camera(roots, "video0", "1-1.4", "SAME")
    plug_camera(roots, "video2", "1-1.3", "SAME")
    plug_microphone(roots, 1, "1-1.4")
    plug_microphone(roots, 0, None)
    text = listing(roots, as_toml=True)
    (tmp_path / "c.toml").write_text(f'[interhuman]\napi_key = {{ env = "API_KEY" }}\n{text}')
    cameras = loader.load([tmp_path / "c.toml"], "lobby-1").cameras
    assert [camera.source for camera in cameras.values()] == ["v4l2:1-1.4", "v4l2:1-1.3"]
    assert [camera.microphone for camera in cameras.values()] == ["alsa:hw:CARD=C920,DEV=0", None]
    assert list(cameras) == ["hd-pro-webcam-c920", "hd-pro-webcam-c920-2"]
    assert {(camera.size, camera.fps) for camera in cameras.values()} == {((1280, 720), 30)}
    assert '# PCH: USB Audio: microphone = "alsa:hw:CARD=PCH,DEV=0", or a source of its own' in text


def test_microphones_alone_can_be_pasted(roots: Roots, tmp_path: Path) -> None:
    """Where there is no camera they are sources of their own, and the TOML has no mistake."""
    plug_microphone(roots, 1, "1-1.4")
    plug_microphone(roots, 0, None)
    text = listing(roots, as_toml=True)
    (tmp_path / "c.toml").write_text(f'[interhuman]\napi_key = {{ env = "API_KEY" }}\n{text}')
    cameras = loader.load([tmp_path / "c.toml"], "lobby-1").cameras
    assert {camera.source for camera in cameras.values()} == {"alsa:hw:CARD=C920,DEV=0", "alsa:hw:CARD=PCH,DEV=0"}
    assert all(camera.is_audio_only for camera in cameras.values())
    assert 'alone: source = "alsa:hw:CARD=PCH,DEV=0", model = "inter-2-audio"' in listing(roots)


def test_a_range_of_sizes(roots: Roots, driver: Driver) -> None:
    """A driver that offers any size within bounds is told by the smallest, the usual ones and the largest."""
    driver.is_range = True
    plug_camera(roots, "video0", "1-1.4", None)
    [camera] = listing_json(roots)["cameras"]
    sizes = [(size["width"], size["height"]) for size in camera["formats"][0]["sizes"]]
    assert (sizes, camera["formats"][0]["steps"]) == ([(160, 120), (640, 480), (1280, 720)], [16, 8])


def test_what_captures_nothing_is_no_camera(roots: Roots, driver: Driver) -> None:
    """A device that only shows or encodes is left out."""
    driver.capabilities = 0x84000002, 0x04000002
    plug_camera(roots, "video0", "1-1.4", None)
    assert listing_json(roots)["cameras"] == []


def test_a_camera_in_use_is_not_opened(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has it is reported instead of what it offers; its names are reported all the same."""
    plug_camera(roots, "video0", "1-1.4", None)
    (roots.proc / "77/fd").mkdir(parents=True)
    (roots.proc / "77/fd/3").symlink_to(roots.dev / "video0")
    (roots.proc / "77/comm").write_text("guvcview\n")
    monkeypatch.setattr(devices, "formats", lambda _device: pytest.fail("it was opened"))
    [camera] = listing_json(roots)["cameras"]
    assert camera["note"] == "in use by guvcview (process 77), so it was not asked"
    assert camera["source"] == "v4l2:1-1.4"


def test_a_device_that_may_not_be_opened(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the group that is missing; a file that is no device is reported too."""
    plug_camera(roots, "video0", "1-1.4", None)
    assert "cannot be opened: Inappropriate ioctl for device" in listing_json(roots)["cameras"][0]["note"]

    def refuse(_device: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(devices, "formats", refuse)
    assert "usermod -aG video USER" in listing(roots)


def test_microphones(roots: Roots) -> None:
    """By the card's name and number, with what a USB device can capture, and whether somebody has it."""
    plug_microphone(roots, 1, "1-1.4")
    [microphone] = listing_json(roots)["microphones"]
    assert (microphone["microphone"], microphone["numbered"]) == ("alsa:hw:CARD=C920,DEV=0", "alsa:hw:1,0")
    assert microphone["formats"] == ["S16_LE, 2 channels, 16000, 24000 Hz"]
    assert not microphone["in_use"]
    (roots.proc / "asound/card1/pcm0c/sub0/status").write_text("state: RUNNING\nowner_pid: 77\n")
    assert "C920: USB Audio (in use)" in listing(roots)
