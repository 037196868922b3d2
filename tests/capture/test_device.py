"""A source that cannot be opened gets one sentence, a reason out of the list, and never its password."""

import base64
import errno
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import av
import pytest
import trio
import trustme

from capture.material import SMALL, a_command
from interhuman2mqtt.capture import device, framing, ipc, v4l2, v4l2_formats
from interhuman2mqtt.capture.device import open_source
from interhuman2mqtt.capture.network_source import CREDENTIALS_MAX
from interhuman2mqtt.capture.open_errors import explain
from interhuman2mqtt.errors import Outage, Reason, Refused
from support.mosquitto import free_port
from support.processes import PATIENCE_S, in_background
from support.rtsp import Login, rtsp_server

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
PASSWORD = "p@ss'w\"o:r/d#1%"
MOUNT = {"/cam": SMALL}


def opening(command: ipc.Open) -> Outage | None:
    """Why a source does not open; None where it does."""
    try:
        open_source(command).close()
    except Outage as outage:
        return outage
    return None


async def outage(command: ipc.Open) -> Outage:
    """Why a source does not open."""
    with trio.fail_after(PATIENCE_S):
        found = await trio.to_thread.run_sync(opening, command)
    assert found is not None
    return found


def assert_says_no_password(outage: Outage, password: str = PASSWORD) -> None:
    told = f"{outage!r} {outage} {outage.detail} {outage.__cause__}"
    for form in (password, quote(password), quote(password, safe=""), base64.b64encode(password.encode()).decode()):
        assert form not in told


async def test_nobody_listens() -> None:
    """A refused connection is `unreachable`, which passes by itself."""
    found = await outage(a_command(f"rtsp://127.0.0.1:{free_port()}/cam", username="viewer", password=PASSWORD))
    assert (type(found), found.reason) == (Outage, Reason.UNREACHABLE)
    assert "refused the connection" in found.detail
    assert_says_no_password(found)


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_every_printable_character_may_stand_in_a_password(auth: Literal["basic", "digest"]) -> None:
    """The server lets us in with all of 0x20 to 0x7e; one character less is refused."""
    async with rtsp_server(MOUNT, login=Login("viewer", PRINTABLE, auth)) as server:
        url = server.url("/cam")
        assert await trio.to_thread.run_sync(opening, a_command(url, username="viewer", password=PRINTABLE)) is None
        wrong = await outage(a_command(url, username="viewer", password=PRINTABLE[:-1]))
        none = await outage(a_command(url))
    assert (type(wrong), wrong.reason) == (Refused, Reason.CAMERA_PASSWORD)
    assert "(tried: viewer)" in wrong.detail
    assert "(tried: no user name)" in none.detail
    assert_says_no_password(wrong, PRINTABLE[:-1])


@pytest.mark.parametrize(
    ("auth", "username"),
    [
        ("basic", PRINTABLE.replace(":", "")),  # RFC 7617: a user name has no colon
        ("digest", PRINTABLE.translate({ord(c): None for c in ':"\\'})),  # FFmpeg does not escape a quoted string
    ],
)
async def test_a_user_name_may_be_odd_too(auth: Literal["basic", "digest"], username: str) -> None:
    """Every character that the protocol and FFmpeg can carry."""
    async with rtsp_server(MOUNT, login=Login(username, "x", auth)) as server:
        command = a_command(server.url("/cam"), username=username, password="x")
        assert await trio.to_thread.run_sync(opening, command) is None


async def test_credentials_have_a_longest_length() -> None:
    """As long as FFmpeg takes works; longer is said before FFmpeg cuts it and the camera refuses it."""
    password = "x" * (CREDENTIALS_MAX - len("viewer:"))
    async with rtsp_server(MOUNT, login=Login("viewer", password)) as server:
        url = server.url("/cam")
        assert await trio.to_thread.run_sync(opening, a_command(url, username="viewer", password=password)) is None
        found = await outage(a_command(url, username="viewer", password=password + "x"))
    assert (type(found), found.reason) == (Refused, Reason.CAMERA_PASSWORD)
    assert "too long" in found.detail
    assert_says_no_password(found, password)


async def test_a_user_without_a_password() -> None:
    """Some cameras want a name only."""
    async with rtsp_server(MOUNT, login=Login("viewer", "", "basic")) as server:
        command = a_command(server.url("/cam"), username="viewer")
        assert await trio.to_thread.run_sync(opening, command) is None


