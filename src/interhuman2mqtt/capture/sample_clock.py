"""The times of audio by counting its samples, which are as steady as the crystal that took them; stamps are not."""

# Cameras stamp packets of audio by a clock of milliseconds, by the wall clock, or when they find the time. A resampler
# that followed each of these stamps would make the pitch waver, and crackle; one that ignored them would drift away
# from the video by seconds a day. So samples are counted on, and the stamps are followed slowly; only where samples are
# really missing, or too many, there is a step.

from collections import deque
from statistics import median

FOLLOW_S = 5.0
"""A difference from the stamps is made good in this time: jitter of 20 ms moves a frame by 80 us."""
LOSS_S = 0.1
"""More than jitter: from here on, for `LOSS_FRAMES`, samples are missing..."""
LOSS_FRAMES = 3
JUMP_S = 0.5
"""...and from here on at once."""
FRAMES = 50
"""So many in a row show the rate of the samples: a second of G.711, or of AAC at 48 kHz."""
RATE_TOLERANCE = 0.05
"""By how much the rate must be another than the announced one."""
RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


class SampleClock:
    """The clock that places each frame of audio, in seconds."""

    def __init__(self) -> None:
        self._next_s: float | None = None
        self._off = 0

    def place(self, stamped_s: float, duration_s: float) -> float:
        """Return the beginning of a frame that is stamped so and has samples for so long."""
        if self._next_s is None or self._is_loss(stamped_s - self._next_s):
            self._next_s, self._off = stamped_s, 0
        off_s = min(max(stamped_s - self._next_s, -LOSS_S), LOSS_S)
        at_s = self._next_s + off_s * min(duration_s / FOLLOW_S, 1.0)
        self._next_s = at_s + duration_s
        return at_s

    def _is_loss(self, off_s: float) -> bool:
        self._off = self._off + 1 if abs(off_s) > LOSS_S else 0
        return self._off >= LOSS_FRAMES or abs(off_s) > JUMP_S


class SampleRate:
    """The true number of samples a second, where the source announces another (16 kHz as G.711 of 8 kHz)."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque(maxlen=FRAMES)
        self._before: tuple[float, int] | None = None
        self.rate: int | None = None
        """The rate that was found; None as long as the announced one may be true."""

    def observe(self, stamped_s: float, samples: int, announced: int) -> bool:
        """Take note of a frame that is stamped so; return whether another rate is known from here on."""
        if self._before is not None:
            self._steps.append((stamped_s - self._before[0], self._before[1]))
        self._before = (stamped_s, samples)
        if len(self._steps) < FRAMES or min(step for step, _ in self._steps) <= 0:
            return False
        found = self._found()
        known = self.rate or announced
        if found is None or abs(found / known - 1) < RATE_TOLERANCE:
            return False
        self.rate = min(RATES, key=lambda rate: abs(rate / found - 1))
        self._steps.clear()
        return self.rate != known

    def _found(self) -> float | None:
        """Return samples a second by all frames together, if the single ones agree: what is lost is no slow clock."""
        whole = sum(samples for _, samples in self._steps) / sum(step for step, _ in self._steps)
        usual = median(samples / step for step, samples in self._steps)
        return whole if abs(whole / usual - 1) < RATE_TOLERANCE else None
