"""The capture pauses while nobody waits for a packet, and chunks leave as early as if it did not."""

import socket
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.material import a_command
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.clock_anchor import SETTLED_S, ClockAnchor
from interhuman2mqtt.capture.device import BACKLOG_MIN, Feed, open_source
from interhuman2mqtt.capture.read_pauses import PAUSE_MIN_S, PAUSE_S, PUNCTUAL_S, UNREAD_MAX, ReadPauses
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.tcp_connection import make_room
from support.rtsp import rtsp_server

if TYPE_CHECKING:
    from av.container import InputContainer

MS = 0.001
FRAME_MS = 40


class Read:
    """A ring that is filled with frames, and when each of them was read; reading takes no time.

    `holds_back`: as FFmpeg reads H.264 by RTSP, a frame is returned when the next one begins, and dated by when the one
    before it was returned.
    """

    def __init__(
        self,
        size: int = 10,
        *,
        has_audio: bool = False,
        holds_back: bool = False,
        connection: socket.socket | None = None,
    ) -> None:
        self.ring = Ring(60.0, 1 << 30)
        self.ring.begin_epoch(has_audio=has_audio)
        self.anchor = ClockAnchor()
        feed = Feed(cast("InputContainer", None), 0, None, is_buffered=True, connection=connection)
        self._pauses = ReadPauses(feed, self.ring, self.anchor)
        self.now = 0.0
        self.delays: list[float] = []
        self.key_delays: list[float] = []
        self._size = size
        self._there = self._returned = 0.0
        self._holds_back = holds_back

    def frame(self, ms: int, *, key: bool = False, late: float = 0.0) -> float:
        """Read the frame of that time, which comes so late, as soon as it is there; returns how long to pause then."""
        held_s = FRAME_MS * MS if self._holds_back else 0.0
        there = self._there = max(self._there, ms * MS + held_s + late)  # TCP keeps the order
        self.now = max(self.now, there)
        arrival, self._returned = self._returned if self._holds_back else self.now, self.now
        self.delays.append(self.now - there)
        if key:
            self.key_delays.append(self.now - there)
        self.anchor.observe(ms * MS, arrival)
        self.ring.add_video(Packet(ms, ms, FRAME_MS, key, self._size, b""), ms * MS)
        return self._pauses.after((ms + FRAME_MS) * MS, self.now)

    def gops(self, *frames: int, late: float = 0.0) -> None:
        """Read GOPs of so many frames, one after the other, and pause in between."""
        starts = set(accumulate(frames, initial=len(self.delays)))
        for number in range(min(starts), max(starts)):
            pause = self.frame(number * FRAME_MS, key=number in starts, late=late)
            self.now += pause


def test_nothing_pauses_before_the_length_of_a_gop_is_known() -> None:
    """A source that has just been opened is read as it comes: its first chunk must not wait."""
    read = Read()
    read.gops(25)
    assert set(read.delays) == {0.0}


def test_a_gop_that_grows_is_read_in_bursts() -> None:
    """Within a GOP packets wait for each other."""
    read = Read()
    read.gops(25, 25)
    assert read.frame(50 * FRAME_MS, key=True) == PAUSE_S


def test_the_end_of_a_gop_is_not_missed() -> None:
    """The key frame that seals a GOP is read the moment it comes, where the camera keeps to the length of its GOPs."""
    read = Read()
    read.gops(*[25] * 40)
    assert max(read.delays) > FRAME_MS * MS
    assert max(read.key_delays) == pytest.approx(0.0)


def test_a_frame_that_is_dated_before_a_pause_is_not_the_newest() -> None:
    """The first frame after a pause had begun before it: what came meanwhile is read, and no key frame waits."""
    read = Read(holds_back=True)
    read.gops(*[25] * 40)
    assert max(read.delays) > FRAME_MS * MS
    assert max(read.delays) <= PAUSE_S + PUNCTUAL_S
    assert max(read.key_delays) == pytest.approx(0.0)


def test_a_gop_that_waits_for_its_sound_is_not_kept_waiting() -> None:
    """While a whole GOP waits for its audio only, each packet is read as it comes."""
    read = Read(has_audio=True)
    read.gops(25, 25)
    read.ring.add_audio(Packet(990, 990, 20, key=True, size=1, data=b""), 0.99)
    assert read.frame(50 * FRAME_MS, key=True) == 0
    read.ring.add_audio(Packet(2010, 2010, 20, key=True, size=1, data=b""), 2.01)
    assert read.frame(51 * FRAME_MS) > 0


