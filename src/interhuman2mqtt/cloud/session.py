"""One session with the cloud, from open to ended.

::

    connect -> session.ready -> config -> session.updated -> chunk, ping, chunk, ping ... last chunk
            -> session.close -> session.closing -> what is left -> session.ended -> closed

Two tasks share a session: the one of `receiver` receives, the one here sends, and decides.
"""

import random

import trio

from interhuman2mqtt.cloud import error_table
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
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from interhuman2mqtt.cloud.websocket import CLOSE_TIMEOUT, ConnectionOver, WebSocketConnection, connect
from interhuman2mqtt.errors import Outage, Reason, Refused, leaves
from interhuman2mqtt.events import MediaChunk, Recording

READY_TIMEOUT = 20.0
"""Seconds from the upgrade to `session.ready`."""
ANSWER_TIMEOUT = 10.0
"""Seconds from the config to `session.updated`; without it the session goes on, and that is logged."""
PONG_TIMEOUT = 60.0
"""Seconds from a chunk to the pong that shows its arrival."""
MARGIN_MAX = 60.0
"""Seconds before the session's maximum at which it should be over."""
PATIENCE_MAX = 60.0
"""Seconds without media after which a session is given back."""


async def run_session(  # noqa: PLR0913 - these are all that a session has to do with
    server: Server,
    api_key: str,
    options: SessionOptions,
    recording: Recording,
    *,
    mapper: EventMapper,
    observer: Observer,
    dial: Dial = dial,
) -> SessionEnd:
    """Run one session to its end; raise Outage, Overloaded or Refused where it fails.

    However it ends, and be it by cancellation, the connection is closed and signals that are still active get an end.
    Once it is cancelled nothing more of it leaves the box.
    """
    request = UpgradeRequest(ApiKey(api_key), mapper.origin.session, options.model)
    del api_key  # a traceback that shows local values must not show it
    session = _Session(options, recording, mapper, observer)
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            connection = await connect(nursery, server, request, dial)
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
        failure = _decisive(group)
    finally:
        for event in mapper.end():
            observer.event(event)
    if failure is not None:
        raise failure
    return session.outcome()


