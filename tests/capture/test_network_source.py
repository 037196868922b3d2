"""Cameras that speak something else than RTSP, as FFmpeg serves it: they stream, and reach nothing of this machine."""

import http.server
import shutil
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
import trustme

from capture.material import SMALL, a_command
from capture.test_device import opening, outage
from capture.workers import pull, working
from interhuman2mqtt.errors import Reason, Refused
from support.clips import Clip
from support.mosquitto import free_port
from support.processes import PATIENCE_S, running

TONE = Clip(size=(192, 108), seconds=8, fps=15, gop=15, audio="aac")
MULTIPART = ["-content_type", "multipart/x-mixed-replace;boundary=ffmpeg"]
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""
LOGIN = {"username": "viewer", "password": "p@ss:w/d"}


class Kind(NamedTuple):
    """How FFmpeg serves a clip, and how we open it."""

    address: str
    output: tuple[str, ...]
    video: str
    is_copied: bool = True


LISTEN = ("-listen", "1")
KINDS = {
    "rtmp": Kind("rtmp://127.0.0.1:{}/live/cam", ("-c", "copy", "-f", "flv", *LISTEN), "h264"),
    "flv by http": Kind("http://127.0.0.1:{}/cam.flv", ("-c", "copy", "-f", "flv", *LISTEN), "h264"),
    "mpeg-ts by http": Kind("http://127.0.0.1:{}/cam.ts", ("-c", "copy", "-f", "mpegts", *LISTEN), "h264"),
    "mpeg-ts by udp": Kind("udp://127.0.0.1:{}", ("-c", "copy", "-f", "mpegts"), "h264"),
    "mjpeg by http": Kind(
        "http://127.0.0.1:{}/cam",
        ("-an", "-c:v", "mjpeg", "-f", "mpjpeg", *MULTIPART, *LISTEN),
        "mjpeg",
        is_copied=False,
    ),
}


@asynccontextmanager
async def served(kind: Kind) -> AsyncIterator[str]:
    """The address at which FFmpeg serves a clip in real time, for one client."""
    port = free_port()
    url = kind.address.format(port)
    source = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(TONE.path())]
    async with running([*source, *kind.output, url]):
        is_server = LISTEN[0] in kind.output
        while is_server and not is_listening(port):  # noqa: ASYNC110 - to connect would take the place of its client
            await trio.sleep(0.02)
        yield url


def is_listening(port: int) -> bool:
    """Whether somebody listens at a port of this machine (proc(5))."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_source(name: str) -> None:
    """It streams in real time, its H.264 copied."""
    kind = KINDS[name]
    async with served(kind) as url, working(a_command(url)) as worker:
        first, second = await pull(worker.record("continuous", 1.0, None), 2)
        assert worker.opened
        assert (worker.opened.video, worker.opened.video_copied) == (kind.video, kind.is_copied)
    assert first.media_end - first.media_start == pytest.approx(1.0, abs=0.3)
    assert second.captured_from - first.captured_from == pytest.approx(first.media_end - first.media_start)


class Pages(http.server.SimpleHTTPRequestHandler):
    """A server of files that answers some paths by itself, and remembers who logged in."""

    answers: dict[str, Answer]
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        if self.path not in self.answers:
            super().do_GET()
            return
        status, headers, body = self.answers[self.path]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site(NamedTuple):
    """A server of HTTP."""

    url: str
    seen: list[tuple[str, str | None]]


@contextmanager
def site(
    folder: Path, tls: ssl.SSLContext | None = None, **answers: tuple[int, dict[str, str], bytes]
) -> Iterator[Site]:
    """The files of a folder by HTTP, and some answers by path, without its slash."""
    seen: list[tuple[str, str | None]] = []
    paths = {f"/{path}": answer for path, answer in answers.items()}
    handler = type("Handler", (Pages,), {"answers": paths, "seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", seen)
        server.shutdown()


async def test_hls(tmp_path: Path) -> None:
    """Segments come at once and are played in real time; a live list goes on for longer than its first segments."""
    source = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(TONE.path()), "-c", "copy"]
    hls = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "6", str(tmp_path / "cam.m3u8")]
    async with running([*source, *hls]):
        with trio.fail_after(PATIENCE_S):
            while not (tmp_path / "cam2.ts").exists():  # noqa: ASYNC110 - FFmpeg tells nobody
                await trio.sleep(0.1)
        with site(tmp_path) as server:
            async with working(a_command(f"{server.url}/cam.m3u8")) as worker:
                began = time.monotonic()
                chunks = await pull(worker.record("continuous", 1.0, None), 5)
    assert time.monotonic() - began > 3.0  # not as fast as it could be read
    assert [chunk.media_end - chunk.media_start for chunk in chunks] == pytest.approx([1.0] * 5, abs=0.1)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Media of this machine that nobody from outside may have us open."""
    (tmp_path / "www").mkdir()
    shutil.copy(SMALL.path(), tmp_path / "canary.mp4")
    return tmp_path / "canary.mp4"


