"""Judge what arrived in the cloud, which flash.py made: judge.py FILE FPS.

Frames a second, the longest hole, the length of the sound, and how long after the flash the tone begins.
"""

import array
import itertools
import sys

import av

SPACING_S = 1.5
"""Flashes are 4 s apart."""

Level = tuple[float, float]


def brightness(path: str) -> list[Level]:
    """Return the time and brightness of each frame."""
    frames = av.open(path).decode(video=0)
    luma = ((frame.time, bytes(frame.planes[0])[::101]) for frame in frames)
    return [(time, sum(values) / len(values)) for time, values in luma]


def loudness(path: str) -> list[Level]:
    """Return the time and the loudest sample of each 256 of the sound."""
    film, levels = av.open(path), []
    for frame in film.decode(audio=0) if film.streams.audio else ():
        samples = array.array("f", bytes(frame.planes[0]))[: frame.samples]
        levels += [
            (frame.time + n / frame.sample_rate, max(samples[n : n + 256 : 5])) for n in range(0, len(samples), 256)
        ]
    return levels


def edges(levels: list[Level]) -> list[float]:
    """Return when the level rose above its middle."""
    values = [value for _, value in levels]
    if not values or max(values) - min(values) < 0.02:
        return []
    middle, found, last = (max(values) + min(values)) / 2, [], -9.0
    for time, value in levels:
        if value > middle:
            if time - last > SPACING_S:
                found.append(time)
            last = time
    return found


path, wanted = sys.argv[1], float(sys.argv[2])
video, sound = brightness(path), loudness(path)
last = video[-1][0]
fps = (len(video) - 1) / (last - video[0][0])
hole = max(after - before for (before, _), (after, _) in itertools.pairwise(video))
flashes, tones = edges(video), edges(sound)
offsets = sorted(min((tone - flash for tone in tones), key=abs) for flash in flashes) if tones else []
offset = offsets[len(offsets) // 2] if offsets else None
heard = sound[-1][0] if sound else 0.0
print(
    f"{last:.0f} s, {fps:.2f} of {wanted:g} frames a second, longest hole {hole:.2f} s, sound to {heard:.1f} s, "
    f"{len(flashes)} flashes, {len(tones)} tones, tone after flash {offset if offset is None else round(offset, 3)} s"
)
together = offset is not None and abs(offset) < 0.4
sys.exit(not (fps > wanted * 0.85 and hole < 1.5 and abs(heard - last) < 1.5 and together))
