"""The receiving half of a session: it receives messages, and decides what they mean for the half that sends."""

import math

import trio

from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.error_table import ErrorRule, Reaction
from interhuman2mqtt.cloud.event_mapper import EventMapper, seconds_of, word_of
from interhuman2mqtt.cloud.flow_control import Unacknowledged
from interhuman2mqtt.cloud.protocol import KIND_MAX, Malformed, ServerMessage, parse
from interhuman2mqtt.cloud.session_types import Anomaly, Observer, SessionLimits, differences
from interhuman2mqtt.cloud.websocket import ConnectionOver, WebSocketConnection
from interhuman2mqtt.errors import Fruitless, Outage, Reason

LINGER = 2.0
"""Seconds in which the other side's last words may still come, once the end is certain."""
DRAIN_TIMEOUT = 30.0
"""Seconds from `session.close` to `session.ended`, unless `session.closing` says how long it takes ..."""
DRAIN_MAX = 120.0
"""... and at most."""
ANALYSIS = ("signal.", "engagement.", "conversation_quality.", "feedback.", "coverage.degraded")
"""How the types begin that show that media was analysed."""
COMPLAINTS_MAX = 5
"""Errors in a row, with nothing analysed in between, after which a session is given up ..."""
FORGOTTEN_AFTER = 60.0
"""... where no two of them are so many seconds apart."""
EXPLAINS_FOR = 30.0
"""Seconds for which an error explains the end of the connection that follows it."""


