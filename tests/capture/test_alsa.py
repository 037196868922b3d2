"""Microphones open in the environment of PyAV's wheel, and each fault of one has its own reason and sentence."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from capture.material import SMALL, a_command, numbers
from capture.workers import PATIENT, film, pull, working
from interhuman2mqtt.capture import bundled_libraries
from interhuman2mqtt.capture.alsa import HardwareAddress, Roots, explain_refusal, find_fault, parse_name
from interhuman2mqtt.errors import Outage, Reason, Refused

OPEN = """
import sys, av
for name in sys.argv[1:]:
    try:
        sound = av.open(name, format="alsa").streams.audio[0]
        print(name, sound.codec_context.name, sound.rate, sound.channels)
    except OSError as error:
        print(name, error)
"""
HARDWARE = ("hw:0", "hw:0,1", "hw:0,1,2", "hw:CARD=Loopback,DEV=1", "plughw:0,1", "plughw:CARD=Loopback")


def opened(environment: dict[str, str], *names: str) -> tuple[str, list[str]]:
    """What alsa-lib prints and what FFmpeg opens, in a process that was given this environment."""
    command = [sys.executable, "-c", OPEN, *names]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ALSA_", "GNUTLS_"))}
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stderr, done.stdout.splitlines()


@pytest.mark.parametrize("folder", [bundled_libraries.ALSA, Path("/nonexistent")], ids=["system", "slim"])
def test_the_wheel_finds_a_configuration(folder: Path) -> None:
    """With the system's files and in an image without them, ALSA opens what needs no card and knows all hardware."""
    said, (opened_null, *_) = opened(bundled_libraries.environment({}, alsa=folder), "null", *HARDWARE)
    assert opened_null == "null pcm_s16le 48000 2"
    assert "Cannot access file" not in said
    assert "Unknown PCM" not in said
    assert "Cannot get card index for Loopback" in said  # the name is understood; there is no such card here


def test_no_path_of_the_build_is_looked_at(tmp_path: Path) -> None:
    """Anybody may write below /tmp: neither configuration, plug-in nor policy is taken from there."""
    trace = tmp_path / "trace"
    said = ["strace", "-f", "-e", "trace=%file", "-o", str(trace), sys.executable, "-c", OPEN]
    environment = {**os.environ, **bundled_libraries.environment({}, alsa=Path("/nonexistent"))}
    names = ["null", "default", "hw:0", "nonsense"]
    subprocess.run([*said, *names], env=environment, check=True, capture_output=True)
    assert re.findall(r'.*"/tmp/vendor.*', trace.read_text()) == []


def test_what_the_user_says_of_alsa_is_honoured(tmp_path: Path) -> None:
    """A configuration of the user's is used as it is, and reaches the capture process."""
    own = tmp_path / "asound.conf"
    own.write_text("pcm.lectern { type null }\n")
    environment = bundled_libraries.environment({"ALSA_CONFIG_PATH": str(own)})
    _, lines = opened(environment, "lectern")
    assert lines == ["lectern pcm_s16le 48000 2"]


async def test_the_capture_process_is_told_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever command starts it; a value of the user's goes through the filter of its environment."""
    monkeypatch.setenv("ALSA_CONFIG_PATH", "/etc/own.conf")
    monkeypatch.delenv("ALSA_PLUGIN_DIR", raising=False)
    async with working(a_command(SMALL.path())) as worker:
        said = (await trio.Path(f"/proc/{worker.pid}/environ").read_text()).split("\0")
    assert "ALSA_CONFIG_PATH=/etc/own.conf" in said
    assert {line.partition("=")[0] for line in said} >= set(bundled_libraries.environment({}))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hw", HardwareAddress("0")),
        ("hw:1", HardwareAddress("1")),
        ("hw:0,1", HardwareAddress("0", 1)),
        ("hw:0,1,2", HardwareAddress("0", 1, 2)),
        ("hw:CARD=Loopback,DEV=1", HardwareAddress("Loopback", 1)),
        ("hw:Loopback,1", HardwareAddress("Loopback", 1)),
        ("plughw:CARD=PCH,DEV=0,SUBDEV=3", HardwareAddress("PCH", 0, 3)),
        ("dsnoop:CARD=PCH", HardwareAddress("PCH")),
        ("default", None),
        ("hw:0,one", None),
        ("hw:0,1,2,3", None),
        ("hw:NAME=1", None),
    ],
)
def test_names_of_the_hardware(name: str, meant: HardwareAddress | None) -> None:
    """By position and by keyword, as alsa-lib takes them."""
    assert parse_name(name) == meant


