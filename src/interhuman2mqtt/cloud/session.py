"""One session with the cloud, from open to ended.

::

    connect -> session.ready -> config -> session.updated -> chunk, ping, chunk, ping ... last chunk
            -> session.close -> session.closing -> what is left -> session.ended -> closed

Two tasks share a session: the one of `hearing` receives, the one here sends, and decides.
"""

import random

import trio

from interhuman2mqtt.cloud.error_table import Reaction
from interhuman2mqtt.cloud.event_mapper import EventMapper
from interhuman2mqtt.cloud.flow_control import Pacer, Proof, Unacknowledged
from interhuman2mqtt.cloud.http import ApiKey, UpgradeRequest
from interhuman2mqtt.cloud.receiver import LINGER, Receiver
from interhuman2mqtt.cloud.session_types import (
    CLOSE_FRAME,
    Anomaly,
    EndCause,
    Observer,
    SessionEnd,
    SessionLimits,
    SessionOptions,
    config_frame,
    negotiate,
)
from interhuman2mqtt.cloud.websocket import (
    CLOSE_TIMEOUT,
    ConnectionOver,
    Dial,
    Server,
    WebSocketConnection,
    connect,
    dial,
)
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import MediaChunk, Recording

READY_TIMEOUT = 20.0
"""Seconds from the upgrade to `session.ready`."""
ANSWER_TIMEOUT = 10.0
"""Seconds from the config to `session.updated`; without it the session goes on, and says so."""
PONG_TIMEOUT = 60.0
"""Seconds from a chunk to the pong that shows its arrival."""
MARGIN_MAX = 60.0
"""Seconds before the session's maximum at which it should be over."""
PATIENCE_MAX = 60.0
"""Seconds without media after which a session is given back."""


async def run_session(  # noqa: PLR0913 - these are all that a session has to do with
    server: Server,
    api_key: str,
    wishes: SessionOptions,
    recording: Recording,
    *,
    interpreter: EventMapper,
    observer: Observer,
    dial: Dial = dial,
) -> SessionEnd:
    """Runs one session to its end; raises Outage, Overloaded or Refused where it fails.

    However it ends, and be it by cancellation, the connection is closed and signals that are still active get an end.
    Once it is cancelled nothing more of it leaves the box.
    """
    greeting = UpgradeRequest(ApiKey(api_key), interpreter.origin.session, wishes.model)
    del api_key  # a traceback that shows local values must not show it
    session = _Session(wishes, recording, interpreter, observer)
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            connection = await connect(nursery, server, greeting, dial)
            try:
                await session.run(nursery, connection)
            except trio.Cancelled:
                connection.abort()
                raise
            finally:
                with trio.move_on_after(2 * CLOSE_TIMEOUT, shield=True):
                    await connection.close()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = _telling(group)
    finally:
        for event in interpreter.end():
            observer.event(event)
    if failure is not None:
        raise failure
    return session.outcome()