def test_what_has_piled_up_is_read_on() -> None:
    """After a network that stood still nothing pauses before the newest packet is reached."""
    read = Read()
    read.gops(50, 10)
    read.now += 0.5
    pauses = [read.frame((60 + number) * FRAME_MS) for number in range(20)]
    paused = [bool(pause) for pause in pauses]
    assert paused == sorted(paused)
    assert paused[:12] == [False] * 12
    assert paused[-1]


@pytest.fixture
def connections() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the camera's, and ours."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        camera, _ = server.accept()
        with camera:
            yield camera, ours


def test_a_camera_that_is_never_punctual_is_read_in_bursts(connections: tuple[socket.socket, socket.socket]) -> None:
    """Where packets come a fifth of a second late, the newest one is the one behind which nothing waits."""
    camera, ours = connections
    read = Read(connection=ours)
    read.gops(25, 25)
    assert read.frame(50 * FRAME_MS, key=True, late=0.2) == PAUSE_S
    camera.sendall(bytes(UNREAD_MAX + 1))
    ours.recv(UNREAD_MAX + 1, socket.MSG_PEEK | socket.MSG_WAITALL)
    assert read.frame(60 * FRAME_MS, late=0.2) == 0


def test_a_camera_of_many_bytes_pauses_for_less() -> None:
    """What waits is less than the kernel's buffer surely holds."""
    size = BACKLOG_MIN // 2
    read = Read(size)
    read.gops(25, 25)
    assert read.frame(50 * FRAME_MS, key=True) == pytest.approx(2 * FRAME_MS * MS, rel=0.05)


def test_an_anchor_that_is_not_settled() -> None:
    """Before the burst is over with which a stream opens, nobody knows what is late."""
    read = Read()
    read.gops(25, 25)
    read.now -= PAUSE_S  # as if it had not paused
    assert read.frame(50 * FRAME_MS, key=True, late=-SETTLED_S) == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 0.3)), min_size=1, max_size=20))
def test_whatever_a_camera_does_nothing_piles_up(gops: list[tuple[int, float]]) -> None:
    """However long GOPs are, no packet waits for longer than a pause, and than the network became quicker meanwhile."""
    read = Read()
    for frames, late in gops:
        read.gops(frames, late=late)
    assert max(read.delays) <= PAUSE_S + PUNCTUAL_S + FRAME_MS * MS + max(late for _, late in gops)


def test_a_pause_ends_before_the_end_of_the_gop() -> None:
    """What is left of a GOP bounds the pause, and a pause that would spare nothing is none."""
    read = Read()
    read.gops(25, 25)
    pauses = [read.frame((50 + number) * FRAME_MS, key=number == 0) for number in range(25)]
    for number, pause in enumerate(pauses):
        left = (25 - number) * FRAME_MS * MS
        if left == pytest.approx(PAUSE_MIN_S):
            continue  # neither would be wrong
        assert pause == pytest.approx(min(PAUSE_S, left) if left > PAUSE_MIN_S + MS else 0)


async def test_only_tcp_keeps_what_is_not_read() -> None:
    """Over UDP, and from devices, each packet is read as it comes: what nobody reads would be lost."""
    async with rtsp_server() as server:
        url = server.url("/h264-aac")
        assert is_buffered(a_command(url))
        assert not is_buffered(a_command(url, transport="udp"))
    assert not is_buffered(a_command())


@pytest.mark.parametrize("size", [200, 1400])
def test_what_may_wait_has_room(size: int) -> None:
    """A camera with hardly a buffer of its own, which drops what it cannot send, sends all of it while nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        camera, _ = server.accept()
        with camera:
            room = make_room(ours)
            assert room > BACKLOG_MIN
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1  # or nothing less would be read
            camera.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            camera.settimeout(5.0)
            camera.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(room // size):
                assert camera.send(bytes(size)) == size


def is_buffered(command: ipc.Open) -> bool:
    feed = open_source(command)
    feed.close()
    return feed.is_buffered


def test_gops_that_take_turns_are_not_missed() -> None:
    """Where a camera's GOPs are of several lengths, the key frame behind the shortest is read at once as well."""
    read = Read()
    read.gops(*[25, 50, 10, 40] * 10)
    assert max(read.delays) > FRAME_MS * MS
    assert max(read.key_delays[8:]) == pytest.approx(0.0)
