"""Decides what each track of a source becomes: copied wherever the cloud can take it as it is, else encoded."""

from typing import NamedTuple

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from interhuman2mqtt.capture import wire
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.recorder import Tracks
from interhuman2mqtt.capture.tracks import Copied, EncodedSound, EncodedVideo, Silence, Track, base_of
from interhuman2mqtt.errors import Outage, Reason, Refused

RAW_VIDEO = ("rawvideo", "wrapped_avframe")
"""FFmpeg's names for pictures that are not compressed, of devices and of its own generators."""
COPIED_SOUND = ("aac", "opus")


class Adjustment(NamedTuple):
    """What was learned about a source only while it ran."""

    encode: bool = False
    """Its key frames are too rare to copy."""
    silence: bool = False
    """It announces sound and sends none."""


class Choice(NamedTuple):
    """The tracks of a take, and what is said about them."""

    tracks: Tracks
    opened: wire.Opened


def choose(command: wire.Open, feeds: list[Feed], adjustment: Adjustment) -> Choice:
    """The tracks for what the feeds hold.

    Raises:
        Refused: the configuration asks to copy what cannot be copied.
        Outage: the source does not tell enough of its pictures yet.
    """
    picture = feeds[0].container.streams[feeds[0].video or 0]
    assert isinstance(picture, VideoStream)  # noqa: S101 - the feed says so
    video, video_said = _video(command, picture, adjustment, _said(feeds[0], picture))
    sound, sound_said = _sound(command, _sound_stream(feeds), adjustment)
    opened = wire.Opened(
        description=f"{video_said}, {sound_said}",
        video=picture.codec_context.name,
        audio=_name(_sound_stream(feeds)),
        video_copied=isinstance(video, Copied),
        audio_copied=isinstance(sound, Copied),
    )
    return Choice(Tracks(video, sound), opened)


def _said(feed: Feed, stream: VideoStream) -> str:
    """What comes from the source; of a camera of this machine also how often, which depends on the format."""
    name = stream.codec_context.name
    if feed.mode is None:
        return f"{'raw video' if name in RAW_VIDEO else name} {stream.width}x{stream.height}"
    return str(feed.mode._replace(width=stream.width, height=stream.height, fps=float(stream.average_rate or 0)))


def _video(command: wire.Open, stream: VideoStream, adjustment: Adjustment, said: str) -> tuple[Track, str]:
    codec = stream.codec_context.name
    base = base_of(stream)
    if not (stream.width and stream.height):  # opened while no key frame came, which alone tells it
        raise Outage(Reason.INVALID_MEDIA, f"{command.source} sends no picture whose size can be told")
    if command.video == "copy" and codec != "h264":
        raise Refused(
            Reason.UNSUPPORTED,
            f'{command.source} sends {codec}, which the cloud does not take: set video = "auto" or "h264"',
        )
    if codec == "h264" and command.video != "h264" and not adjustment.encode:
        return Copied(stream, base), f"{said} (copied)"
    encoded = EncodedVideo(stream, base, command.size, command.fps, command.video_bitrate)
    return encoded, f"{said} (encoded as h264 {encoded.template.width}x{encoded.template.height})"


def _sound(
    command: wire.Open, stream: AudioStream | None, adjustment: Adjustment
) -> tuple[Track | Silence | None, str]:
    if command.audio == "none":
        return None, "no sound track"
    if stream is None or command.audio == "silence" or adjustment.silence:
        return Silence(), "silence"
    codec = _name(stream)
    said = f"{codec} {stream.rate} Hz"
    # without its extradata (ADTS, LATM) AAC cannot stand in an MP4
    copyable = codec in COPIED_SOUND and bool(stream.codec_context.extradata)
    if command.audio == "copy" and not copyable:
        raise Refused(
            Reason.UNSUPPORTED,
            f'{command.source} sends {codec} sound, which cannot be copied: set audio = "auto" or "aac"',
        )
    if copyable and command.audio in {"auto", "copy", codec}:
        return Copied(stream, base_of(stream)), f"{said} (copied)"
    target = "libopus" if command.audio == "opus" else "aac"
    return EncodedSound(stream, base_of(stream), target), f"{said} (encoded as {target.removeprefix('lib')})"


def _sound_stream(feeds: list[Feed]) -> AudioStream | None:
    for feed in feeds:
        if feed.sound is not None:
            stream = feed.container.streams[feed.sound]
            return stream if isinstance(stream, AudioStream) else None
    return None


def _name(stream: AudioStream | None) -> str | None:
    return stream.codec_context.name if stream else None
