"""The course of a run: the parts go on, the weather strikes, everything is watched, and calm comes at the end."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import trio

from soak.archive import NO_MEDIA, CloudSession, Media, read_media
from soak.court import Court
from soak.site import CAMERAS, SCENES, Site
from soak.storm import COMEBACK_S, Happening, closing
from soak.watch import Watch
from soak.weather import Weather

SAMPLE_S = 5.0
READ_S = 2.0
NOBODYS_S = 60.0
"""After which media is forgotten that no camera is known of."""
CALM_S = 20.0
"""After the last fault figures are those of calm again."""
TOO_MANY = 30
"""Breaches that make a run hopeless."""


class Retained(NamedTuple):
    """What the broker retained in the last calm, and after the end."""

    calm: dict[str, bytes]
    stopped: dict[str, bytes]


class Course:
    """One run."""

    def __init__(
        self, site: Site, plan: tuple[Happening, ...], seconds: float, say: Callable[[str], None] = print
    ) -> None:
        self.weather = Weather(site)
        self.court = Court(site, self.weather)
        self.began = time.time()
        self.watch = Watch(site.mark)
        self.retained = Retained({}, {})
        self.gave_up = ""
        self._say = say
        self._site = site
        self._plan = plan
        self._seconds = seconds
        self._struck_at = 0.0

    async def run(self) -> None:
        """From the start of the daemon to its end."""
        site = self._site
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.daemon.watch)
            nursery.start_soon(self._read)
            await site.daemon.up()
            nursery.start_soon(self._sample)
            nursery.start_soon(self._tell)
            nursery.start_soon(self._despair, storm := trio.CancelScope())
            with storm:
                await self._storm()
                await self._calm()
            calm = await site.retained()
            await self._stop()
            self.retained = Retained(calm, await site.retained())
            nursery.cancel_scope.cancel()
        await self._read_once(last=True)

    async def _storm(self) -> None:
        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            self.weather.began = time.time()
            for happening in self._plan:
                await trio.sleep_until(start + happening.second)
                nursery.start_soon(self.weather.strike, happening)

    async def _calm(self) -> None:
        """At least as long as was planned, and until all cameras are back or can be expected to be."""
        until = trio.current_time() + closing(self._seconds)
        with trio.move_on_after(max(COMEBACK_S, closing(self._seconds))):
            while not self._all_stream():  # noqa: ASYNC110 - what the broker was told wakes nobody
                await trio.sleep(0.5)
        await trio.sleep_until(until)

    def _all_stream(self) -> bool:
        statuses = self._site.book.statuses
        return all(name in statuses and statuses[name].state == "streaming" for name in CAMERAS.all)

    async def _stop(self) -> None:
        """SIGTERM, and time for the last words to arrive."""
        await self._site.daemon.down(signal.SIGTERM)
        await trio.sleep(1.0)
        self.watch.look_for_the_rest()

    async def _despair(self, storm: trio.CancelScope) -> None:
        """End a run early of which nothing can be hoped."""
        while not self._is_hopeless():  # noqa: ASYNC110 - what is counted wakes nobody
            await trio.sleep(1.0)
        self.gave_up = "the daemon ended too often" if self._site.daemon.hopeless.is_set() else "too much is wrong"
        storm.cancel()

    def _is_hopeless(self) -> bool:
        wrong = self._site.book.counts["breaches"] + len(self.court.lost) + len(self.court.disordered)
        return self._site.daemon.hopeless.is_set() or wrong > TOO_MANY

    async def _tell(self) -> None:
        """A line a minute for who waits."""
        for minute in count(1):
            await trio.sleep(60.0)
            book, statuses = self._site.book, self._site.book.statuses.values()
            states = ", ".join(f"{n} {state}" for state, n in sorted(Counter(s.state for s in statuses).items()))
            self._say(f"{minute:4} min: {len(self.weather.done)} faults, {book.counts['events']:,} events; {states}")

    async def _sample(self) -> None:
        while True:
            await trio.sleep(SAMPLE_S)
            self._site.trim()
            daemon = self._site.daemon.pid
            self.watch.look_for_leftovers(daemon)
            if self.weather.under_way:
                self._struck_at = time.time()
            elif daemon is not None and time.time() - self._struck_at > CALM_S:
                self.watch.take_samples(daemon)

    async def _read(self) -> None:
        while True:
            await trio.sleep(READ_S)
            await self._read_once()
            self._site.listener.judge(time.time())
            self.court.settle(time.time())

    async def _read_once(self, *, last: bool = False) -> None:
        """Take what the cloud wrote, and look at the media of the sessions that are over."""
        archive = self._site.archive
        archive.read()
        for session in [one for one in archive.sessions.values() if one.closed_at and one.media is None]:
            session.camera = self._camera_of(session)
            if session.camera is not None:
                session.media = await self._look_at(session, session.camera)
            elif last or time.time() - (session.closed_at or 0) > NOBODYS_S:
                session.media = NO_MEDIA
            else:
                continue
            is_odd = session.media.doubtful and not self.court.is_hampered(session)
            if not (session.media.troubles or is_odd):
                archive.forget(session)

    def _camera_of(self, session: CloudSession) -> str | None:
        book, daemon = self._site.book, self._site.daemon
        return book.camera_of(session.name) or daemon.camera_of.get(session.correlation_id or "")

    async def _look_at(self, session: CloudSession, camera: str) -> Media:
        files = self._site.archive.files(session)
        return await trio.to_thread.run_sync(read_media, files, SCENES[camera], session.closed_at or 0.0)