class Receiver:
    """Receives, turns messages into events, and keeps what the sending half must know.

    It never waits but for the next message, because while it does no ping is answered. It cuts the sending half short
    by its scopes: `work` is all that it does, and is cancelled when nothing more can be received; `pulling` is its wait
    for media, and is cancelled when nothing more should be sent, so that no frame is cut in two.
    """

    def __init__(self, mapper: EventMapper, observer: Observer, unacknowledged: Unacknowledged) -> None:
        self.limits = SessionLimits()
        """Those of `session.ready`, once that has come."""
        self.ready, self.answered, self.ended = trio.Event(), trio.Event(), trio.Event()
        """`session.ready` has come; `session.updated`, or what comes in its place; `session.ended`."""
        self.stop = trio.Event()
        """Nothing more should be sent."""
        self.is_closing = False
        """The cloud is about to end the session, asked or unasked."""
        self.failure: Outage | None = None
        """An error that the session shall not outlive, though the connection may be open still."""
        self.in_force: dict[str, object] | None = None
        """The newest answer to a config; None: none was taken so far."""
        self.config: dict[str, object] = {}
        """The config that was sent, against which the answer is held."""
        self.work, self.pulling, self.draining = trio.CancelScope(), trio.CancelScope(), trio.CancelScope()
        self.drain_time = DRAIN_TIMEOUT
        self._mapper = mapper
        self._observer = observer
        self._error: tuple[float, ErrorRule, str] | None = None  # the last: when, what, in the cloud's own words
        self._remark = ""  # the last error that is no reason for an end, yet may explain one
        self._unacknowledged = unacknowledged
        self._complaints, self._complained_at = 0, -math.inf
        self._over: ConnectionOver | None = None

    async def receive(self, connection: WebSocketConnection) -> None:
        """Receive until the connection is over."""
        try:
            while True:
                for frame in await connection.receive():
                    for message in parse(frame):
                        self.handle(message)
        except ConnectionOver as over:
            self._over = over
            self.work.cancel()

    def explanation(self) -> tuple[ErrorRule, str]:
        """Return why the connection is over, by the cloud's last error if it is fresh, else by the close code."""
        if self._error is not None and trio.current_time() - self._error[0] <= EXPLAINS_FOR:
            return self._error[1:]
        over = self._over or ConnectionOver(1006, "a send failed")
        text = error_table.phrase(f"close code {over}", f"before it {self._remark}" if self._remark else None)
        return error_table.of_close(over.code, ready=self.ready.is_set()), text

    def handle(self, message: ServerMessage | Malformed) -> None:
        """Pass a message on as events, and note what it means for the session."""
        if isinstance(message, Malformed):
            self._observer.on_anomaly(Anomaly.MALFORMED, message.detail)
            return
        overlaps = self._mapper.overlaps
        for event in self._mapper.interpret(message):
            self._observer.event(event)
        if self._mapper.overlaps > overlaps:
            self._observer.on_anomaly(
                Anomaly.OVERLAP, f"{str(message.data['signal_type'])[:KIND_MAX]} was detected twice without an end"
            )
        match message.type:
            case "session.ready":
                self._on_ready(message)
            case "session.updated":
                self._on_updated(message)
            case "session.closing":
                self._on_closing(message)
            case "session.ended":
                self.ended.set()
                self._on_end()
            case "error":
                self._on_error(message)
            case kind if kind.startswith(ANALYSIS) and self._complaints:
                self._complaints = 0
                self._observer.complained(None)

    def _on_ready(self, message: ServerMessage) -> None:
        if not self.ready.is_set():
            self.limits = SessionLimits.from_data(message.data)
            self.ready.set()
            self.work.deadline = math.inf  # whatever error came before, it was no refusal
            self._observer.ready(self.limits, self._mapper.correlation_id)

    def _on_updated(self, message: ServerMessage) -> None:
        self.in_force = message.data
        self.answered.set()
        for difference in differences(self.config, message.data):
            self._observer.on_anomaly(Anomaly.CONFIG_DIFFERS, error_table.phrase(difference))

    def _on_closing(self, message: ServerMessage) -> None:
        asked = seconds_of(message.data, "max_drain_seconds")
        self.drain_time = min(max(0.0, asked) + LINGER, DRAIN_MAX) if asked is not None else DRAIN_TIMEOUT
        self.draining.deadline = trio.current_time() + self.drain_time
        self._on_end()

    def _on_end(self) -> None:
        """Note that the cloud ends the session; unasked that is a normal end too."""
        self.is_closing = True
        self._stop()

    def _on_error(self, message: ServerMessage) -> None:
        code = word_of(message.data, "code")
        rule = error_table.of_error(code, ready=self.ready.is_set())
        text = error_table.phrase(code, word_of(message.data, "message"))
        if rule.reaction is Reaction.KEEP:
            self._remark = text
        else:
            self._error = (trio.current_time(), rule, text)
        if not self.ready.is_set():
            self.work.deadline = trio.current_time() + LINGER
        elif rule.reaction is Reaction.KEEP:
            self.answered.set()
        elif rule.reaction is Reaction.CLOSE:
            self.failure = self.failure or rule.exception(text)
            self._stop()
        elif rule.reaction is Reaction.ROTATE:
            self._on_end()
        else:
            self._on_complaint(rule, text)
        if self.ready.is_set() and code in error_table.TOO_SHORT:
            self._observer.too_short()
        if self.ready.is_set() and rule.reason is Reason.MEDIA_REJECTED:
            self._on_rejected(message)

    def _on_complaint(self, rule: ErrorRule, text: str) -> None:
        """Show an error that names no end while it lasts, and end the session after too many."""
        now = trio.current_time()
        self._complaints = 1 if now - self._complained_at > FORGOTTEN_AFTER else self._complaints + 1
        self._complained_at = now
        outage = rule.exception(text)
        self._observer.complained(outage)
        if self._complaints >= COMPLAINTS_MAX:
            detail = f"{outage.detail}; {self._complaints} errors in a row, and nothing was analysed"
            self.failure = self.failure or Fruitless(outage.reason, detail, outage.retry_after)
            self._stop()

    def _on_rejected(self, message: ServerMessage) -> None:
        segment = message.data.get("segment")
        chunk = self._unacknowledged.rejected(segment if isinstance(segment, int) else None)
        if chunk is not None:
            self._observer.rejected(chunk)

    def _stop(self) -> None:
        self.stop.set()
        self.answered.set()
        self.pulling.cancel()
