"""The simulated cloud: listens, decides who gets a session, runs the sessions, and takes uploads beside them."""

import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.simulator.admission import Admission, Applicant, TurnedAway, read_request
from interhuman2mqtt.simulator.archive import Archive, SessionRecord
from interhuman2mqtt.simulator.connection import ABNORMAL, Line
from interhuman2mqtt.simulator.faults import Fault, FaultPlan, Stage
from interhuman2mqtt.simulator.http import (
    BadRequest,
    Exchange,
    ReplayedStream,
    asks_for_upgrade,
    error_response,
    read_head,
)
from interhuman2mqtt.simulator.messages import Terms
from interhuman2mqtt.simulator.session import Run, Session
from interhuman2mqtt.simulator.settings import Settings
from interhuman2mqtt.simulator.tokens import TokenEndpoints
from interhuman2mqtt.simulator.uploads import UploadEndpoints, unknown_endpoint

GATEWAY = 3.0
"""Seconds of a deployment."""
HANDSHAKE = 10.0
"""Seconds that a client has for TLS and its upgrade request."""
_RECEIVE_BYTES = 64 << 10
_ROOM = 1 << 20
"""Bytes that a frame may have beyond twice the limit before the WebSocket itself is closed with 1009."""
_STATUS_ERRORS = {401: "ih2001", 403: "ih2003", 429: "ih3001", 503: "ih1003"}

log = structlog.get_logger()


class Address(NamedTuple):
    """An address that a simulator listens on."""

    host: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        """What `[interhuman] url` begins with."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}"


class Gateway(NamedTuple):
    """A gateway that stands between for a while, and answers in the API's place."""

    status: int
    until: float


class Listening(NamedTuple):
    """Open listeners, which nobody serves yet."""

    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]
    address: Address