async def test_a_wrong_path() -> None:
    """A camera that has no such stream is reported apart from one that is not there."""
    async with rtsp_server(MOUNT) as server:
        found = await outage(a_command(server.url("/other"), username="viewer", password=PASSWORD))
    assert (type(found), found.reason) == (Refused, Reason.NOT_FOUND)
    assert "/other" in found.detail
    assert_says_no_password(found)


async def test_udp() -> None:
    """`transport = "udp"` opens the same stream."""
    async with rtsp_server(MOUNT, transport="udp") as server:
        assert await trio.to_thread.run_sync(opening, a_command(server.url("/cam"), transport="udp")) is None


@asynccontextmanager
async def behind_tls(port: int, certificate: trustme.LeafCert) -> AsyncIterator[int]:
    """A port that speaks TLS, and passes everything on to another port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")

    async def serve() -> None:
        await trio.serve_listeners(partial(pass_on, port), listeners)

    async with in_background(serve):
        transport = listeners[0].transport_listener
        assert isinstance(transport, trio.SocketListener)
        yield transport.socket.getsockname()[1]


async def pass_on(port: int, client: trio.SSLStream[trio.SocketStream]) -> None:
    async def carry(source: trio.abc.ReceiveStream, target: trio.abc.SendStream) -> None:
        try:
            while data := await source.receive_some(65536):
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        nursery.cancel_scope.cancel()

    async with client, await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as nursery:
        nursery.start_soon(carry, client, server)
        nursery.start_soon(carry, server, client)


async def test_rtsps(tmp_path: Path) -> None:
    """RTSP in TLS wants a certificate that is trusted: by the machine, by `ca_file`, or not at all."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    async with rtsp_server(MOUNT) as server, behind_tls(server.port, certificate) as port:
        url = f"rtsps://127.0.0.1:{port}/cam"
        refused = await outage(a_command(url))
        assert (type(refused), refused.reason) == (Refused, Reason.TLS_FAILED)
        assert "ca_file" in refused.detail
        for trust in ({"ca_file": str(tmp_path / "ca.pem")}, {"ca_file": str(tmp_path / "own.pem")}, {"verify": False}):
            assert await trio.to_thread.run_sync(opening, a_command(url, **trust)) is None
        name = await outage(a_command(url.replace("127.0.0.1", "localhost"), ca_file=str(tmp_path / "ca.pem")))
        assert "not valid for 'localhost'" in name.detail


async def test_rtsps_on_a_port_without_tls() -> None:
    """A port that speaks plain RTSP is named as that."""
    async with rtsp_server(MOUNT) as server:
        found = await outage(a_command(f"rtsps://127.0.0.1:{server.port}/cam"))
    assert found.reason == Reason.TLS_FAILED


def test_a_missing_file(tmp_path: Path) -> None:
    """The sentence names it."""
    found = opening(a_command(tmp_path / "film.mp4"))
    assert found
    assert (type(found), found.reason) == (Outage, Reason.NOT_FOUND)
    assert found.detail == f"file:{tmp_path}/film.mp4 does not exist"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, where the tests have them."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_no_permission(tmp_path: Path) -> None:
    """A person must act, and is told where to look."""
    film = tmp_path / "film.mp4"
    film.write_bytes(b"")
    film.chmod(0)
    with as_nobody():
        found = opening(a_command(film))
    assert found
    assert (type(found), found.reason) == (Refused, Reason.NO_PERMISSION)
    assert "groups video and audio" in found.detail


@pytest.mark.parametrize("content", [b"not media at all\n" * 100, b"", bytes(4096)], ids=["text", "empty", "zeros"])
def test_not_media(tmp_path: Path, content: bytes) -> None:
    """What FFmpeg cannot read is `invalid_media`."""
    film = tmp_path / "film.mp4"
    film.write_bytes(content)
    found = opening(a_command(film))
    assert found
    assert found.reason is Reason.INVALID_MEDIA


def test_a_directory_is_not_media(tmp_path: Path) -> None:
    """An error without a rule of its own still names the source and what the system said."""
    found = opening(a_command(tmp_path))
    assert found
    assert (type(found), found.reason) == (Outage, Reason.INVALID_MEDIA)
    assert found.detail == f"file:{tmp_path}: Is a directory"


