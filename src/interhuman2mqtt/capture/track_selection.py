"""Decides what each track of a source becomes: copied wherever the cloud can take it as it is, else encoded."""

from typing import NamedTuple

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.microphone import Microphone
from interhuman2mqtt.capture.recorder import Tracks
from interhuman2mqtt.capture.rotation import shape_of
from interhuman2mqtt.capture.silence import GapFiller, quiet, quiet_of
from interhuman2mqtt.capture.tracks import (
    Copied,
    CopiedVideo,
    EncodedAudio,
    EncodedVideo,
    SilentTrack,
    VideoTrack,
    base_of,
)
from interhuman2mqtt.errors import Outage, Reason, Refused

RAW_VIDEO = ("rawvideo", "wrapped_avframe")
"""FFmpeg's names for pictures that are not compressed, of devices and of its own generators."""
INTRA_REFRESH, NO_KEY_FRAMES, CHANGING_FORMAT = "intra refresh", "no key frames", "its format changes"
"""Why H.264 that could be copied is encoded."""
COPIED_SOUND = ("aac", "opus")


class SourceHints(NamedTuple):
    """What was learned about a source only while it ran."""

    encode: bool = False
    """It cannot be copied, because its key frames are too rare, or for this reason."""
    because: str = ""


class TrackSelection(NamedTuple):
    """The tracks of a take, and what is said about them."""

    tracks: Tracks
    opened: ipc.Opened
    video_said: str
    """The first half of the description, to which a microphone adds another second one when it comes or goes."""


class Described(NamedTuple):
    """A track of sound, and what is said about it."""

    track: GapFiller | SilentTrack | None
    said: str
    audio: str | None = None
    """The source's codec."""


def choose(
    command: ipc.Open, feeds: list[Feed], adjustment: SourceHints, microphone: Microphone | None = None
) -> TrackSelection:
    """The tracks for what the feeds hold, and the microphone beside them.

    Raises:
        Refused: the configuration asks to copy what cannot be copied.
        Outage: the source does not tell enough of its pictures yet.
    """
    picture = feeds[0].container.streams[feeds[0].video or 0]
    assert isinstance(picture, VideoStream)  # noqa: S101 - the feed says so
    video, video_said = _video(command, picture, adjustment, _said(feeds[0], picture))
    sound = _sound(command, feeds[0], microphone)
    opened = ipc.Opened(
        description=f"{video_said}, {sound.said}",
        video=picture.codec_context.name,
        audio=sound.audio,
        video_copied=isinstance(video, Copied),
        audio_copied=isinstance(sound.track, GapFiller) and sound.track.is_copied,
    )
    return TrackSelection(Tracks(video, sound.track), opened, video_said)


def _said(feed: Feed, stream: VideoStream) -> str:
    """What comes from the source; of a camera of this machine also how often, which depends on the format."""
    name = stream.codec_context.name
    if feed.mode is None:
        return f"{'raw video' if name in RAW_VIDEO else name} {stream.width}x{stream.height}"
    return str(feed.mode._replace(width=stream.width, height=stream.height, fps=float(stream.average_rate or 0)))


def _video(command: ipc.Open, stream: VideoStream, adjustment: SourceHints, said: str) -> tuple[VideoTrack, str]:
    codec = stream.codec_context.name
    base = base_of(stream)
    if not (stream.width and stream.height):  # opened while no key frame came, which alone tells it
        raise Outage(Reason.INVALID_MEDIA, f"{command.source} sends no picture whose size can be told")
    if command.video == "copy" and codec != "h264":
        raise Refused(
            Reason.UNSUPPORTED,
            f'{command.source} sends {codec}, which the cloud does not take: set video = "auto" or "h264"',
        )
    shape = shape_of(stream)
    said += shape.remarks
    is_lying = shape.turn != 0 and command.video == "auto"
    if codec == "h264" and command.video != "h264" and not adjustment.encode and not is_lying:
        return CopiedVideo(stream, base), f"{said} (copied)"
    encoded = EncodedVideo(stream, base, command.size, command.fps, command.video_bitrate)
    if adjustment.because == NO_KEY_FRAMES:
        encoded.begin_anywhere()
    because = f": {adjustment.because}" if adjustment.because else ""
    return encoded, f"{said} (encoded as h264 {encoded.template.width}x{encoded.template.height}{because})"


def _sound(command: ipc.Open, feed: Feed, microphone: Microphone | None) -> Described:
    stream = _sound_stream(feed)
    if command.audio == "none":
        return Described(None, "no audio track", _name(stream))
    if command.audio == "silence":
        return Described(SilentTrack(), "silence", _name(stream))
    if microphone is not None:
        return _of_microphone(command, microphone)
    if stream is None:
        return Described(SilentTrack(), f"silence ({feed.sound_note})" if feed.sound_note else "silence")
    codec = _name(stream) or ""
    said = ", ".join(filter(None, (_said_sound(stream), feed.sound_note)))
    # without its extradata (ADTS, LATM) AAC cannot stand in an MP4
    is_copyable = codec in COPIED_SOUND and bool(stream.codec_context.extradata)
    if command.audio == "copy" and not is_copyable:
        raise _cannot_be_copied(command, codec)
    filling = quiet_of(stream) if is_copyable else None
    if is_copyable and (command.audio == "copy" or (filling and command.audio in {"auto", codec})):
        return Described(GapFiller(Copied(stream, base_of(stream)), filling), f"{said} (copied)", codec)
    return Described(_encoded(command, stream), f"{said} ({_target(command)})", codec)


def _of_microphone(command: ipc.Open, microphone: Microphone) -> Described:
    if command.audio == "copy":
        raise _cannot_be_copied(command, _name(microphone.stream) or "pcm_s16le")
    return Described(_encoded(command, microphone.stream), said_of(command, microphone), _name(microphone.stream))


def said_of(command: ipc.Open, microphone: Microphone) -> str:
    """Return what is said of a microphone in the description of a source, now."""
    if microphone.stream is not None:
        return f"{_said_sound(microphone.stream)} ({_target(command)})"
    return f"silence ({microphone.fault.detail if microphone.fault else 'the microphone is being opened'})"


def _encoded(command: ipc.Open, stream: AudioStream | None) -> GapFiller:
    """Encoded sound; of a microphone that is not there yet in stereo, which loses nothing of what it will be."""
    codec = "libopus" if command.audio == "opus" else "aac"
    rate, channels = (stream.rate, stream.channels) if stream else (48_000, 2)
    track = EncodedAudio(codec, rate, "mono" if channels == 1 else "stereo")
    if stream is not None:
        track.listen(stream, base_of(stream))
    return GapFiller(track, quiet(codec, track.rate, track.layout))


def _target(command: ipc.Open) -> str:
    return f"encoded as {'opus' if command.audio == 'opus' else 'aac'}"


def _said_sound(stream: AudioStream) -> str:
    return f"{_name(stream)} {stream.rate} Hz"


def _cannot_be_copied(command: ipc.Open, codec: str) -> Refused:
    return Refused(
        Reason.UNSUPPORTED,
        f'{command.source} sends {codec} sound, which cannot be copied: set audio = "auto" or "aac"',
    )


def _sound_stream(feed: Feed) -> AudioStream | None:
    stream = None if feed.sound is None else feed.container.streams[feed.sound]
    return stream if isinstance(stream, AudioStream) else None


def _name(stream: AudioStream | None) -> str | None:
    return stream.codec_context.name if stream else None