def _decisive(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of a group that matters: a cancellation or a bug beats an outage; the group, where more do."""
    errors = leaves(group)
    matters = [error for error in errors if not isinstance(error, Outage)] or errors[:1]
    return matters[0] if len(matters) == 1 else group


class _Session:
    """The sending half."""

    def __init__(self, options: SessionOptions, recording: Recording, mapper: EventMapper, observer: Observer) -> None:
        self._options = options
        self._recording = recording
        self._mapper = mapper
        self._observer = observer
        self._unacknowledged = Unacknowledged()
        self._receiver = Receiver(mapper, observer, self._unacknowledged)
        self._pacer = Pacer()
        self._rotating = self._asked_to_end = False
        self._cause: EndCause | None = None
        self._capture: Outage | None = None
        self._failure: Outage | None = None

    async def run(self, nursery: trio.Nursery, connection: WebSocketConnection) -> None:
        """Run from the open connection to the moment when it may be closed."""
        self._mapper.correlation_id = connection.correlation_id
        began = trio.current_time()
        nursery.start_soon(self._receiver.receive, connection)
        with self._receiver.work:
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
        """Conclude from the end what became of the chunks: all arrived, if the cloud answered our session.close."""
        if not self._receiver.ended.is_set():
            if self._cause is not None:
                self._observer.on_anomaly(
                    Anomaly.NOT_DRAINED, "the session is over before the cloud sent session.ended"
                )
        elif self._asked_to_end:
            for proof in self._unacknowledged.proven():
                self._delivered(proof, None)

    def outcome(self) -> SessionEnd:
        """Return how it ended in good order, once the connection is closed; else raise it."""
        failure = self._failure or self._receiver.failure
        if failure is not None:
            raise failure
        if self._cause is not None:
            return SessionEnd(self._cause, self._receiver.ended.is_set(), self._capture)
        if self._receiver.is_closing and self._receiver.ready.is_set():
            return SessionEnd(EndCause.SERVER_ENDED, self._receiver.ended.is_set())
        rule, text = self._receiver.explanation()
        if rule.reaction is Reaction.ROTATE:
            return SessionEnd(EndCause.SERVER_ENDED, drained=False)
        raise rule.exception(text)

    async def _open(self, connection: WebSocketConnection) -> None:
        """Wait for `session.ready`, and send what the session shall do."""
        receiver = self._receiver
        with trio.move_on_after(READY_TIMEOUT):
            await receiver.ready.wait()
        if not receiver.ready.is_set():
            raise Outage(
                Reason.PROTOCOL, f"the cloud took the connection and sent no session.ready in {READY_TIMEOUT:g} s"
            )
        self._check_model()
        receiver.config, left_out = negotiate(self._options, receiver.limits)
        for option in left_out:
            self._observer.on_anomaly(Anomaly.LEFT_OUT, option)
        if not receiver.config:
            return
        await connection.send(config_frame(receiver.config))
        with trio.move_on_after(ANSWER_TIMEOUT):
            await receiver.answered.wait()
        if not receiver.answered.is_set():
            self._observer.on_anomaly(Anomaly.CONFIG_UNANSWERED, f"no session.updated in {ANSWER_TIMEOUT:g} s")
        self._check_audio_only()

    def _check_model(self) -> None:
        """Raise Refused where the cloud does not offer the only model that can use what would be sent."""
        offered = self._receiver.limits.options.get("model")
        if self._options.audio_only and offered is not None and self._options.model not in offered:
            raise self._unusable(f"offers this API key {' and '.join(offered) or 'no model'}")

    def _check_audio_only(self) -> None:
        """Raise where the cloud would take media without video for something else."""
        answer = self._receiver.in_force
        if not self._options.audio_only or self._receiver.is_closing:
            return
        if answer is not None and answer.get("model") not in {None, self._options.model}:
            raise self._unusable(f"has set {answer.get('model')}")
        if answer is None and self._options.pcm_rate is not None:
            raise Outage(Reason.PROTOCOL, "the cloud has not taken the config that declares the audio as PCM")

    def _unusable(self, what: str) -> Refused:
        sentence = f"the camera's audio alone is for the model {self._options.model}, and the cloud {what}"
        return Refused(Reason.BAD_REQUEST, error_table.phrase(sentence))

    async def _rotate(self, began: float) -> None:
        """End the recording before the session's maximum."""
        # At the maximum the cloud cuts the session (ih6004) with what it has not analysed yet. So each session ends
        # itself a little earlier, in good order, at a moment of its own: a box's cameras start together, and would
        # rotate, and load cloud and uplink, together for ever.
        longest = self._receiver.limits.max_duration
        margin = min(MARGIN_MAX, longest / 10)
        jitter = random.uniform(0, margin)  # noqa: S311 - it only keeps cameras from rotating at one moment
        await trio.sleep_until(began + longest - margin - jitter)
        if self._cause is None:
            self._rotating = True
            self._recording.finish()

    async def _stream(self, nursery: trio.Nursery, connection: WebSocketConnection) -> None:
        """Send chunk after chunk until there is a reason to end."""
        while (chunk := await self._pull()) is not None:
            if len(chunk.payload) >= self._receiver.limits.min_segment_size:
                self._pacer.sent(trio.current_time(), chunk.media_end - chunk.media_start)
                self._mapper.sending(chunk)
                await connection.send(chunk.payload)
                self._mapper.sent(chunk)
                self._observer.sent(chunk)
                number = self._unacknowledged.sent(chunk, trio.current_time())
                nursery.start_soon(self._prove, connection, number)
            if chunk.last:
                self._cause = EndCause.ROTATED if self._rotating else EndCause.FINISHED
                return
            del chunk  # while the next one is waited for, which is nearly always: 0.8 MB for each camera

    async def _pull(self) -> MediaChunk | None:
        """Return the next chunk, when it may be sent, or None when there is a reason to end."""
        receiver = self._receiver
        if receiver.stop.is_set():
            return None
        with trio.move_on_after(min(PATIENCE_MAX, receiver.limits.idle_timeout / 2)) as receiver.pulling:
            # before the pull: what has to wait waits in the ring, whose limits hold for it
            await self._recording.idle(self._pacer.wait(trio.current_time()))
            try:
                chunk = await self._recording.next_chunk()
            except Outage as outage:
                self._cause, self._capture = EndCause.CAPTURE_ENDED, outage
                return None
            misfit = _misfit(chunk, receiver.limits)
            self._failure = self._failure or misfit
            return None if receiver.stop.is_set() or misfit is not None else chunk
        if not receiver.stop.is_set():
            self._cause = EndCause.NO_MEDIA
        return None

    async def _prove(self, connection: WebSocketConnection, number: int) -> None:
        """Wait for the pong that shows a chunk's arrival, beside the sending, which never waits for it."""
        # To wait for each pong before the next chunk costs a round trip a chunk: a link of a second's delay would carry
        # a chunk of a second in two.
        try:
            with trio.fail_after(PONG_TIMEOUT):
                await connection.ping(b"%d" % number)
        except trio.TooSlowError:
            silence = f"no answer to a ping in {PONG_TIMEOUT:g} s: the connection is dead or far too slow"
            self._failure = Outage(Reason.CONNECTION_LOST, silence)
            self._receiver.work.cancel()
            return
        except ConnectionOver:
            return  # the other half knows why
        for proof in self._unacknowledged.proven(number):
            self._delivered(proof, trio.current_time() - proof.sent_at)

    def _delivered(self, proof: Proof, round_trip: float | None) -> None:
        self._observer.delivered(proof.chunk, round_trip)
        if proof.is_rejected:
            self._observer.rejected(proof.chunk)

    async def _drain(self, connection: WebSocketConnection) -> None:
        """Ask for a graceful end, unless the cloud is at it, and wait for what is left."""
        receiver = self._receiver
        with receiver.draining:
            receiver.draining.deadline = trio.current_time() + receiver.drain_time
            if not receiver.is_closing:
                self._asked_to_end = True
                await connection.send(CLOSE_FRAME)
            await receiver.ended.wait()
            await trio.sleep(LINGER)  # for the cloud to close; the other half then cancels this


def _misfit(chunk: MediaChunk, limits: SessionLimits) -> Outage | None:
    """Return why the cloud would not take the chunk; the last one may be too short, and then is not sent."""
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
