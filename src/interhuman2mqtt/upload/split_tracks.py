"""Which tracks of a recording are sent, and what each becomes: copied where the cloud takes it, else encoded."""

# Upright and square frames, and why nothing is left to a display matrix: see capture.rotation. Of codecs there is
# evidence for H.264 in MP4 and for VP8 and VP9 in WebM; MPEG-4 part 2 is refused, of H.265 and AV1 nothing is known.

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from interhuman2mqtt.capture.encoders import EncodedAudio, EncodedVideo
from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.rotation import Size, even, shape_of
from interhuman2mqtt.capture.silence import SilentTrack
from interhuman2mqtt.capture.tracks import AvPacket, CopiedTrack, time_base_of
from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.upload.split_ipc import INTER_2, INTER_2_AUDIO

COPIED_VIDEO = {"h264": "mp4", "vp8": "webm", "vp9": "webm"}
"""Codecs that are copied, and the container that holds them."""
COPIED_ALONE = {"aac": "mp4", "mp3": "mp3", "flac": "flac", "opus": "webm"}
"""The same of audio without video."""
COPIED_BESIDE = {"mp4": "aac", "webm": "opus"}
SUFFIXES = {"matroska": "mkv"}
"""Endings of names, where they are not the container's name."""
PIXELS = ("yuv420p", "yuvj420p")
BITRATE_MAX = 4_000_000
"""bits a second: copied, a part of 32 MB would be shorter than a minute."""
SIDE_MAX, FPS_MAX, BITRATE = 1280, 30.0, 1_000_000
"""Of what is encoded."""

StreamT = TypeVar("StreamT", bound=Stream)
Track = CopiedTrack | EncodedVideo | EncodedAudio | SilentTrack


class RecordingTracks(list[Track]):
    """The tracks of a file that is written."""

    def __init__(self, tracks: list[Track], streams: list[Stream]) -> None:
        super().__init__(tracks)
        self._index = {stream.index: index for index, stream in enumerate(streams)}

    def convert(self, packet: AvPacket) -> Iterator[tuple[int, Packet]]:
        """Yield the packets that one of the source becomes, each with the index of its track."""
        index = self._index[packet.stream.index]
        track = self[index]
        if isinstance(track, CopiedTrack | EncodedVideo | EncodedAudio) and (
            packet.size or not isinstance(track, CopiedTrack)
        ):
            for made in track.convert(packet):
                yield index, made
        if not packet.size and isinstance(track, EncodedAudio):
            for made in track.flush():
                yield index, made
        silence = self[-1]
        if isinstance(silence, SilentTrack) and packet.size:
            for made in silence.fill_until(float((packet.pts or 0) * time_base_of(packet.stream))):
                yield len(self) - 1, made


class Selection(NamedTuple):
    """The tracks that are sent."""

    model: str
    video: int | None
    """Index of the stream."""
    audio: int | None
    copies_video: bool
    copies_audio: bool
    is_silent: bool
    """Silence is sent in the place of audio that there is not."""
    container: str
    """FFmpeg's name of what the parts are."""
    notes: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The ending of a part's name."""
        return SUFFIXES.get(self.container, self.container)

    @property
    def encodes(self) -> bool:
        """Whether anything has to be written anew before it can be cut."""
        return self.is_silent or not self.copies_video or not self.copies_audio

    def encoded(self) -> "Selection":
        """Return the same with everything encoded that cannot be copied; all of it, where that was all copied."""
        if self.encodes:
            return self
        return self._replace(copies_video=self.video is None, copies_audio=self.video is not None, container="mp4")

    def written(self) -> "Selection":
        """Return the selection of all tracks of the file that `tracks` makes."""
        video = None if self.video is None else 0
        return self._replace(
            video=video, audio=0 if video is None else 1, copies_video=True, copies_audio=True, is_silent=False
        )

    def silent(self) -> "Selection":
        """Return the same with silence in the place of its audio."""
        container = "matroska" if self.container == "webm" else self.container
        return self._replace(audio=None, copies_audio=True, is_silent=True, container=container)

    def streams(self, source: InputContainer) -> list[Stream]:
        """Return the streams, the one at which is cut first."""
        return [source.streams[index] for index in (self.video, self.audio) if index is not None]

    def tracks(self, streams: list[Stream]) -> RecordingTracks:
        """Return the tracks of the file that these streams become."""
        tracks: list[Track] = [self._track(stream) for stream in streams]
        return RecordingTracks([*tracks, SilentTrack()] if self.is_silent else tracks, streams)

    def _track(self, stream: Stream) -> Track:
        base = time_base_of(stream)
        if isinstance(stream, VideoStream) and not self.copies_video:
            fps = FPS_MAX if (stream.average_rate or 0) > FPS_MAX else None
            return EncodedVideo(stream, base, _size(shape_of(stream).upright), fps, BITRATE)
        if isinstance(stream, AudioStream) and not self.copies_audio:
            track = EncodedAudio("aac", stream.rate, "mono" if stream.channels == 1 else "stereo")
            track.use_input(stream, base)
            return track
        return CopiedTrack(stream, base)


