"""The selection of what each track of a source becomes: copied wherever the cloud takes it as it is, else encoded."""

# Why copying comes first: a copied camera of 1080p30 costs 1.3 % of a core. Decoding it takes 7.5 %, and x264 8 % for
# 720p25 alone. So this decides whether two cores hold forty cameras or a few. What speaks against it is found in the
# stream, and never asked of people: a codec that the cloud does not take, key frames that are too rare for its window
# of 8 s, none at all (intra refresh), or frames that have to be turned.

from typing import NamedTuple

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.encoders import PCM, EncodedAudio, EncodedVideo
from interhuman2mqtt.capture.microphone import Microphone
from interhuman2mqtt.capture.rotation import shape_of
from interhuman2mqtt.capture.silence import GapFilledAudio, SilentTrack, silent_packet, silent_packet_for
from interhuman2mqtt.capture.tracks import CopiedTrack, CopiedVideo, Tracks, VideoTrack, time_base_of
from interhuman2mqtt.errors import Outage, Reason, Refused

RAW_VIDEO = ("rawvideo", "wrapped_avframe")
"""FFmpeg's names for frames that are not compressed, of devices and of its own generators."""
INTRA_REFRESH, NO_KEY_FRAMES, CHANGING_FORMAT = "intra refresh", "no key frames", "its format changes"
"""Why H.264 that could be copied is encoded."""
COPYABLE_AUDIO = ("aac", "opus")
PCM_RATES = {"pcm": 16_000, "pcm-24k": 24_000}
"""Samples a second, by the value of `audio`; mono, as the cloud takes them."""
ENCODERS = {"opus": "libopus", "pcm": PCM, "pcm-24k": PCM}
"""FFmpeg's encoders by the value of `audio`; else `aac`."""
TARGETS = {"opus": "opus", "pcm": "pcm", "pcm-24k": "pcm"}


class SourceHints(NamedTuple):
    """Properties of a source that showed only while it ran."""

    encode: bool = False
    """It cannot be copied, because its key frames are too rare, or for this reason."""
    because: str = ""


class TrackSelection(NamedTuple):
    """The tracks of an epoch, and their description for people."""

    tracks: Tracks
    opened: ipc.Opened
    video_description: str
    """The first half of the description, to which a microphone adds another second one when it comes or goes."""


class SelectedAudio(NamedTuple):
    """A track of audio, and its description for people."""

    track: GapFilledAudio | SilentTrack | None
    description: str
    codec: str | None = None
    """The source's."""


def select_tracks(
    command: ipc.Open, feed: Feed, hints: SourceHints, microphone: Microphone | None = None
) -> TrackSelection:
    """Return the tracks for what a feed holds, and the microphone beside it.

    Raises:
        Refused: The configuration asks to copy what cannot be copied.
        Outage: The source has not sent a frame yet whose size is known.
    """
    if command.audio_only:
        return _select_audio_only(command, feed)
    stream = feed.container.streams[feed.video or 0]
    assert isinstance(stream, VideoStream)  # noqa: S101 - the feed says so
    video, video_description = _select_video(command, stream, hints, _describe_video(feed, stream))
    audio = _select_audio(command, feed, microphone)
    opened = ipc.Opened(
        description=f"{video_description}, {audio.description}",
        video=stream.codec_context.name,
        audio=audio.codec,
        video_copied=isinstance(video, CopiedTrack),
        audio_copied=isinstance(audio.track, GapFilledAudio) and audio.track.is_copied,
    )
    return TrackSelection(Tracks(video, audio.track), opened, video_description)


def _select_audio_only(command: ipc.Open, feed: Feed) -> TrackSelection:
    """Return the tracks of a source whose video is not used; where its audio pauses there is a gap, and no silence."""
    stream = _audio_stream(feed)
    assert stream is not None  # noqa: S101 - without it the source does not open
    codec, track = _codec_name(stream) or "", _copied_or_encoded(command, stream)
    how = "copied" if isinstance(track, CopiedTrack) else _target_text(command)
    source = ", ".join(filter(None, (_describe_audio(stream), feed.audio_note)))
    opened = ipc.Opened(
        description=f"{source} ({how}), audio only",
        video=None,
        audio=codec,
        video_copied=False,
        audio_copied=isinstance(track, CopiedTrack),
    )
    return TrackSelection(Tracks(None, GapFilledAudio(track, None)), opened, "")


def _copied_or_encoded(command: ipc.Open, stream: AudioStream) -> CopiedTrack | EncodedAudio:
    codec = _codec_name(stream) or ""
    if _is_copyable(stream) and command.audio in {"auto", "copy", codec}:
        return CopiedTrack(stream, time_base_of(stream))
    if command.audio == "copy":
        raise _cannot_be_copied(command, codec)
    return _encoder(command, stream)


def _is_copyable(stream: AudioStream) -> bool:
    """Decide whether it can stand in an MP4: without its extradata (ADTS, LATM) AAC cannot."""
    return _codec_name(stream) in COPYABLE_AUDIO and bool(stream.codec_context.extradata)


