"""Opening a source of any kind."""

import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import av
from av.container import InputContainer
from av.stream import Discard

from interhuman2mqtt.capture import alsa, audio_selection, browser, ipc, network_source, v4l2, v4l2_formats
from interhuman2mqtt.capture.audio_selection import SdpTrack
from interhuman2mqtt.capture.ffmpeg_log import collected_log
from interhuman2mqtt.capture.open_errors import explain
from interhuman2mqtt.capture.preroll import ArrivedPacket
from interhuman2mqtt.capture.tcp_connection import close_lingering, duplicate_newest, make_room, tcp_connections
from interhuman2mqtt.capture.v4l2_mode import Mode, Wanted, choose_mode, format_names
from interhuman2mqtt.errors import Outage, Reason, Refused

READ_TIMEOUT_S = 10
ALSA_TIMEOUT_S = 10
TEST_SIZE = (1280, 720)
TEST_FPS = 15.0


Clock = Literal["trusted", "camera", "samples"]
"""What dates the packets: trusted stamps, those of a camera, judged by arrival, or the count of samples alone."""

BACKLOG_MIN = 64 << 10
"""Bytes: what the kernel's buffer holds from the first day on; a camera may drop frames that it cannot send."""


class Feed(NamedTuple):
    """One open container and which of its tracks are used."""

    container: InputContainer
    video: int | None
    audio: int | None
    paced: bool = False
    """Without a clock of its own, so we keep time."""
    loops: bool = False
    clock: Clock = "trusted"
    is_buffered: bool = False
    """Over TCP: what is not read yet waits there, and is not lost."""
    mode: Mode | None = None
    """The mode that a V4L2 camera was asked for."""
    connection: socket.socket | None = None
    """Of a network source, with a descriptor of our own."""
    backlog_max: int = BACKLOG_MIN
    """Bytes that may wait there."""
    audio_note: str = ""
    """For the description: which one of several audio tracks it is, or why none is used."""
    already_read: deque[ArrivedPacket] = deque()  # noqa: RUF012 - never added to
    """Packets that were read to find that out, and not returned since."""

    def close(self) -> None:
        """Close the container, which sends TEARDOWN to a camera, and see to it that this arrives."""
        self.container.close()
        if self.connection is not None:
            close_lingering(self.connection)


def open_source(command: ipc.Open, *, encode: bool = False) -> Feed:
    """Open a source, without its audio where a microphone is beside it; `encode`: its own H.264 is of no use.

    Raises:
        Outage: It may pass by itself (nothing there, busy).
        Refused: A person must act (password, permission, no video, no audio where nothing else is used).
    """
    scheme, _, rest = command.source.partition(":")
    match scheme:
        case scheme if scheme in network_source.SCHEMES:
            feed = _open_network(command)
        case "v4l2":
            feed = _open_v4l2(command, v4l2.find_device(rest), may_copy=not encode and command.video != "h264")
        case "browser":
            feed = _open_browser(command)
        case "alsa":
            feed = open_alsa(command, rest)
        case "file":
            feed = _open(command, rest, None, {}, paced=True)
        case _:
            feed = _open(command, _test_source(command), "lavfi", {}, paced=True)
    if command.audio_only and feed.audio is None:
        note = f": {feed.audio_note}" if feed.audio_note else ""
        raise Refused(Reason.NO_AUDIO, f"{command.source} has no audio, and its model analyses nothing else{note}")
    if not command.audio_only and feed.video is None:
        instead = '; for its audio alone, set model = "inter-2-audio"' if feed.audio is not None else ""
        raise Refused(Reason.NO_VIDEO, f"{command.source} has no video track{instead}")
    return feed if command.microphone is None else feed._replace(audio=None)


def open_alsa(command: ipc.Open, name: str) -> Feed:
    """Open an ALSA device by its name; raises Outage, or Refused where a person must act."""
    if outage := alsa.find_fault(name):  # before alsa-lib prints a dozen lines about it
        raise outage
    refusal = ""
    for variant, options in alsa.open_attempts(name):
        with collected_log(prints=command.verbose) as lines:
            try:
                container = av.open(variant, format="alsa", options=options, timeout=(None, ALSA_TIMEOUT_S))
            except (av.error.FFmpegError, OSError, ValueError):
                pass  # why it was stands in `lines`
            else:
                return Feed(container, None, container.streams.audio[0].index, clock="samples")
        refusal = refusal or next((line.text.strip() for line in lines if line.part == "alsa"), "")
    raise alsa.find_fault(name) or alsa.explain_refusal(name, refusal)