def test_no_video() -> None:
    """Audio alone is no camera."""
    found = opening(a_command(SMALL._replace(video=None).path()))
    assert found
    assert (type(found), found.reason) == (Refused, Reason.NO_VIDEO)


@pytest.mark.parametrize("device", ["/dev/video63", "no-such-serial"])
def test_a_missing_camera(device: str) -> None:
    """By its path or by its serial number: it may be plugged in later."""
    found = opening(a_command(f"v4l2:{device}", size=(640, 480), fps=15.0))
    assert found
    assert (type(found), found.reason) == (Outage, Reason.NOT_FOUND)
    assert device in found.detail


def test_what_is_no_camera() -> None:
    """Another device than a camera."""
    found = opening(a_command("v4l2:/dev/null"))
    assert found
    assert found.reason in {Reason.INVALID_MEDIA, Reason.NOT_FOUND}
    assert "/dev/null" in found.detail


def test_the_test_picture() -> None:
    """`test:` needs nothing, and has audio."""
    feed = open_source(a_command(size=(320, 180), fps=5.0))
    picture = feed.container.streams.video[0]
    assert (picture.width, picture.height, picture.average_rate) == (320, 180, Fraction(5))
    assert (feed.audio is not None, feed.paced, feed.loops) == (True, True, False)
    feed.close()


def tag(name: bytes) -> int:
    """An error code of FFmpeg's own (`libavutil/error.h`)."""
    return -av.error.tag_to_code(name)


@pytest.mark.parametrize(
    ("code", "kind", "reason", "said"),
    [
        (-errno.EBUSY, Outage, Reason.BUSY, "in use by another program"),
        (-errno.ENODEV, Outage, Reason.NOT_FOUND, "no such device"),
        (-errno.EACCES, Refused, Reason.NO_PERMISSION, "may not be opened"),
        (-errno.EHOSTUNREACH, Outage, Reason.UNREACHABLE, "no route to 10.0.0.5"),
        (-errno.ENETUNREACH, Outage, Reason.UNREACHABLE, "no network to reach 10.0.0.5"),
        (-errno.ETIMEDOUT, Outage, Reason.UNREACHABLE, "10.0.0.5 does not answer"),
        (-errno.EIO, Outage, Reason.UNREACHABLE, "Input/output error"),
        (tag(b"\xf8403"), Refused, Reason.CAMERA_PASSWORD, "refused the user name or password"),
        (tag(b"\xf85XX"), Outage, Reason.CAMERA_ERROR, "answered with an error"),
        (tag(b"EOF "), Outage, Reason.SOURCE_ENDED, "ended"),
        (tag(b"EXIT"), Outage, Reason.UNREACHABLE, "does not answer"),
    ],
)
def test_what_ffmpeg_says_becomes_a_sentence(code: int, kind: type[Outage], reason: Reason, said: str) -> None:
    """Each kind of error has its reason; what FFmpeg says beside it, the URL among that, is not repeated."""
    command = a_command("rtsp://10.0.0.5/cam", username="viewer", password=PASSWORD)
    with pytest.raises(av.error.FFmpegError) as raised:
        av.error.err_check(code, f"rtsp://viewer:{PASSWORD}@10.0.0.5/cam")
    found = explain(command, raised.value)
    assert (type(found), found.reason) == (kind, reason)
    assert said in found.detail
    assert_says_no_password(found)


Usb = Callable[[str, str, str | None], None]


@pytest.fixture
def usb(tmp_path: Path) -> Usb:
    """Adds cameras to a `/sys` of our own: name of the node, USB path, serial number."""

    def plug(name: str, path: str, serial: str | None, index: int = 0) -> None:
        device = tmp_path / "devices/pci0/usb1" / path
        interface = device / f"{path}:1.0"
        interface.mkdir(parents=True, exist_ok=True)
        (device / "idVendor").write_text("046d\n")
        if serial is not None:
            (device / "serial").write_text(serial + "\n")
        node = tmp_path / "class/video4linux" / name
        node.mkdir(parents=True)
        (node / "index").write_text(f"{index}\n")
        (node / "device").symlink_to(interface)

    return plug