def _describe_video(feed: Feed, stream: VideoStream) -> str:
    """Return the format of the video; of a camera of this machine also the rate, which depends on it."""
    name = stream.codec_context.name
    if feed.mode is None:
        return f"{'raw video' if name in RAW_VIDEO else name} {stream.width}x{stream.height}"
    return str(feed.mode._replace(width=stream.width, height=stream.height, fps=float(stream.average_rate or 0)))


def _select_video(command: ipc.Open, stream: VideoStream, hints: SourceHints, source: str) -> tuple[VideoTrack, str]:
    codec = stream.codec_context.name
    base = time_base_of(stream)
    if not (stream.width and stream.height):  # opened while no key frame came, which alone has it
        raise Outage(Reason.INVALID_MEDIA, f"{command.source} sends no video whose size can be told")
    if command.video == "copy" and codec != "h264":
        raise Refused(
            Reason.UNSUPPORTED,
            f'{command.source} sends {codec}, which the cloud does not take: set video = "auto" or "h264"',
        )
    shape = shape_of(stream)
    source += shape.remarks
    is_turned = shape.turn != 0 and command.video == "auto"
    if codec == "h264" and command.video != "h264" and not hints.encode and not is_turned:
        return CopiedVideo(stream, base), f"{source} (copied)"
    encoded = EncodedVideo(stream, base, command.size, command.fps, command.video_bitrate)
    if hints.because == NO_KEY_FRAMES:
        encoded.show_incomplete_frames()
    because = f": {hints.because}" if hints.because else ""
    return encoded, f"{source} (encoded as h264 {encoded.template.width}x{encoded.template.height}{because})"


def _select_audio(command: ipc.Open, feed: Feed, microphone: Microphone | None) -> SelectedAudio:
    stream = _audio_stream(feed)
    if command.audio == "none":
        return SelectedAudio(None, "no audio track", _codec_name(stream))
    if command.audio == "silence":
        return SelectedAudio(SilentTrack(), "silence", _codec_name(stream))
    if microphone is not None:
        return _select_microphone(command, microphone)
    if stream is None:
        return SelectedAudio(SilentTrack(), f"silence ({feed.audio_note})" if feed.audio_note else "silence")
    codec = _codec_name(stream) or ""
    source = ", ".join(filter(None, (_describe_audio(stream), feed.audio_note)))
    is_copyable = _is_copyable(stream)
    if command.audio == "copy" and not is_copyable:
        raise _cannot_be_copied(command, codec)
    silence = silent_packet_for(stream) if is_copyable else None
    if is_copyable and (command.audio == "copy" or (silence and command.audio in {"auto", codec})):
        return SelectedAudio(
            GapFilledAudio(CopiedTrack(stream, time_base_of(stream)), silence), f"{source} (copied)", codec
        )
    return SelectedAudio(_encode_audio(command, stream), f"{source} ({_target_text(command)})", codec)


def _select_microphone(command: ipc.Open, microphone: Microphone) -> SelectedAudio:
    if command.audio == "copy":
        raise _cannot_be_copied(command, _codec_name(microphone.stream) or "pcm_s16le")
    return SelectedAudio(
        _encode_audio(command, microphone.stream),
        microphone_description(command, microphone),
        _codec_name(microphone.stream),
    )


def microphone_description(command: ipc.Open, microphone: Microphone) -> str:
    """Return the half of a source's description that is about its microphone, now."""
    if microphone.stream is not None:
        return f"{_describe_audio(microphone.stream)} ({_target_text(command)})"
    return f"silence ({microphone.fault.detail if microphone.fault else 'the microphone is being opened'})"


def _encode_audio(command: ipc.Open, stream: AudioStream | None) -> GapFilledAudio:
    """Return encoded audio; of a microphone that is not there yet in stereo, which loses nothing of what it will be."""
    track = _encoder(command, stream)
    return GapFilledAudio(track, silent_packet(ENCODERS.get(command.audio, "aac"), track.rate, track.layout))


def _encoder(command: ipc.Open, stream: AudioStream | None) -> EncodedAudio:
    codec = ENCODERS.get(command.audio, "aac")
    rate, channels = (stream.rate, stream.channels) if stream else (48_000, 2)
    rate, layout = PCM_RATES.get(command.audio, rate), "mono" if channels == 1 or codec == PCM else "stereo"
    track = EncodedAudio(codec, rate, layout)
    if stream is not None:
        track.use_input(stream, time_base_of(stream))
    return track


def _target_text(command: ipc.Open) -> str:
    rate = f" {PCM_RATES[command.audio]} Hz" if command.audio in PCM_RATES else ""
    return f"encoded as {TARGETS.get(command.audio, 'aac')}{rate}"


def _describe_audio(stream: AudioStream) -> str:
    return f"{_codec_name(stream)} {stream.rate} Hz"


def _cannot_be_copied(command: ipc.Open, codec: str) -> Refused:
    return Refused(
        Reason.UNSUPPORTED,
        f'{command.source} sends {codec} audio, which cannot be copied: set audio = "auto" or "aac"',
    )


def _audio_stream(feed: Feed) -> AudioStream | None:
    stream = None if feed.audio is None else feed.container.streams[feed.audio]
    return stream if isinstance(stream, AudioStream) else None


def _codec_name(stream: AudioStream | None) -> str | None:
    return stream.codec_context.name if stream else None