def _open_network(command: ipc.Open) -> Feed:
    target = network_source.target(command)
    network_source.check_login(command)
    others, began = tcp_connections(), time.monotonic()
    try:
        feed = _open(command, target.url, target.form, target.options)
    except Outage as outage:
        late = time.monotonic() - began >= command.open_timeout_s
        raise network_source.diagnose(command) or (network_source.no_answer(command) if late else outage) from None
    recorded = network_source.is_recorded(command, feed.container)
    connection = duplicate_newest(others)
    return feed._replace(
        connection=connection,
        backlog_max=max(BACKLOG_MIN, make_room(connection)) if connection else BACKLOG_MIN,
        paced=recorded,
        clock="trusted" if recorded else "camera",
        is_buffered=command.source.startswith("rtsp") and command.transport == "tcp",
    )


def _open_browser(command: ipc.Open) -> Feed:
    connection = browser.connection_of(command)
    try:
        feed = _open(command, browser.BrowserInput(connection), None, browser.OPTIONS)
    except BaseException:
        connection.close()
        raise
    return feed._replace(connection=connection, is_buffered=True)


def _open_v4l2(command: ipc.Open, device: Path, *, may_copy: bool) -> Feed:
    mode = _select_mode(command, device, may_copy=may_copy)
    # the kernel's own stamps, of CLOCK_MONOTONIC: FFmpeg's `abs` makes wall clock of them, which is set now and then
    options = {"timestamps": "default"}
    if mode:
        options["input_format"] = mode.format.ffmpeg
    if size := (mode.width, mode.height) if mode else command.size:
        options["video_size"] = "{}x{}".format(*size)
    if fps := (mode.fps if mode else None) or command.fps:
        options["framerate"] = str(fps)
    return _open(command, str(device), "v4l2", options)._replace(mode=mode)


def _select_mode(command: ipc.Open, device: Path, *, may_copy: bool) -> Mode | None:
    """Return the mode to ask of a camera; None where it offers none that we know, and FFmpeg may find a way."""
    try:
        offered = v4l2_formats.formats(device)
    except v4l2_formats.NotACamera:
        raise Refused(
            Reason.NO_VIDEO, f"{command.source} captures no video; `interhuman2mqtt devices` lists what does"
        ) from None
    except OSError as error:
        raise explain(command, error, "v4l2", str(device)) from None
    form = "h264" if command.video == "copy" and "h264" in format_names(offered) else command.format
    mode = choose_mode(offered, Wanted(command.size, command.fps, form, may_copy))
    if mode is None and command.format != "auto":
        known = ", ".join(format_names(offered)) or "none of those that can be named"
        raise Refused(
            Reason.UNSUPPORTED, f'{command.source} does not offer format = "{command.format}"; it has: {known}'
        )
    return mode


def _test_source(command: ipc.Open) -> str:
    sound = "sine=frequency=440:beep_factor=4:sample_rate=48000"
    if command.audio_only:
        return sound
    width, height = command.size or TEST_SIZE
    rate = command.fps or TEST_FPS
    return f"testsrc2=size={width}x{height}:rate={rate},format=yuv420p[out0];{sound}[out1]"


def _open(
    command: ipc.Open,
    name: str | browser.BrowserInput,
    form: str | None,
    options: Mapping[str, str],
    *,
    paced: bool = False,
) -> Feed:
    # The timeout holds for reads from sockets; in DNS, TLS and drivers libav blocks for as long as they do. Nothing in
    # this process could end that: the daemon has a deadline of its own, and kills.
    try:
        with collected_log(prints=command.verbose) as log:
            timeout = (command.open_timeout_s, READ_TIMEOUT_S)
            container = av.open(name, mode="r", format=form, options=dict(options), timeout=timeout)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise explain(command, error, form, str(name)) from None  # FFmpeg's own text holds the password
    tracks = audio_selection.parse_sdp(log)
    try:
        video = None if command.audio_only else _video_track(command, container, tracks)
        if command.audio_only:
            _drop_video(container)
        # a microphone takes the place of the source's audio, and of what is not sent one track is as good as another
        matters = command.microphone is None and command.audio not in {"none", "silence"}
        is_live = command.source.startswith("rtsp")
        audio = audio_selection.select_audio(container, tracks, sample=matters and is_live)
    except BaseException:
        container.close()
        raise
    return Feed(
        container,
        video,
        audio.stream,
        paced,
        paced and form is None and command.loop,
        audio_note=audio.note,
        already_read=deque(audio.packets),
    )


def _video_track(command: ipc.Open, container: InputContainer, tracks: Sequence[SdpTrack]) -> int | None:
    """Return the first track of video; raises Refused where FFmpeg knows the codec of none."""
    videos = container.streams.video
    index = next((stream.index for stream in videos if audio_selection.is_known(stream)), None)
    if videos and index is None:
        codec = audio_selection.encoding_name(container, videos[0], tracks)
        raise Refused(
            Reason.UNSUPPORTED, f"{command.source} sends {codec}, which FFmpeg cannot decode: set the camera to H.264"
        )
    return index


def _drop_video(container: InputContainer) -> None:
    """Let the demuxer drop all but audio, before any of it is a packet here."""
    for stream in container.streams:
        if stream.type != "audio":
            stream.discard = Discard.all
