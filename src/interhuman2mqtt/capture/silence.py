"""Silence where the source sends no audio: for a while, or never.

A recording has one audio track from its first packet to its last, so the silence has the codec and the parameters of
the audio: one packet of it is encoded when the track begins, and inserted again and again.
"""

# Cameras mute, send audio only while somebody speaks, begin with it after seconds, or lose their microphone. Reopening
# the source without its audio was tried and lost: it cost 5.3 s of video each time, and the audio never came back. Nor
# is copied audio decoded so that silence could be mixed in: that would take all from copying that copying saves.

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import av
from av.audio.stream import AudioStream

from interhuman2mqtt.capture.encoders import PCM, EncodedAudio, open_audio_encoder
from interhuman2mqtt.capture.ring import AUDIO_WAIT_S, GAP_S, Packet
from interhuman2mqtt.capture.tracks import AvPacket, CopiedTrack

JITTER_S = 0.5
"""Less between two packets of audio is the network's, or a camera's that stamps several packets alike."""
PRIMING = 4
"""Frames until an encoder has forgotten that there was nothing before."""
SILENT_RATE, SILENT_LAYOUT = 48_000, "mono"
"""Of a source without audio."""
MPEG4_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350)
MPEG4_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""Sample rates and channels by their index in an AudioSpecificConfig."""
LOW_COMPLEXITY = 2
SPECTRAL_BAND_REPLICATION = (5, 29)


class SilentPacket(NamedTuple):
    """A packet of silence."""

    data: bytes
    seconds: Fraction
    """Its duration."""


class SilentTrack:
    """AAC silence for a source without audio, as long as its video."""

    is_pcm = False

    def __init__(self) -> None:
        self.template = open_audio_encoder("aac", SILENT_RATE, SILENT_LAYOUT)
        self.time_base = Fraction(1, SILENT_RATE)
        self.tick_s = 1 / SILENT_RATE
        silence = silent_packet("aac", SILENT_RATE, SILENT_LAYOUT)
        self._data, self._samples = silence.data, int(silence.seconds * SILENT_RATE)
        self._next: int | None = None

    def fill_until(self, seconds: float, _now: float = 0.0) -> Iterator[Packet]:
        """Return the silence from where it ended to `seconds` on the timeline."""
        wanted = int(seconds * SILENT_RATE)
        if self._next is None or wanted - self._next > SILENT_RATE:
            self._next = wanted
        while self._next <= wanted + self._samples:  # beyond it: a GOP that ends there need not wait for the next frame
            yield Packet(self._next, self._next, self._samples, key=True, size=len(self._data), data=self._data)
            self._next += self._samples


class GapFilledAudio:
    """An audio track, copied or encoded, and the silence that stands in for it.

    Args:
        track: What the source's audio becomes.
        silence: Of the same parameters; None where nobody can make it, and gaps stay.
    """

    def __init__(self, track: CopiedTrack | EncodedAudio, silence: SilentPacket | None) -> None:
        self.template, self.time_base, self.tick_s = track.template, track.time_base, track.tick_s
        self.is_missing = False
        """Whether silence stands in now."""
        self._track = track
        self._silence = silence
        self._step = float(silence.seconds / track.time_base) if silence else 0.0
        self._end: float | None = None
        """Where the track ends so far, in ticks."""
        self._filled_to = float("-inf")
        self._came_at: float | None = None
        self._video_s = float("-inf")

    @property
    def is_copied(self) -> bool:
        """Whether the audio is sent as it came."""
        return isinstance(self._track, CopiedTrack)

    @property
    def is_pcm(self) -> bool:
        """Whether it is encoded as PCM, which is sent without a container."""
        return isinstance(self._track, EncodedAudio) and self._track.template.codec_context.name == PCM

    def use_input(self, stream: AudioStream, time_base: Fraction) -> None:
        """Encode the audio of another stream from here on; not for copied audio."""
        if isinstance(self._track, EncodedAudio):
            self._track.use_input(stream, time_base)

    def expect(self, arrival: float) -> None:
        """Note that audio has come and will be converted soon: it is no time for silence to begin."""
        self._came_at = arrival if self._came_at is None else max(self._came_at, arrival)

    def convert(self, packet: AvPacket, arrival: float) -> Iterator[Packet]:
        """Return the packets that this one of the source becomes, behind the silence that was before it."""
        self.expect(arrival)
        self.is_missing = False
        for made in self._track.convert(packet):
            yield from self._appended(made)

    def _appended(self, made: Packet) -> Iterator[Packet]:
        if made.pts < self._filled_to - self._step / 2:
            return  # silence stands there already, and may have been sent
        if self._end is not None and (made.pts - self._end) * self.tick_s > JITTER_S:
            yield from self._fill(made.pts - self._step / 2)
        # where a source does not say how long a packet is, the pause before it counts as that
        lasts = made.duration if 0 < made.duration * self.tick_s < JITTER_S else round(self._step)
        self._end = max(self._end or made.pts, made.pts + lasts)
        yield made if made.duration == lasts else made._replace(duration=lasts)

    def fill_until(self, seconds: float, now: float) -> Iterator[Packet]:
        """Return the silence up to the newest frame of video, which is shown at `seconds` and came at `now`.

        None while audio comes, however late its stamps are, and none where there is no video either.
        """
        wanted = seconds / self.tick_s
        if self._came_at is None or self._end is None:
            self._came_at, self._end = now, wanted
        if self.is_missing and seconds - self._video_s > GAP_S:
            self._end = max(self._end, wanted)
        self._video_s = max(self._video_s, seconds)
        is_behind = (wanted - self._end) * self.tick_s > AUDIO_WAIT_S
        if not self.is_missing and is_behind and now - self._came_at > AUDIO_WAIT_S:
            self.is_missing = True
            if isinstance(self._track, EncodedAudio):
                for made in self._track.flush():
                    yield from self._appended(made)
        if self.is_missing:
            yield from self._fill(wanted + self._step)

    def _fill(self, wanted: float) -> Iterator[Packet]:
        if self._silence is None or self._end is None:
            return
        data = self._silence.data
        while self._end < wanted:
            at, self._end = round(self._end), self._end + self._step
            yield Packet(at, at, round(self._step), key=True, size=len(data), data=data)
        self._filled_to = self._end


def silent_packet_for(stream: AudioStream) -> SilentPacket | None:
    """Return silence that a stream of AAC or Opus can be filled with; None where its parameters are too rare."""
    context = stream.codec_context
    if context.name == "opus" and context.channels > 2:
        return None
    if context.name == "opus":
        return silent_packet("libopus", 48_000, "mono" if context.channels == 1 else "stereo")
    core = parse_aac_config(context.extradata or b"")
    return silent_packet("aac", *core) if core else None


@cache
def silent_packet(codec: str, rate: int, layout: str) -> SilentPacket:
    """Return a packet of silence, made by the encoder of that name."""
    encoder = open_audio_encoder(codec, rate, layout)
    context = encoder.codec_context
    frame = av.AudioFrame(format=context.format.name, layout=layout, samples=context.frame_size)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    packets: list[bytes] = []
    for number in range(PRIMING):
        frame.pts = number * context.frame_size
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return SilentPacket(packets[-1], Fraction(context.frame_size, rate))


def parse_aac_config(config: bytes) -> tuple[int, str] | None:
    """Return rate and layout of the AAC-LC in an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

    None for other object types, for channels that a program config element describes, and for frames of 960 samples.
    """
    bits = _BitReader(config)
    kind, rate, channels = _object_type(bits), _rate(bits), bits.read(4)
    if kind in SPECTRAL_BAND_REPLICATION:
        _rate(bits)
        kind = _object_type(bits)
    is_short = bits.read(1)
    if kind != LOW_COMPLEXITY or is_short or channels not in MPEG4_LAYOUTS or not rate:
        return None
    return rate, MPEG4_LAYOUTS[channels]


class _BitReader:
    """Reads numbers from the highest bit on; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        self._left -= count
        moved = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return moved & ((1 << count) - 1)


def _object_type(bits: _BitReader) -> int:
    kind = bits.read(5)
    return 32 + bits.read(6) if kind == 31 else kind


def _rate(bits: _BitReader) -> int:
    index = bits.read(4)
    if index == 15:
        return bits.read(24)
    return MPEG4_RATES[index] if index < len(MPEG4_RATES) else 0
