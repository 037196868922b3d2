"""Wake a task that waits for news, however often and whenever the news comes."""

import trio


class Notifier:
    """An event that can be set again and again."""

    # A `trio.Event` is set once, so whoever needs a second one replaces it, and has to do so at the right moment: where
    # it is replaced after the look at what it stands for, news that comes between the two is lost. This one remembers
    # what was set while nobody waited, for the next who waits: such a wait returns at once, and once. So it may return
    # although there is nothing new; whoever waits looks again. A `trio.Condition` does the same, but only under its
    # lock, and a lock cannot be had by a function that must not wait.

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake all who wait; where nobody does, let the next one pass."""
        self._event.set()

    def clear(self) -> None:
        """Forget what was set while nobody waited."""
        if self._event.is_set():
            self._event = trio.Event()

    async def wait(self) -> None:
        """Wait until it is set, or was since the last wait."""
        event = self._event
        await event.wait()
        if event is self._event:
            self._event = trio.Event()