PLAYLISTS = {
    "a file": "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nfile:{}\n#EXT-X-ENDLIST\n",
    "a path": "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n{}\n#EXT-X-ENDLIST\n",
    "a subfile": "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nsubfile,,start,0,end,0,,:{}\n#EXT-X-ENDLIST\n",
    "an init section": (
        '#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXT-X-MAP:URI="file:{}"\n#EXTINF:8,\nfile:{}\n#EXT-X-ENDLIST\n'
    ),
    "another scheme": "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nudp://127.0.0.1:9999\n#EXT-X-ENDLIST\n",
    "a master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:{}\n",
    "a list for concat": "ffconcat version 1.0\nfile {}\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
async def test_a_playlist_reaches_nothing_of_this_machine(canary: Path, name: str) -> None:
    """Whatever a list from outside names, no file of the box is opened for it, and no other scheme."""
    text = PLAYLISTS[name].replace("{}", str(canary))
    (canary.parent / "www" / "cam.m3u8").write_text(text)
    with site(canary.parent / "www") as server:
        found = await outage(a_command(f"{server.url}/cam.m3u8", open_timeout_s=4.0))
    assert str(canary) not in found.detail


async def test_a_redirect_to_a_file(canary: Path) -> None:
    """A redirect leads to HTTP and HTTPS only."""
    with site(canary.parent, cam=(302, {"Location": f"file:{canary}"}, b"")) as server:
        await outage(a_command(f"{server.url}/cam", open_timeout_s=4.0))


async def test_a_password_stays_with_its_host(canary: Path) -> None:
    """A redirect to another host does not take the login there, though that asks for it."""
    basic = {"WWW-Authenticate": 'Basic realm="thief"'}
    with site(canary.parent, cam=(401, basic, b"")) as thief:
        with site(canary.parent, cam=(302, {"Location": f"{thief.url}/cam"}, b"")) as server:
            found = await outage(a_command(f"{server.url}/cam", open_timeout_s=4.0, **LOGIN))
        assert thief.seen
        assert [login for _, login in thief.seen if login] == []
    assert LOGIN["password"] not in found.detail


STATUSES = {
    401: (Reason.CAMERA_PASSWORD, True),
    403: (Reason.CAMERA_PASSWORD, True),
    404: (Reason.NOT_FOUND, True),
    500: (Reason.CAMERA_ERROR, False),
    503: (Reason.CAMERA_ERROR, False),
}


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_of_http(tmp_path: Path, status: int) -> None:
    """It has a reason, and says whether a person must act."""
    reason, final = STATUSES[status]
    with site(tmp_path, cam=(status, {}, b"")) as server:
        found = await outage(a_command(f"{server.url}/cam", open_timeout_s=4.0))
    assert (found.reason, isinstance(found, Refused)) == (reason, final)


async def test_https_wants_a_certificate_that_is_trusted(canary: Path) -> None:
    """As `rtsps://` does."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(canary.parent / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with site(canary.parent, context) as server:
        url = f"{server.url}/{canary.name}"
        refused = await outage(a_command(url))
        assert (type(refused), refused.reason) == (Refused, Reason.TLS_FAILED)
        for trust in ({"ca_file": str(canary.parent / "ca.pem")}, {"verify": False}):
            assert await trio.to_thread.run_sync(opening, a_command(url, **trust)) is None
