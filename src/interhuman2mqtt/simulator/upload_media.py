"""What an uploaded file holds, and whether a model takes it. Runs in a thread: it reads the whole file."""

import io

import av
import av.error
from av.container import InputContainer
from msgspec import Struct

from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.settings import INTER_2_AUDIO, Uploads

_CONTAINERS = {"mov": "mp4", "matroska": "mkv", "avi": "avi", "mpegts": "ts"}
_AUDIO_CONTAINERS = {"mov": "mp4", "wav": "wav", "flac": "flac", "mp3": "mp3", "ogg": "ogg"}
"""First name of FFmpeg's demuxer, and the ending of the file's name in the archive."""


class UploadedMedia(Struct, frozen=True):
    """A file that was accepted."""

    suffix: str
    duration: float
    """seconds"""


def check(payload: bytes, model: str | None, limits: Uploads) -> UploadedMedia:
    """Return what is in a file, which the model (None: Inter-1) takes; raise Answer with the error that it earns."""
    if len(payload) > limits.max_size:
        raise Answer("ih4003", f"The file has {len(payload)} bytes, more than {limits.max_size}.")
    with _open(payload) as container:
        suffix = _container(container, payload, model)
        if model != INTER_2_AUDIO and not container.streams.video:
            raise Answer("ih5001", "The file has no video track.")
        if not container.streams.audio and model is not None:
            raise Answer("ih5008", "The file has no audio track.")
        duration = _duration(container, audio=model == INTER_2_AUDIO)
    if duration < limits.min_duration:
        raise Answer("ih4007", f"The file lasts {duration:.3f} s, less than {limits.min_duration:g} s.")
    if duration > limits.max_duration:
        raise Answer("ih4004", f"The file lasts {duration:.0f} s, more than {limits.max_duration:g} s.")
    return UploadedMedia(suffix, duration)


def _open(payload: bytes) -> InputContainer:
    try:
        return av.open(io.BytesIO(payload), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise Answer("ih4002", "The container is not supported.") from error


def _container(container: InputContainer, payload: bytes, model: str | None) -> str:
    demuxer = container.format.name.partition(",")[0]
    known = _AUDIO_CONTAINERS if model == INTER_2_AUDIO else _CONTAINERS
    if demuxer == "matroska" and b"webm" in payload[:64]:
        return "webm"
    if demuxer not in known:
        raise Answer("ih4002", f"The container {demuxer} is not supported.")
    return known[demuxer]


def _duration(container: InputContainer, *, audio: bool) -> float:
    """Return the seconds from the first packet to the end of the last; the first of each track must be decodable."""
    tracks = [*([] if audio else container.streams.video[:1]), *container.streams.audio[:1]]
    undecoded = {track.index for track in tracks}
    first, last = None, 0.0
    try:
        for packet in container.demux(tracks):
            if packet.stream.index in undecoded and packet.decode():
                undecoded.discard(packet.stream.index)
            if packet.pts is not None and packet.time_base is not None:
                start = float(packet.pts * packet.time_base)
                first = start if first is None else min(first, start)
                last = max(last, start + float((packet.duration or 0) * packet.time_base))
    except av.error.FFmpegError as error:
        raise Answer("ih5002", f"The media cannot be decoded: {error.strerror}.") from error
    if undecoded or first is None:
        raise Answer("ih5002", "The media cannot be decoded.")
    return last - first