async def serve(settings: Settings, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
    """Play the cloud until cancelled; raises ConfigError where it cannot listen as it was told to."""
    listening = await listen(settings)
    task_status.started(listening.address)
    await play(settings, listening)


async def play(settings: Settings, listening: Listening) -> None:
    """Serve whoever comes, until cancelled."""
    simulator = Simulator(settings)
    try:
        await trio.serve_listeners(simulator.serve_stream, list(listening.listeners))
    finally:
        simulator.close()


async def listen(settings: Settings) -> Listening:
    """Open the listeners; raises ConfigError where the address or the certificate cannot be used."""
    context = _tls(settings)
    try:
        plain = await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
    host, port = plain[0].socket.getsockname()[:2]
    address = Address(host, port, context is not None)
    if context is None:
        return Listening(plain, address)
    secure = [trio.SSLListener(listener, context, https_compatible=True) for listener in plain]
    return Listening(secure, address)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use the certificate {settings.certificate}: {error}") from error
    return context


class Simulator:
    """The state that all connections share."""

    def __init__(self, settings: Settings) -> None:
        self._run = Run(settings, FaultPlan(settings.faults))
        self._admission = Admission(settings)
        self._archive = Archive(settings.save)
        self._uploads = UploadEndpoints(settings, self._run.plan, self._admission, self._archive)
        self._tokens = TokenEndpoints(self._admission.tokens, self._admission.key_of)
        self._sessions = 0
        self._gateway: Gateway | None = None

    def close(self) -> None:
        """Close what the run holds open."""
        self._archive.close()

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """One client, on whatever carries its bytes, until its connection is closed."""
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(nursery, stream)
                nursery.cancel_scope.cancel()
        except* ConnectionClosed:
            log.info("client left in the middle of its handshake")
        except* LocalProtocolError as errors:  # trio-websocket's reader answers a ping that crossed our close
            log.info("client went on while the connection was closing", detail=str(errors.exceptions[0]))
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        """Serve a WebSocket where one is asked for, else one request."""
        head, request = None, None
        with trio.move_on_after(HANDSHAKE):
            head = await read_head(stream)
            if head is not None and asks_for_upgrade(head):
                request = await self._handshake(nursery, ReplayedStream(stream, head))
        if request is not None:
            await self._answer(request, stream)
        elif head is None or asks_for_upgrade(head):
            log.info("client sent no request", within=HANDSHAKE)
        else:
            await self._serve_http(Exchange(stream, head))

    async def _handshake(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> WebSocketRequest:
        largest = 2 * self._run.settings.limits.max_segment_size + _ROOM
        return await wrap_server_stream(nursery, stream, max_message_size=largest, receive_buffer_size=_RECEIVE_BYTES)

    async def _serve_http(self, exchange: Exchange) -> None:
        try:
            head = await exchange.head()
            if self._uploads.serves(head.path):
                await self._uploads.serve(head, exchange)
            elif self._tokens.serves(head.path):
                await self._tokens.serve(head, exchange)
            else:
                await exchange.respond(unknown_endpoint(head))
        except BadRequest as error:
            log.info("client sent no whole request", detail=str(error))

    async def _answer(self, request: WebSocketRequest, stream: trio.abc.Stream) -> None:
        """Admit a session, or return the reason why there is none."""
        applicant = read_request(request.path, request.headers, request.proposed_subprotocols)
        if applicant is None:
            await self._reject(
                request, None, TurnedAway("ih4005", f"No such endpoint: {request.path}", upgrade=True), 404
            )
            return
        guest = _Guest(request, stream, applicant, str(uuid4()))
        fault = self._run.plan.take(Stage.HANDSHAKE, self._sessions + 1)
        if fault is not None and fault.kind == "gateway":
            status, _, seconds = fault.argument.partition("/")
            self._gateway = Gateway(int(status), trio.current_time() + float(seconds.rstrip("s") or GATEWAY))
        if self._gateway is not None and trio.current_time() < self._gateway.until:
            self._archive.write("refused", None, applicant.request_id, code=None, status=self._gateway.status)
            await request.reject(self._gateway.status, body=b"<html>no such upstream</html>")
            return
        if fault is not None and fault.kind != "gateway":
            await self._misbehave(guest, fault)
            return
        try:
            terms = self._admission.admit(applicant, trio.current_time())
        except TurnedAway as away:
            await self._turn_away(guest, away)
            return
        with ExitStack() as place:
            await self._serve_session(guest, terms, place)

    async def _serve_session(self, guest: "_Guest", terms: Terms, place: ExitStack) -> None:
        self._sessions += 1
        number = self._sessions
        record = SessionRecord(self._archive, number, guest.applicant.request_id, guest.correlation_id)
        try:
            line = await guest.accept(record)
        except BaseException:
            self._admission.leave(guest.applicant, trio.current_time(), cut=True)
            raise
        line.place = place
        line.credential = guest.applicant.credential or ""
        place.callback(self._leave, guest.applicant, line)
        record.write("opened", version=terms.version, model=terms.model, correlation_id=guest.correlation_id)
        log.info("session opened", session=number, version=str(terms.version), model=terms.model)
        try:
            await Session(line, self._run, terms, record).run()
        finally:
            code, by = line.ended()
            record.write("closed", code=code, by=by)
            log.info("session closed", session=number, code=code, by=by)

    def _leave(self, applicant: Applicant, line: Line) -> None:
        self._admission.leave(applicant, trio.current_time(), cut=line.ended()[0] == ABNORMAL)

    async def _turn_away(self, guest: "_Guest", away: TurnedAway) -> None:
        if away.upgrade:
            await self._reject(guest.request, guest.applicant, away, away.error.status)
            return
        self._refused(guest.applicant, code=away.error.code, close=away.error.close)
        line = await guest.accept(SessionRecord(self._archive, None, guest.applicant.request_id, guest.correlation_id))
        await line.send_error(away.error, away.message)
        await line.close(away.error.close, away.error.message)

    async def _reject(
        self, request: WebSocketRequest, applicant: Applicant | None, away: TurnedAway, status: int
    ) -> None:
        """Answer with an HTTP status and the API's JSON body instead of the upgrade."""
        self._refused(applicant, code=away.error.code, status=status)
        response = error_response(away.error, away.message)
        correlation_id = (response.correlation_id or "").encode()
        headers = [(b"Content-Type", b"application/json"), (b"X-Correlation-ID", correlation_id)]
        if status == 429:
            headers.append((b"Retry-After", b"30"))
        await request.reject(status, extra_headers=headers, body=response.body)

    def _refused(self, applicant: Applicant | None, **how: Any) -> None:
        self._archive.write("refused", None, applicant.request_id if applicant else None, **how)
        log.info("client refused", **how)

    async def _misbehave(self, guest: "_Guest", fault: Fault) -> None:
        """Play a fault instead of the handshake's proper end."""
        record = SessionRecord(self._archive, None, guest.applicant.request_id, guest.correlation_id)
        record.write("fault", kind=fault.kind, argument=fault.argument)
        if fault.kind == "silence":
            line = await guest.accept(record)
            while await line.receive() is not None:
                pass
            return
        code = fault.argument if fault.kind == "refuse-error" else _STATUS_ERRORS.get(int(fault.argument), "ih1001")
        away = TurnedAway(code, "Refused because a fault was asked for.", upgrade=fault.kind == "refuse")
        if away.upgrade:
            await self._reject(guest.request, guest.applicant, away, int(fault.argument))
        else:
            await self._turn_away(guest, away)


class _Guest(NamedTuple):
    """A client at the door."""

    request: WebSocketRequest
    stream: trio.abc.Stream
    applicant: Applicant
    correlation_id: str

    async def accept(self, record: SessionRecord) -> Line:
        """Answer with 101."""
        connection = await self.request.accept(
            subprotocol=self.applicant.subprotocol,
            extra_headers=[(b"X-Correlation-ID", self.correlation_id.encode())],
        )
        return Line(connection, self.stream, self.correlation_id, record)