@pytest.fixture
def card(tmp_path: Path) -> Roots:
    """Card 1, `USB`: device 0 captures, device 1 only plays, device 2 captures and its node is missing."""
    roots = Roots(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc")
    sound = roots.sys / "class/sound"
    for node in ("card1", "pcmC1D0c", "pcmC1D1p", "pcmC1D2c"):
        (sound / node).mkdir(parents=True)
    (sound / "card1/id").write_text("USB\n")
    (roots.dev / "snd").mkdir(parents=True)
    for node in ("controlC1", "pcmC1D0c"):
        (roots.dev / "snd" / node).touch()
    status = roots.proc / "asound/card1/pcm0c/sub0/status"
    status.parent.mkdir(parents=True)
    status.write_text("closed\n")
    return roots


def test_a_device_that_is_well(card: Roots) -> None:
    """By its number, its id and with a subdevice."""
    assert [find_fault(name, card) for name in ("hw:1", "hw:USB,0", "plughw:CARD=USB,DEV=0,SUBDEV=0")] == [None] * 3


@pytest.mark.parametrize(
    ("name", "kind", "reason", "said"),
    [
        ("hw:0", Outage, Reason.NOT_FOUND, "there is no sound card 0; there are: USB (number 1)"),
        ("hw:CARD=Loopback", Outage, Reason.NOT_FOUND, "there is no sound card Loopback; there are: USB (number 1)"),
        ("hw:1,5", Outage, Reason.NOT_FOUND, "sound card USB has no device 5 that captures; those that capture: 0, 2"),
        ("hw:USB,1", Refused, Reason.UNSUPPORTED, "device 1 of sound card USB only plays; those that capture: 0, 2"),
        ("hw:1,2", Outage, Reason.NOT_FOUND, "pcmC1D2c is not there: does the container get /dev/snd"),
        ("hw:1,0,7", Outage, Reason.NOT_FOUND, "device 0 has no subdevice 7"),
    ],
)
def test_faults_that_the_kernel_tells(card: Roots, name: str, kind: type[Outage], reason: Reason, said: str) -> None:
    """Absent card, absent device, one that only plays, a node that is missing, an absent subdevice."""
    found = find_fault(name, card)
    assert found
    assert (type(found), found.reason) == (kind, reason)
    assert found.detail.startswith(f"microphone alsa:{name}: ")
    assert said in found.detail


def test_a_machine_without_sound(tmp_path: Path) -> None:
    """No card at all is a sentence of its own."""
    found = find_fault("hw:0", Roots(tmp_path, tmp_path, tmp_path))
    assert found
    assert (found.reason, found.detail) == (
        Reason.NOT_FOUND,
        "microphone alsa:hw:0: this machine has no sound card",
    )


@pytest.mark.parametrize(
    ("number", "kind", "reason", "said"),
    [
        (errno.EBUSY, Outage, Reason.BUSY, "is in use by arecord (process 77)"),
        (errno.EAGAIN, Outage, Reason.BUSY, "is in use by arecord (process 77)"),
        (errno.EACCES, Refused, Reason.NO_PERMISSION, "does this user belong to the group audio?"),
        (errno.EPERM, Refused, Reason.NO_PERMISSION, "does this user belong to the group audio?"),
        (errno.ENODEV, Outage, Reason.NOT_FOUND, "it was unplugged"),
        (errno.EIO, Outage, Reason.INVALID_MEDIA, "Input/output error"),
    ],
)
def test_faults_that_opening_tells(  # noqa: PLR0917 - one fault
    card: Roots, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Outage], reason: Reason, said: str
) -> None:
    """In use (and by whom), forbidden, unplugged, broken."""
    (card.proc / "asound/card1/pcm0c/sub0/status").write_text("state: RUNNING\nowner_pid   : 77\n")
    (card.proc / "77").mkdir()
    (card.proc / "77/comm").write_text("arecord\n")
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if str(path).endswith("pcmC1D0c"):
            raise OSError(number, os.strerror(number))
        return real(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    found = find_fault("hw:1,0", card)
    assert found
    assert (type(found), found.reason) == (kind, reason)
    assert said in found.detail


def test_a_device_that_is_shared(card: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where alsa-lib lets several programs in, another one that has it open is no fault; an absent card is."""

    def refuse(path: Path, _flags: int) -> int:
        raise OSError(errno.EBUSY, str(path))

    monkeypatch.setattr(os, "open", refuse)
    assert find_fault("dsnoop:CARD=USB,DEV=0", card) is None
    assert find_fault("sysdefault:CARD=USB", card) is None
    assert find_fault("hw:CARD=USB,DEV=0", card)
    assert find_fault("dsnoop:CARD=Loopback", card)


OWN = """
pcm.lectern { type null }
ctl.lectern { type null }
"""


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("lectern", "pcm_s16le 48000 Hz (encoded as aac)"),
        ("pulpit", "silence (microphone alsa:pulpit: "),
        ("hw:CARD=Pulpit", "silence (microphone alsa:hw:CARD=Pulpit: this machine has no sound card)"),
    ],
)
async def test_a_microphone_beside_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, audio: str
) -> None:
    """One opens by a name of the user's own; for one that does not, video is sent with silence, and it is said why."""
    (tmp_path / "asound.conf").write_text(OWN)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    command = a_command(SMALL.path(), microphone=f"alsa:{name}")
    async with working(command) as worker:
        media = film(await pull(worker.record("continuous", 1.0, 0.0), 2))
        assert worker.opened
        assert worker.opened.description.startswith(f"h264 192x108 (copied), {audio}")
        missing = worker.stalls.audio_missing(PATIENT)
    assert numbers(media) == list(range(30))
    assert (missing is None) == (name == "lectern")


def test_a_subdevice_that_is_taken(card: Roots) -> None:
    """Another one of the device being free does not help."""
    (card.proc / "asound/card1/pcm0c/sub0/status").write_text("state: RUNNING\nowner_pid   : 77\n")
    found = find_fault("hw:1,0,0", card)
    assert found
    assert (found.reason, found.detail) == (Reason.BUSY, "microphone alsa:hw:1,0,0 is in use by process 77")


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ("cannot open audio device x (Device or resource busy)", Outage, Reason.BUSY),
        ("cannot open audio device x (Permission denied)", Refused, Reason.NO_PERMISSION),
        ("cannot open audio device x (No such device)", Outage, Reason.NOT_FOUND),
        ("cannot open audio device x (No such file or directory)", Outage, Reason.NOT_FOUND),
        ("cannot set sample rate (Invalid argument)", Outage, Reason.INVALID_MEDIA),
        ("", Outage, Reason.INVALID_MEDIA),
    ],
)
def test_what_ffmpeg_prints_is_the_reason(card: Roots, said: str, kind: type[Outage], reason: Reason) -> None:
    """Of names that only the configuration of ALSA explains, nothing else tells it."""
    found = explain_refusal("default", said, card)
    assert (type(found), found.reason) == (kind, reason)
    assert found.detail.startswith("microphone alsa:default")
