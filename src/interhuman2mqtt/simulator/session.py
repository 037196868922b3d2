"""One session, from `session.ready` to the end of its connection.

However a session ends, it ends in one way: the connection is closed, by whomever; what had been received is still
decoded; then the session is over. So the record always tells which media had arrived.
"""

from functools import partial
from typing import NamedTuple

import trio

from interhuman2mqtt.simulator import messages
from interhuman2mqtt.simulator.analysis import Analysis
from interhuman2mqtt.simulator.archive import SessionRecord
from interhuman2mqtt.simulator.connection import Line
from interhuman2mqtt.simulator.demuxer import Rules
from interhuman2mqtt.simulator.errors import Answer, lookup
from interhuman2mqtt.simulator.fault_injection import Gauges, play
from interhuman2mqtt.simulator.faults import FaultPlan, Stage
from interhuman2mqtt.simulator.media import Chunk, Reader, Report
from interhuman2mqtt.simulator.messages import Close, ConfigRules, Message, SessionConfig, Terms
from interhuman2mqtt.simulator.settings import INTER_2, Decode, RequireAudio, Settings, Version
from interhuman2mqtt.simulator.tokens import ClientToken

WAITING_CHUNKS = 2
"""Received and not yet read; when there are so many the session stops reading and the client feels it."""


class Run(NamedTuple):
    """The parts that all sessions of a run share."""

    settings: Settings
    plan: FaultPlan


class _Received(NamedTuple):
    """A binary frame with what was in force when it came."""

    segment: int
    """Its number, from 1."""
    chunk: Chunk
    config: SessionConfig