def test_a_camera_is_found_by_its_serial_number_or_its_usb_path(tmp_path: Path, usb: Usb) -> None:
    """Whatever number it has got at this boot."""
    usb("video0", "1-1.4", "ABC123")
    usb("video2", "1-1.3", None)
    dev = Path("/dev")
    assert v4l2.find_device("ABC123", tmp_path, dev) == Path("/dev/video0")
    assert v4l2.find_device("1-1.4", tmp_path, dev) == Path("/dev/video0")
    assert v4l2.find_device("1-1.3", tmp_path, dev) == Path("/dev/video2")
    assert v4l2.find_device("/dev/video7", tmp_path, dev) == Path("/dev/video7")


def test_the_second_node_of_a_camera_is_passed_over(tmp_path: Path, usb: Callable[..., None]) -> None:
    """It carries metadata, no frames."""
    usb("video0", "1-1.4", "ABC123", 1)
    usb("video1", "1-1.4", "ABC123", 0)
    assert v4l2.find_device("ABC123", tmp_path, Path("/dev")) == Path("/dev/video1")


def test_a_camera_that_is_not_found_tells_those_that_are_there(tmp_path: Path, usb: Usb) -> None:
    """The person who reads it can copy the right one."""
    usb("video0", "1-1.4", "ABC123")
    platform = tmp_path / "class/video4linux/video9"
    (platform / "device").mkdir(parents=True)
    with pytest.raises(Outage, match="'XYZ'") as none:
        v4l2.find_device("XYZ", tmp_path, Path("/dev"))
    assert none.value.reason is Reason.NOT_FOUND
    assert "/dev/video0 (serial ABC123, USB path 1-1.4); /dev/video9 (serial none" in none.value.detail


def test_an_empty_name_is_no_camera(tmp_path: Path, usb: Usb) -> None:
    """A camera without a serial number is not found by having none."""
    usb("video0", "1-1.4", None)
    with pytest.raises(Outage, match="no camera has"):
        v4l2.find_device("", tmp_path, Path("/dev"))


AT = """
from pathlib import Path
from interhuman2mqtt.capture import __main__ as worker, v4l2
v4l2.find_device.__defaults__ = Path({!r}), Path({!r})
worker.main()
"""