def _telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a group that matters: a cancellation or a bug beats an outage. The group, where more do."""
    leaves = _leaves(group)
    matters = [error for error in leaves if not isinstance(error, Outage)] or leaves[:1]
    return matters[0] if len(matters) == 1 else group


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


class _Session:
    """The sending half."""

    def __init__(
        self, wishes: SessionOptions, recording: Recording, interpreter: EventMapper, observer: Observer
    ) -> None:
        self._wishes = wishes
        self._recording = recording
        self._interpreter = interpreter
        self._observer = observer
        self._proofs = Unacknowledged()
        self._heard = Receiver(interpreter, observer, self._proofs)
        self._pace = Pacer()
        self._rotating = self._asked_to_end = False
        self._cause: EndCause | None = None
        self._capture: Outage | None = None
        self._failure: Outage | None = None

    async def run(self, nursery: trio.Nursery, connection: WebSocketConnection) -> None:
        """From the open connection to the moment when it may be closed."""
        self._interpreter.correlation_id = connection.correlation_id
        began = trio.current_time()
        nursery.start_soon(self._heard.listen, connection)
        with self._heard.work:
            try:
                await self._open(connection)
                nursery.start_soon(self._rotate, began)
                await self._stream(nursery, connection)
                await self._drain(connection)
            except ConnectionOver:
                await trio.sleep(LINGER)  # until the other half has read to the end, and cancels this
            except Outage as outage:
                self._failure = outage
        self._conclude()

    def _conclude(self) -> None:
        """What the end says of what was sent: the cloud had all of it, if it answered our session.close."""
        if not self._heard.ended.is_set():
            if self._cause is not None:
                self._observer.on_anomaly(
                    Anomaly.NOT_DRAINED, "the session is over before the cloud sent session.ended"
                )
        elif self._asked_to_end:
            for proof in self._proofs.proven():
                self._delivered(proof, None)

    def outcome(self) -> SessionEnd:
        """How it ended, once the connection is closed: returned if in good order, else raised."""
        failure = self._failure or self._heard.failure
        if failure is not None:
            raise failure
        if self._cause is not None:
            return SessionEnd(self._cause, self._heard.ended.is_set(), self._capture)
        if self._heard.is_closing and self._heard.ready.is_set():
            return SessionEnd(EndCause.SERVER_ENDED, self._heard.ended.is_set())
        rule, said = self._heard.explanation()
        if rule.reaction is Reaction.ROTATE:
            return SessionEnd(EndCause.SERVER_ENDED, drained=False)
        raise rule.exception(said)

    async def _open(self, connection: WebSocketConnection) -> None:
        """Waits for `session.ready`, and says what the session shall do."""
        heard = self._heard
        with trio.move_on_after(READY_TIMEOUT):
            await heard.ready.wait()
        if not heard.ready.is_set():
            raise Outage(
                Reason.PROTOCOL, f"the cloud took the connection and sent no session.ready in {READY_TIMEOUT:g} s"
            )
        heard.config, left_out = negotiate(self._wishes, heard.limits)
        for wish in left_out:
            self._observer.on_anomaly(Anomaly.LEFT_OUT, wish)
        if not heard.config:
            return
        await connection.send(config_frame(heard.config))
        with trio.move_on_after(ANSWER_TIMEOUT):
            await heard.answered.wait()
        if not heard.answered.is_set():
            self._observer.on_anomaly(Anomaly.CONFIG_UNANSWERED, f"no session.updated in {ANSWER_TIMEOUT:g} s")

    async def _rotate(self, began: float) -> None:
        longest = self._heard.limits.max_duration
        margin = min(MARGIN_MAX, longest / 10)
        jitter = random.uniform(0, margin)  # noqa: S311 - it only keeps cameras from rotating at one moment
        await trio.sleep_until(began + longest - margin - jitter)
        if self._cause is None:
            self._rotating = True
            self._recording.finish()

    async def _stream(self, nursery: trio.Nursery, connection: WebSocketConnection) -> None:
        """Sends chunk after chunk until there is a reason to end."""
        while (chunk := await self._pull()) is not None:
            if len(chunk.payload) >= self._heard.limits.min_segment_size:
                self._pace.sent(trio.current_time(), chunk.media_end - chunk.media_start)
                self._interpreter.sending(chunk)
                await connection.send(chunk.payload)
                self._interpreter.sent(chunk)
                self._observer.sent(chunk)
                number = self._proofs.sent(chunk, trio.current_time())
                nursery.start_soon(self._prove, connection, number)
            if chunk.last:
                self._cause = EndCause.ROTATED if self._rotating else EndCause.FINISHED
                return

    async def _pull(self) -> MediaChunk | None:
        """The next chunk, when it may be sent, or None when there is a reason to end."""
        heard = self._heard
        if heard.stop.is_set():
            return None
        with trio.move_on_after(min(PATIENCE_MAX, heard.limits.idle_timeout / 2)) as heard.pulling:
            # before the pull: what has to wait waits in the ring, whose limits hold for it
            await self._recording.rest(self._pace.wait(trio.current_time()))
            try:
                chunk = await self._recording.next_chunk()
            except Outage as outage:
                self._cause, self._capture = EndCause.CAPTURE_ENDED, outage
                return None
            misfit = _misfit(chunk, heard.limits)
            self._failure = self._failure or misfit
            return None if heard.stop.is_set() or misfit is not None else chunk
        if not heard.stop.is_set():
            self._cause = EndCause.NO_MEDIA
        return None

    async def _prove(self, connection: WebSocketConnection, number: int) -> None:
        """Waits for the pong that shows a chunk's arrival; beside the sending, which never waits for it."""
        try:
            with trio.fail_after(PONG_TIMEOUT):
                await connection.ping(b"%d" % number)
        except trio.TooSlowError:
            silence = f"no answer to a ping in {PONG_TIMEOUT:g} s: the connection is dead or far too slow"
            self._failure = Outage(Reason.CONNECTION_LOST, silence)
            self._heard.work.cancel()
            return
        except ConnectionOver:
            return  # the other half knows why
        for proof in self._proofs.proven(number):
            self._delivered(proof, trio.current_time() - proof.sent_at)

    def _delivered(self, proof: Proof, round_trip: float | None) -> None:
        self._observer.delivered(proof.chunk, round_trip)
        if proof.is_rejected:
            self._observer.rejected(proof.chunk)

    async def _drain(self, connection: WebSocketConnection) -> None:
        """Asks for a graceful end, unless the cloud is at it, and waits for what is left."""
        heard = self._heard
        with heard.draining:
            heard.draining.deadline = trio.current_time() + heard.drain_time
            if not heard.is_closing:
                self._asked_to_end = True
                await connection.send(CLOSE_FRAME)
            await heard.ended.wait()
            await trio.sleep(LINGER)  # for the cloud to close; the other half then cancels this


def _misfit(chunk: MediaChunk, limits: SessionLimits) -> Outage | None:
    """Why the cloud would not take the chunk. What is short because it is the last one is no misfit, but cannot go."""
    size, most, least = len(chunk.payload), limits.max_segment_size, limits.min_segment_size
    if size < least and not chunk.last:
        sentence = f"a chunk of {size} bytes is below the cloud's least of {least}: lengthen `chunk`"
        return Outage(Reason.MEDIA_REJECTED, sentence)
    if size > most:
        sentence = f"a chunk of {size} bytes is above the cloud's limit of {most}: shorten `chunk` or lower the bitrate"
        return Outage(Reason.MEDIA_REJECTED, sentence)
    seconds, longest = chunk.media_end - chunk.media_start, limits.max_segment_duration
    if longest is not None and seconds > longest:
        sentence = f"a chunk of {seconds:.1f} s is above the cloud's limit of {longest:g} s: shorten `chunk`"
        return Outage(Reason.MEDIA_REJECTED, sentence)
    return None