class Session:
    """Runs one session on an open line."""

    def __init__(self, line: Line, run: Run, terms: Terms, record: SessionRecord) -> None:
        settings = run.settings
        self._line = line
        self._settings = settings
        self._plan = run.plan
        self._terms = terms
        self._token = terms.token
        self._record = record
        self._rules = ConfigRules(settings, terms)
        self._config = self._rules.initial()
        self._number = record.session or 0
        self._analysis = Analysis(settings, terms, self._number)
        self._gauges = Gauges()
        self._received, self._unread = trio.open_memory_channel[_Received](WAITING_CHUNKS)
        self._under_way: _Received | None = None
        self._last_media = 0.0
        self._draining = False
        self._reading_media = trio.CancelScope()

    async def run(self) -> None:
        """Serve until the connection is closed and everything that came has been read."""
        self._line.place.callback(self._gauges.read_on)
        self._last_media = trio.current_time()
        await self._line.send(messages.ready(self._settings, self._terms))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._limit_duration)
            nursery.start_soon(self._limit_idle)
            for planned in self._plan.coming(Stage.RUNNING, self._number):
                nursery.start_soon(play, planned, self._line, self._gauges, self._record)
            nursery.start_soon(self._receive)
            await self._analyze()
            nursery.cancel_scope.cancel()

    async def _receive(self) -> None:
        with self._received:
            while (frame := await self._line.receive()) is not None:
                await self._gauges.reading.wait()
                try:
                    await (self._media(frame) if isinstance(frame, bytes) else self._text(frame))
                except Answer as answer:
                    await self._line.send_error(answer.error, answer.message)

    async def _text(self, frame: str) -> None:
        outcome = self._rules.read(frame, self._config, media_sent=self._gauges.chunks.value > 0)
        if isinstance(outcome, Close):
            await self._begin_drain()
            return
        self._config = outcome
        self._record.write("configured", config=outcome)
        await self._line.send(messages.updated(outcome))

    async def _begin_drain(self) -> None:
        if self._draining:
            raise Answer("ih6001", "The session is closing already.")
        await self._line.send(Message("session.closing", {"max_drain_seconds": self._settings.limits.max_drain}))
        self._draining = True
        self._reading_media.deadline = trio.current_time() + self._settings.limits.max_drain
        self._received.close()

    async def _media(self, payload: bytes) -> None:
        self._last_media = trio.current_time()
        if self._draining:
            raise Answer("ih6001", "Media sent after session.close is not analyzed.")
        index = int(self._gauges.chunks.value) + 1
        if self._token is not None and not await self._holds(self._token, len(payload)):
            return
        self._record.chunk(index, payload, is_pcm=self._config.pcm_rate is not None)
        self._gauges.chunks.set(index)
        if self._gauges.rejects is not None:
            await self._line.send_error(lookup(self._gauges.rejects), segment=index)
            return
        limits = self._settings.limits
        if not limits.min_segment_size <= len(payload) <= limits.max_segment_size:
            await self._wrong_size(index, len(payload))
            return
        await self._received.send(_Received(index, Chunk(payload, self._config.pcm_rate), self._config))

    async def _holds(self, token: ClientToken, size: int) -> bool:
        """Charge a chunk to the token, or end the session where that is worth nothing any more."""
        try:
            token.charge(size=size)
            token.check()
        except Answer as answer:
            await self._line.send_error(answer.error, answer.message)
            await self._line.close(answer.error.close, answer.message)
            return False
        return True

    async def _wrong_size(self, index: int, size: int) -> None:
        limits = self._settings.limits
        code = "ih6002" if size > limits.max_segment_size else "ih5004"
        text = f"{size} bytes; a segment has {limits.min_segment_size} to {limits.max_segment_size}."
        await self._line.send_error(lookup(code), text, segment=index)

    async def _analyze(self) -> None:
        """Read all media in a thread, which is started with the first frame; then end the session."""
        with self._unread, self._reading_media:
            self._under_way = await self._next()
            if self._under_way is not None:
                reader = Reader(self._fetch, self._wanted(self._under_way.config))
                begin = partial(reader.run, self._under_way.chunk)
                rest = await trio.to_thread.run_sync(begin, limiter=trio.CapacityLimiter(1))
                if rest.span is not None or rest.answers:
                    await self._publish(rest)
        if self._draining:
            await self._end_drain()

    async def _next(self) -> _Received | None:
        try:
            return await self._unread.receive()
        except trio.EndOfChannel:
            return None

    def _fetch(self, report: Report) -> Chunk | None:
        """Take a frame from the reader's thread."""
        return trio.from_thread.run(self._exchange, report)

    async def _exchange(self, report: Report) -> Chunk | None:
        """Take the reader's report, and return the next frame."""
        await self._publish(report)
        following = await self._next()
        if following is None:
            return None
        self._under_way = following
        return following.chunk

    async def _publish(self, report: Report) -> None:
        """Say what follows from one frame."""
        frame = self._under_way
        assert frame is not None  # noqa: S101 - there is no report before the first frame
        start, end = report.span or (None, None)
        self._record.write("decoded", index=frame.segment, start=start, end=end)
        for answer in report.answers:
            await self._line.send_error(answer.error, answer.message, segment=frame.segment)
        shortest = self._settings.limits.min_segment_duration
        if shortest is not None and report.span is not None and (length := report.span[1] - report.span[0]) < shortest:
            text = f"{length:.2f} s; a segment has at least {shortest:g} s."
            await self._line.send_error(lookup("ih5006"), text, segment=frame.segment)
            return
        for message in self._analysis.advance(report, frame.config):
            await self._line.send(message)
        self._gauges.media.set(report.clock)
        if self._token is not None and report.span is not None:
            self._token.charge(video_s=report.span[1] - report.span[0])

    def _wanted(self, config: SessionConfig) -> Rules:
        settings = self._settings
        only_v2 = self._terms.version is Version.V2
        audio = {RequireAudio.AUTO: only_v2, RequireAudio.ALWAYS: True, RequireAudio.NEVER: False}
        return Rules(
            video=config.model in {None, INTER_2},
            audio=audio[settings.require_audio],
            decode_all=settings.decode is Decode.ALL,
        )

    async def _end_drain(self) -> None:
        for message in self._analysis.finish():
            await self._line.send(message)
        fault = self._plan.take(Stage.DRAIN, self._number)
        if fault is not None:
            self._record.write("fault", kind=fault.kind, argument=fault.argument)
        if fault is not None and fault.kind == "slow-drain":
            beyond = self._settings.limits.max_drain + 5.0
            await trio.sleep(beyond if fault.seconds is None else fault.seconds)
        if fault is None or fault.kind != "no-end":
            await self._line.send(Message("session.ended", {"reason": "client_shutdown"}))
        await self._line.close(1000)

    async def _limit_duration(self) -> None:
        longest = self._settings.limits.max_duration
        if self._token is not None:
            longest = min(longest, self._token.caps.max_duration_seconds or longest)
        await trio.sleep(longest)
        await self._limit("ih6004")

    async def _limit_idle(self) -> None:
        """End an idle session. Only media counts as activity; configuration and pings do not."""
        while (deadline := self._last_media + self._settings.limits.idle_timeout) > trio.current_time():  # noqa: ASYNC110 - the deadline moves
            await trio.sleep_until(deadline)
        if not self._draining:
            await self._limit("ih6003")

    async def _limit(self, code: str) -> None:
        error = lookup(code)
        await self._line.send_error(error)
        await self._line.close(error.close, error.message)