def failure(code: str, command: ipc.Open) -> ipc.Failed:
    """What a worker of this code says when its source cannot be opened."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(framing.pack(command))
        process.stdin.flush()
        while True:
            header, _ = framing.unpack_prefix(process.stdout.read(framing.PREFIX.size))
            frame = framing.unpack_frame(process.stdout.read(header))
            if isinstance(frame, ipc.Failed):
                process.stdin.close()
                return frame


def test_a_camera_that_got_another_number_is_found_there(tmp_path: Path, usb: Usb) -> None:
    """Each opening asks anew which node the serial number belongs to, and tells which one it took."""
    (tmp_path / "dev").mkdir()
    for node in ("video0", "video2"):
        (tmp_path / "dev" / node).touch()
    code = AT.format(str(tmp_path), str(tmp_path / "dev"))
    usb("video0", "1-1.4", "ABC123")
    assert f"(now {tmp_path}/dev/video0)" in failure(code, a_command("v4l2:ABC123")).detail
    shutil.rmtree(tmp_path / "class")
    usb("video0", "1-1.3", "OTHER")
    usb("video2", "1-1.4", "ABC123")
    assert f"(now {tmp_path}/dev/video2)" in failure(code, a_command("v4l2:ABC123")).detail
    shutil.rmtree(tmp_path / "class")
    gone = failure(code, a_command("v4l2:ABC123"))
    assert (gone.reason, gone.refused) == (Reason.NOT_FOUND, False)


def test_a_camera_that_is_unplugged_has_no_other_reason(tmp_path: Path) -> None:
    """Whatever its driver answers in that moment; what is still there keeps the error that it had."""
    with pytest.raises(av.error.FFmpegError) as raised:
        av.error.err_check(-errno.EINVAL)
    node = tmp_path / "video0"
    node.touch()
    assert explain(a_command(f"v4l2:{node}"), raised.value).reason is Reason.INVALID_MEDIA
    node.unlink()
    gone = explain(a_command(f"v4l2:{node}"), raised.value)
    assert (type(gone), gone.reason) == (Outage, Reason.NOT_FOUND)
    assert "was unplugged just now" in gone.detail


def test_a_usb_bus_that_is_full() -> None:
    """Linux says "No space left on device" of that, which no user would understand."""
    found = explain(a_command("v4l2:/dev/null"), OSError(errno.ENOSPC, "No space left on device"), "v4l2", "/dev/null")
    assert (type(found), found.reason) == (Outage, Reason.BUSY)
    assert "the USB bus has no bandwidth left for v4l2:/dev/null" in found.detail


def test_a_node_that_the_kernel_has_forgotten_is_not_there(tmp_path: Path) -> None:
    """Nor one that is not ours to open yet: udev makes nodes before it gives them to their group."""
    number = f"{os.major(Path('/dev/null').stat().st_rdev)}:{os.minor(Path('/dev/null').stat().st_rdev)}"
    (tmp_path / "dev/char").mkdir(parents=True)
    assert not v4l2.is_available("/dev/null", tmp_path)
    (tmp_path / "dev/char" / number).touch()
    assert v4l2.is_available("/dev/null", tmp_path)
    closed = tmp_path / "video0"
    closed.touch(mode=0o600)
    assert v4l2.is_available(str(closed), tmp_path)
    with as_nobody():
        assert not v4l2.is_available(str(closed), tmp_path)


ONLY_MJPEG = (v4l2_formats.Format("MJPG", "Motion-JPEG", (v4l2_formats.Size(1280, 720, 30.0, (30.0,)),)),)


@pytest.mark.parametrize(
    ("offered", "changes", "options"),
    [
        (ONLY_MJPEG, {}, {"input_format": "mjpeg", "video_size": "1280x720", "framerate": "30.0"}),
        (ONLY_MJPEG, {"video": "copy"}, {"input_format": "mjpeg", "video_size": "1280x720", "framerate": "30.0"}),
        ((), {}, {}),
        ((), {"size": (640, 480), "fps": 5.0}, {"video_size": "640x480", "framerate": "5.0"}),
    ],
)
def test_what_ffmpeg_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    offered: tuple[v4l2_formats.Format, ...],
    changes: dict[str, str],
    options: dict[str, str],
) -> None:
    """Format, size and rate of what was chosen; where nothing is known of the camera, what the configuration says."""
    asked: dict[str, str] = {}

    def opened(_name: str, **keys: Any) -> None:
        asked.update(keys["options"])
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(v4l2_formats, "formats", lambda _device: offered)
    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(Outage, match="in use by another program"):
        open_source(a_command("v4l2:/dev/null", **changes))
    assert {key: value for key, value in asked.items() if key != "timestamps"} == options


@pytest.mark.parametrize(("encode", "form"), [(False, "h264"), (True, "mjpeg")])
def test_h264_of_its_own_is_taken_where_it_is_of_use(
    monkeypatch: pytest.MonkeyPatch, *, encode: bool, form: str
) -> None:
    """Once its key frames turned out too rare to be copied, the camera is opened anew without it."""
    offered = tuple(v4l2_formats.Format(code, code, ONLY_MJPEG[0].sizes) for code in ("H264", "MJPG"))
    monkeypatch.setattr(v4l2_formats, "formats", lambda _device: offered)

    def opened(_name: str, **keys: Any) -> None:
        raise OSError(errno.EBUSY, keys["options"]["input_format"])

    monkeypatch.setattr(av, "open", opened)
    monkeypatch.setattr(device, "explain", lambda _command, error, *_: Outage(Reason.BUSY, error.strerror))
    with pytest.raises(Outage, match=f"^{form}$"):
        open_source(a_command("v4l2:/dev/null"), encode=encode)


def test_a_format_that_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person must act, and is told what there is."""
    monkeypatch.setattr(v4l2_formats, "formats", lambda _device: ONLY_MJPEG)
    found = opening(a_command("v4l2:/dev/null", format="h264"))
    assert isinstance(found, Refused)
    assert (found.reason, found.detail) == (
        Reason.UNSUPPORTED,
        'v4l2:/dev/null does not offer format = "h264"; it has: mjpeg',
    )


def test_a_node_that_captures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the second one of a camera, which carries metadata."""

    def formats(_device: Path) -> None:
        raise v4l2_formats.NotACamera

    monkeypatch.setattr(v4l2_formats, "formats", formats)
    found = opening(a_command("v4l2:/dev/null"))
    assert isinstance(found, Refused)
    assert found.reason is Reason.NO_VIDEO
