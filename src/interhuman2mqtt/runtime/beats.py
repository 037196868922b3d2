"""Moments that all who look at something again and again have in common, so that the event loop wakes once for them."""

# A wake costs more than most looks: some 0.2 ms, since another process has had the caches meanwhile. Each camera has a
# look of its own, so that forty of them woke the daemon all the time. One task that looks at everything would do the
# same, and know of everything.

import trio


async def sleep_until_beat(seconds: float) -> None:
    """Sleep until the clock is a multiple of `seconds`: no longer than that, and less the first time."""
    await trio.sleep(seconds - trio.current_time() % seconds)