def select(source: InputContainer, model: str | None, size_max: int) -> Selection:
    """Return what of a file is sent, in parts of so many bytes; raise Refused where the model cannot analyse it."""
    video = None if model == INTER_2_AUDIO else _preferred(_videos(source))
    audios = [stream for stream in source.streams.audio if _is_known(stream)]
    audio = _preferred(audios)
    if video is None:
        return _select_audio(audio, model, _audio_notes(audios, audio))
    copies_video = _copies_video(source, video, size_max)
    container = COPIED_VIDEO[codec_name(video)] if copies_video else "mp4"
    copies_audio = audio is None or _copies_audio(audio, (COPIED_BESIDE[container],))
    if container == "webm" and (audio is None or not copies_audio):
        container = "matroska"  # WebM takes no AAC, which is what we encode
    notes = _audio_notes(audios, audio)
    if audio is None:
        notes += ("it has no audio track: silence is sent in its place, and nothing is said about a voice",)
    return Selection(
        model=model or INTER_2,
        video=video.index,
        audio=audio.index if audio is not None else None,
        copies_video=copies_video,
        copies_audio=copies_audio,
        is_silent=audio is None,
        container=container,
        notes=notes,
    )


def _select_audio(audio: Stream | None, model: str | None, notes: tuple[str, ...]) -> Selection:
    if audio is None and model == INTER_2_AUDIO:
        raise Refused(Reason.NO_AUDIO, f"it has no audio, and {model} analyses nothing else")
    if audio is None:
        raise Refused(Reason.NO_VIDEO, "it has neither video nor audio")
    if model not in {None, INTER_2_AUDIO}:
        raise Refused(
            Reason.NO_VIDEO, f"it has no video, and {model} needs one: {INTER_2_AUDIO} (of /v2) analyses audio alone"
        )
    copied = _copies_audio(audio, tuple(COPIED_ALONE))
    if model is None:
        notes += (f"it has no video: it is analysed by {INTER_2_AUDIO}",)
    return Selection(
        model=INTER_2_AUDIO,
        video=None,
        audio=audio.index,
        copies_video=True,
        copies_audio=copied,
        is_silent=False,
        container=COPIED_ALONE[codec_name(audio)] if copied else "mp4",
        notes=notes,
    )


def _videos(source: InputContainer) -> list[VideoStream]:
    """Return the tracks of video; the cover of a piece of music is none."""
    return [
        stream
        for stream in source.streams.video
        if _is_known(stream) and stream.width and not stream.disposition & Disposition.attached_pic
    ]


def _is_known(stream: Stream) -> bool:
    """Return whether FFmpeg has a decoder for it: without one PyAV makes a stream that has no such attribute."""
    return getattr(stream, "codec_context", None) is not None


def _preferred(streams: Sequence[StreamT]) -> StreamT | None:
    marked = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter((*marked, *streams)), None)


def _audio_notes(streams: list[AudioStream], used: Stream | None) -> tuple[str, ...]:
    if used is None or len(streams) < 2:
        return ()
    position = [stream.index for stream in streams].index(used.index) + 1
    return (f"it has {len(streams)} audio tracks: number {position} is sent, which a player would play too",)


def _copies_video(source: InputContainer, stream: VideoStream, size_max: int) -> bool:
    shape = shape_of(stream)
    is_upright = shape.turn == 0 and shape.aspect == 1
    duration = (source.duration or 0) / av.time_base
    is_small = source.size <= size_max or duration == 0 or source.size * 8 / duration <= BITRATE_MAX
    is_known = codec_name(stream) in COPIED_VIDEO and stream.codec_context.pix_fmt in PIXELS
    return is_known and is_upright and is_small


def _copies_audio(stream: Stream, codecs: tuple[str, ...]) -> bool:
    name = codec_name(stream)
    if name == "aac" and not stream.codec_context.extradata:  # ADTS, LATM: such AAC cannot stand in an MP4
        return False
    return name in codecs


def codec_name(stream: Stream) -> str:
    """Return the name of a codec; the decoder's own may be another, as `mp3float`."""
    return stream.codec_context.codec.canonical_name


def _size(upright: Size) -> Size:
    scale = min(1.0, SIDE_MAX / max(upright))
    return even(upright[0] * scale), even(upright[1] * scale)
