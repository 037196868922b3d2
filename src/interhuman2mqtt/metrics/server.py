"""Serves `/metrics` to Prometheus, and `/health` to whoever restarts containers.

A very small HTTP server: one GET per connection, answered at once or not at all. It trusts nobody: connections are few,
a request is short, and whoever reads or writes slowly is cut off.
"""

import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

import h11
import structlog
import trio
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from interhuman2mqtt import __version__
from interhuman2mqtt.config.urls import listen_address
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.metrics import collectors
from interhuman2mqtt.metrics.collectors import Rows, counter, gauge
from interhuman2mqtt.metrics.start import Sources
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.supervisor import BugBudget, Health, RetryInfo, keep_running

# prometheus_client.start_http_server would do it in one line, in a thread of its own that would read the counters while
# the loop changes them, and with no limit of connections or time. Its WSGI and ASGI apps need a server
# of their own, for two paths. h11 is here anyway, for trio-websocket's sake.
CONNECTIONS_MAX = 8
"""At once; more are closed without an answer. Prometheus needs one."""
TIMEOUT_S = 10.0
"""For a whole connection; Prometheus itself gives up after ten seconds."""
REQUEST_MAX = 8 << 10
"""Bytes of a request's head."""
READ_SIZE = 4096


class HttpAnswer(NamedTuple):
    """The answer to a request."""

    status: int
    content_type: str
    body: bytes


Router = Callable[[str, str], HttpAnswer]
"""Returns the answer for a path and the header Accept; must not wait."""


async def serve(listeners: Sequence[trio.SocketListener], route: Router) -> None:
    """Serve on these for ever; they are closed when this is cancelled."""
    slots = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def handle(stream: trio.SocketStream) -> None:
        if slots.available_tokens:
            async with slots:
                await _serve_one(stream, route)
        await trio.aclose_forcefully(stream)

    await trio.serve_listeners(handle, list(listeners))


async def _serve_one(stream: trio.SocketStream, route: Router) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_MAX)
    with trio.move_on_after(TIMEOUT_S):
        try:
            request = await _request(stream, connection)
            if request is not None:
                await stream.send_all(_encode(connection, _respond(request, route), head=request.method == b"HEAD"))
                await stream.send_eof()
                await stream.receive_some(READ_SIZE)  # until the other side has read it all, and closes
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return  # it went away, or does not speak HTTP: there is nobody to answer


async def _request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """Return the request, once its head is whole; None where there is none."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(READ_SIZE))


def _respond(request: h11.Request, route: Router) -> HttpAnswer:
    if request.method not in (b"GET", b"HEAD"):
        return HttpAnswer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered\n")
    accept = b", ".join(value for name, value in request.headers if name == b"accept")
    path = request.target.partition(b"?")[0]
    return route(path.decode("latin-1"), accept.decode("latin-1"))


def _encode(connection: h11.Connection, answer: HttpAnswer, *, head: bool) -> bytes:
    """Return the whole answer as bytes; the connection ends with it."""
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    reason = HTTPStatus(answer.status).phrase
    parts = [connection.send(h11.Response(status_code=answer.status, headers=headers, reason=reason.encode()))]
    if not head:
        parts.append(connection.send(h11.Data(data=answer.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)


log = structlog.get_logger(__name__)

CACHE_S = 1.0
"""Seconds for which an answer is repeated: whoever asks without a pause costs one collection a second."""
PLAIN = "text/plain; charset=utf-8"


class Families(Collector):
    """All of ours; collected anew for each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Read the daemon's own counters."""
        cameras = self._sources.fleet.cameras
        yield from self._daemon()
        yield from collectors.collect_cameras(cameras, self._sources.coverage)
        yield from collectors.collect_publishing(self._sources.service, cameras)

    def describe(self) -> Iterable[Metric]:
        """Describe nothing before the first scrape."""
        return ()

    def _daemon(self) -> Iterator[Metric]:
        running = self._sources.running
        rows: Rows = [((running.config.box.id, __version__, running.config_hash, running.files_hash), 1.0)]
        labels = ["box", "version", "config_hash", "files_hash"]
        yield gauge("info", "What this box runs, and by which configuration.", rows, labels)
        yield gauge("tasks", "Of the daemon.", [((), trio.lowlevel.current_statistics().tasks_living)])
        stuck = len(self._sources.heartbeats.stuck())
        yield gauge("stuck_stages", "Parts that should have moved by now.", [((), stuck)])
        reload = running.last_reload
        rejected = float(reload is not None and reload.state == "rejected")
        yield gauge("configuration_rejected", "1 where the last reload was refused.", [((), rejected)])
        outcomes: Rows = (((outcome,), count) for outcome, count in self._sources.dispatcher.counts.items())
        yield counter("requests", "Messages to this box, by what became of them.", outcomes, ["outcome"])


class Exporter:
    """Listens as soon as it can: a port in use costs the metrics, and nothing else.

    Args:
        listen: `metrics.listen`.
        sources: Sources of the numbers.
        bugs: How many bugs are survived.
    """

    def __init__(self, listen: str, sources: Sources, bugs: BugBudget) -> None:
        self._host, self._port = listen_address(listen)
        self._heartbeats = sources.heartbeats
        self._bugs = bugs
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Families(sources))
        ProcessCollector(registry=self._registry)
        self._log_changes = RateLimitedLogger(log)
        self._cache: dict[str, tuple[float, bytes]] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        await keep_running(self._serve, self._on_retry, self._bugs)

    async def _serve(self, health: Health) -> bool:
        try:
            listeners = await trio.open_tcp_listeners(self._port, host=self._host)
        except OSError as error:
            raise Outage(_reason(error), f"metrics.listen: {self._host}:{self._port}: {_remedy(error)}") from error
        health.healthy()
        self._log_changes.emit(
            "metrics", "served", "metrics are served", at=f"http://{self._host}:{self._port}/metrics"
        )
        await serve(listeners, self._route)
        return True

    def _on_retry(self, retry: RetryInfo) -> None:
        """Log the error once for as long as it stays the same."""
        detail = retry.outage.detail
        self._log_changes.emit("metrics", detail, "metrics are not served", level="error", detail=detail)

    def _route(self, path: str, accept: str) -> HttpAnswer:
        match path:
            case "/metrics":
                return self._metrics(accept)
            case "/health":
                stuck = [f"{stage} has hung for {seconds:.0f} s\n" for stage, seconds in self._heartbeats.stuck()]
                return HttpAnswer(503 if stuck else 200, PLAIN, "".join(stuck or ["everything moves\n"]).encode())
        return HttpAnswer(404, PLAIN, b"there are /metrics and /health\n")

    def _metrics(self, accept: str) -> HttpAnswer:
        encode, content_type = choose_encoder(accept)
        cached_at, body = self._cache.get(content_type, (-CACHE_S, b""))
        if time.monotonic() - cached_at >= CACHE_S:
            body = encode(self._registry)
            self._cache = {content_type: (time.monotonic(), body)}
        return HttpAnswer(200, content_type, body)


def _reason(error: OSError) -> Reason:
    return Reason.NO_PERMISSION if error.errno == errno.EACCES else Reason.BUSY


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another program listens there: end it, or choose another port and restart"
        case errno.EACCES:
            return "not allowed: choose a port above 1023 and restart"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address: choose another one and restart"
    return f"{error.strerror or error}: choose another address and restart"
