"""A sound track without holes: what the source gives, and silence where it gives nothing.

Cameras mute, send sound only while somebody speaks, begin with it after seconds, or lose their microphone. A recording
has one sound track from its first packet to its last, so the silence has the codec and the parameters of the sound:
one packet of it is encoded when the track begins, and put in again and again. Copied sound is not decoded for that.
Reopening the source without its sound lost: it takes seconds of video, and the sound never comes back.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import av
from av.audio.stream import AudioStream

from interhuman2mqtt.capture.ring import HOLE_S, SOUND_PATIENCE_S, Packet
from interhuman2mqtt.capture.tracks import AvPacket, Copied, EncodedAudio, open_sound_encoder

GAP_S = 0.5
"""Less between two packets of sound is the network's, or a camera's that stamps several packets alike."""
PRIMING = 4
"""Frames until an encoder has forgotten that there was nothing before."""
AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
LOW_COMPLEXITY = 2
SPECTRAL_BAND_REPLICATION = (5, 29)


class SilentAudio(NamedTuple):
    """A packet of silence."""

    data: bytes
    seconds: Fraction
    """How long it is."""


class GapFiller:
    """A track of sound, copied or encoded, and the silence that stands in for it.

    Args:
        track: What the source's sound becomes.
        quiet: Silence of the same parameters; None where nobody can make it, and holes stay.
    """

    def __init__(self, track: Copied | EncodedAudio, quiet: SilentAudio | None) -> None:
        self.template, self.time_base, self.tick_s = track.template, track.time_base, track.tick_s
        self.is_missing = False
        """Whether silence stands in now."""
        self._track = track
        self._quiet = quiet
        self._step = float(quiet.seconds / track.time_base) if quiet else 0.0
        self._end: float | None = None
        """Where the track ends so far, in ticks."""
        self._filled_to = float("-inf")
        self._came_at: float | None = None
        self._video_s = float("-inf")

    @property
    def is_copied(self) -> bool:
        """Whether the sound is sent as it came."""
        return isinstance(self._track, Copied)

    def listen(self, stream: AudioStream, time_base: Fraction) -> None:
        """Take the sound from another input from here on; not for copied sound."""
        if isinstance(self._track, EncodedAudio):
            self._track.listen(stream, time_base)

    def comes(self, arrival: float) -> None:
        """Sound has come that will be put soon: it is no time for silence to begin."""
        self._came_at = arrival if self._came_at is None else max(self._came_at, arrival)

    def put(self, packet: AvPacket, arrival: float) -> Iterator[Packet]:
        """Return the packets that this one of the source becomes, behind the silence that was before it."""
        self.comes(arrival)
        self.is_missing = False
        for made in self._track.put(packet):
            yield from self._appended(made)

    def _appended(self, made: Packet) -> Iterator[Packet]:
        if made.pts < self._filled_to - self._step / 2:
            return  # silence stands there already, and has maybe left
        if self._end is not None and (made.pts - self._end) * self.tick_s > GAP_S:
            yield from self._silence(made.pts - self._step / 2)
        # where a source does not say how long a packet is, the pause before it counts as that
        lasts = made.duration if 0 < made.duration * self.tick_s < GAP_S else round(self._step)
        self._end = max(self._end or made.pts, made.pts + lasts)
        yield made._replace(duration=lasts)

    def until(self, seconds: float, now: float) -> Iterator[Packet]:
        """Return the silence up to the newest frame, which is shown at `seconds` and came at `now`.

        None while sound comes, however late its stamps are, and none where there is no video either.
        """
        wanted = seconds / self.tick_s
        if self._came_at is None or self._end is None:
            self._came_at, self._end = now, wanted
        if self.is_missing and seconds - self._video_s > HOLE_S:
            self._end = max(self._end, wanted)
        self._video_s = max(self._video_s, seconds)
        is_behind = (wanted - self._end) * self.tick_s > SOUND_PATIENCE_S
        if not self.is_missing and is_behind and now - self._came_at > SOUND_PATIENCE_S:
            self.is_missing = True
            if isinstance(self._track, EncodedAudio):
                for made in self._track.flush():
                    yield from self._appended(made)
        if self.is_missing:
            yield from self._silence(wanted + self._step)

    def _silence(self, wanted: float) -> Iterator[Packet]:
        if self._quiet is None or self._end is None:
            return
        while self._end < wanted:
            at, self._end = round(self._end), self._end + self._step
            data = self._quiet.data
            yield Packet(at, at, round(self._step), key=True, size=len(data), data=data)
        self._filled_to = self._end


def quiet_of(stream: AudioStream) -> SilentAudio | None:
    """Return silence that a stream of AAC or Opus can be filled with; None where its parameters are too rare."""
    context = stream.codec_context
    if context.name == "opus":
        return quiet("libopus", 48_000, "mono" if context.channels == 1 else "stereo") if context.channels < 3 else None
    core = low_complexity(context.extradata or b"")
    return quiet("aac", *core) if core else None


@cache
def quiet(codec: str, rate: int, layout: str) -> SilentAudio:
    """Return a packet of silence, made by the encoder of that name."""
    encoder = open_sound_encoder(codec, rate, layout)
    context = encoder.codec_context
    frame = av.AudioFrame(format=context.format.name, layout=layout, samples=context.frame_size)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    packets: list[bytes] = []
    for number in range(PRIMING):
        frame.pts = number * context.frame_size
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return SilentAudio(packets[-1], Fraction(context.frame_size, rate))


def low_complexity(config: bytes) -> tuple[int, str] | None:
    """Return rate and layout of the AAC-LC in an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

    None for other object types, for channels that a program config element describes, and for frames of 960 samples.
    """
    bits = _Bits(config)
    kind, rate, channels = _object_type(bits), _rate(bits), bits.take(4)
    if kind in SPECTRAL_BAND_REPLICATION:
        _rate(bits)
        kind = _object_type(bits)
    is_short = bits.take(1)
    if kind != LOW_COMPLEXITY or is_short or channels not in AAC_LAYOUTS or not rate:
        return None
    return rate, AAC_LAYOUTS[channels]


class _Bits:
    """Reads numbers from the highest bit on; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        moved = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return moved & ((1 << count) - 1)


def _object_type(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _rate(bits: _Bits) -> int:
    index = bits.take(4)
    if index == 15:
        return bits.take(24)
    return AAC_RATES[index] if index < len(AAC_RATES) else 0
