"""The dispatcher: requests out of the inbox, one at a time, handled and answered.

What is done in a moment is done at once and in order. What may take long, such as draining a session for a restart,
goes on beside the others, a few at a time. The pace is bounded, so that a flood of requests fills the inbox, which
drops them, and not the outbox, which holds events.
"""

import math
from collections import Counter
from collections.abc import Awaitable
from typing import Any, Protocol

import structlog
import trio
from msgspec import UnsetType

from interhuman2mqtt.control import requests
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.control.parser import CameraIds, RequestParser
from interhuman2mqtt.control.requests import (
    Accepted,
    Birth,
    ForgetRequest,
    Ignored,
    Ignoring,
    LogLevelRequest,
    PauseRequest,
    PauseSet,
    Rejected,
    ReloadRequest,
    Request,
    RestartRequest,
    ResumeRequest,
    SnapshotRequest,
)
from interhuman2mqtt.errors import Interhuman2MqttError
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.runtime.sanitize import clean
from interhuman2mqtt.supervisor import BugBudget

# One at a time and in order, since "pause, then resume" must not end as "resume, then pause", as it could with a task
# for each. A queue for each camera would keep that order too, but not that of a request for all cameras and one for
# one. Only what waits for other things (a drain, files, a frame) goes beside the others, for a restart that drains for
# seconds must not hold up a pause.
SLOW_MAX = 4
"""Restarts, reloads and snapshots under way at once; the reload of one waits for that of another."""
EVERY_S = 0.05
"""Seconds between two requests, in the long run."""
BURST = 64
"""Requests that are handled without a pause between them."""
TRANSACTION_SHOWN = 80
"""Characters of it in the log."""
LOG_EVERY_S = 60.0
"""Between two lines of the log about messages that are ignored for the same reason."""

log = structlog.get_logger(__name__)


class CommandError(Interhuman2MqttError):
    """A request failed, or was not done wholly: the text is the answer's error, `data` is what was done."""

    def __init__(self, sentence: str, data: Any = None) -> None:
        super().__init__(sentence)
        self.data = data


class Handler(Protocol):
    """Handles the requests. Each method returns the data of the answer, as JSON, and raises CommandError."""

    async def pause(self, camera: str | None, *, by_command: bool = False) -> Any:
        """Pause a camera; None: all. `by_command`: from this machine's command line."""

    async def resume(self, camera: str | None) -> Any:
        """Lift every pause of a camera; None: of all."""

    async def set_pause(self, level: PauseSet) -> Any:
        """Pause a camera, or lift its pauses; a retained OFF lifts only one that came this way too."""

    async def restart(self, camera: str | None) -> Any:
        """Restart a camera; None: all. It returns when the old session has been drained."""

    async def reload(self) -> Any:
        """Take over the configuration as it stands in the files now."""

    async def snapshot(self, camera: str | None, *, retain: bool) -> Any:
        """Publish what a camera sees now; None: all. It returns when the broker has the snapshots."""

    async def forget(self, request: ForgetRequest) -> Any:
        """Clear what this box keeps of a camera."""

    async def log_level(self, level: requests.Level) -> Any:
        """Log from this level on."""


class AnswerPublisher(Protocol):
    """Takes the answers."""

    def publish(self, message: Message) -> None:
        """Accept a message; never wait."""


class BirthHandler(Protocol):
    """Wants to know when Home Assistant has started."""

    def handle_birth(self) -> None:
        """Publish what it may have missed."""


class RequestDispatcher:
    """Dispatches the requests to one box, for as long as `run` is called.

    Args:
        inbox: Where they come.
        parser: Reads them.
        running: The cameras that there are.
        handler: Handles them.
        publisher: Takes the answers.
        home_assistant: Gets the birth message of Home Assistant.
        bugs: How many bugs are survived.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        inbox: Inbox,
        parser: RequestParser,
        *,
        running: CameraIds,
        handler: Handler,
        publisher: AnswerPublisher,
        home_assistant: BirthHandler,
        bugs: BugBudget,
    ) -> None:
        self._inbox = inbox
        self._parser = parser
        self._running = running
        self._handler = handler
        self._publisher = publisher
        self._home_assistant = home_assistant
        self._bugs = bugs
        self._counts: Counter[str] = Counter()
        self._log_limit = RateLimitedLogger(log, LOG_EVERY_S, trio.current_time)
        self._slow = trio.Semaphore(SLOW_MAX)
        self._paid_until = -math.inf

    @property
    def counts(self) -> dict[str, int]:
        """Messages since the start, by what became of them."""
        return {"obeyed": 0, "refused": 0, **self._counts, "dropped": self._inbox.dropped}

    async def run(self) -> None:
        """Answer requests for ever. A bug within the budget costs the request that met it, and no other."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._take(await self._inbox.wait_next(), nursery)

    async def _take(self, incoming: IncomingMessage, nursery: trio.Nursery) -> None:
        match self._parser.read(incoming, self._running.cameras):
            case Accepted() as asked:
                await self._pace()
                await self._handle(asked, nursery)
            case Rejected(command, detail, answer):
                await self._pace()
                self._answer("refused", answer)
                log.info("request refused", request=command, detail=detail)
            case PauseSet() as level:
                await self._set_pause(level)
            case Birth(is_news):
                if is_news:
                    self._home_assistant.handle_birth()
            case Ignored() as ignored:
                self._ignore(ignored)

    async def _handle(self, asked: Accepted, nursery: trio.Nursery) -> None:
        if not isinstance(asked.request, RestartRequest | ReloadRequest | SnapshotRequest):
            await self._do(asked)
        elif self._slow.value:
            self._slow.acquire_nowait()
            nursery.start_soon(self._do_slowly, asked)
        else:
            self._refuse(
                asked, f"{SLOW_MAX} restarts, reloads or snapshots are under way: ask again when they are done"
            )

    async def _do_slowly(self, asked: Accepted) -> None:
        try:
            await self._do(asked)
        finally:
            self._slow.release()

    async def do(
        self, command: str, request: Request, *, by_command: bool = False, transaction: str | None = None
    ) -> Any:
        """Handle a request; return the data of the answer, raise CommandError.

        `by_command`: it comes from this machine's command line. `transaction`: its name, as who asks gave it.
        """
        log.info(
            "request", request=command, **_described(request), **({"transaction": transaction} if transaction else {})
        )
        if by_command and isinstance(request, PauseRequest):
            return await self._survive(self._handler.pause(request.camera, by_command=True))
        return await self._survive(self._call(request))

    async def _do(self, asked: Accepted) -> None:
        try:
            data = await self.do(asked.reply.command, asked.request, transaction=_transaction(asked))
        except CommandError as error:
            self._refuse(asked, str(error), error.data)
        else:
            self._answer("obeyed", requests.done(asked.reply, data))

    async def _survive(self, doing: Awaitable[Any]) -> Any:
        """Wait for it; a bug within the budget becomes CommandError."""
        try:
            return await doing
        except CommandError:
            raise
        except Exception as error:
            if not self._bugs.allows():
                raise
            log.exception("bug", advice="please report this")
            raise CommandError("this met a bug of the program, see its log") from error

    async def _call(self, request: Request) -> Any:  # noqa: PLR0911 - one for each kind
        match request:
            case PauseRequest(camera):
                return await self._handler.pause(camera)
            case ResumeRequest(camera):
                return await self._handler.resume(camera)
            case RestartRequest(camera):
                return await self._handler.restart(camera)
            case ReloadRequest():
                return await self._handler.reload()
            case LogLevelRequest(level):
                return await self._handler.log_level(level)
            case ForgetRequest():
                return await self._handler.forget(request)
            case SnapshotRequest(camera, retain):
                return await self._handler.snapshot(camera, retain=retain)

    async def _set_pause(self, level: PauseSet) -> None:
        log.info("pause/set", camera=level.camera, on=level.on, retained=level.retained)
        try:
            await self._survive(self._handler.set_pause(level))
        except CommandError as error:
            self._counts["refused"] += 1
            log.error("pause/set failed", camera=level.camera, detail=str(error))  # noqa: TRY400 - no bug
        else:
            self._counts["obeyed"] += 1

    def _refuse(self, asked: Accepted, error: str, data: Any = None) -> None:
        self._answer("refused", requests.refused(asked.reply, error, data))
        log.info("request refused", request=asked.reply.command, detail=error)

    def _answer(self, outcome: str, answer: Message) -> None:
        self._counts[outcome] += 1
        self._publisher.publish(answer)

    async def _pace(self) -> None:
        """Wait until one more request may be handled: up to `BURST` at once, then one every `EVERY_S`."""
        now = trio.current_time()
        self._paid_until = max(self._paid_until, now - BURST * EVERY_S) + EVERY_S
        await trio.sleep_until(self._paid_until)

    def _ignore(self, ignored: Ignored) -> None:
        """Count it; the first is logged at once, then once a minute how many there were."""
        self._counts[ignored.why] += 1
        count = self._log_limit.count(ignored.why.value)
        if count and ignored.why is not Ignoring.CLEARED:
            log.warning("message ignored", why=ignored.why.value, count=count, detail=ignored.detail)


def _transaction(asked: Accepted) -> str | None:
    """Return what names a request, for the log: the page and a room's page name themselves there."""
    given = asked.reply.transaction
    return None if isinstance(given, UnsetType) else clean(bytes(given).decode().strip('"'), TRANSACTION_SHOWN)


def _described(request: Request) -> dict[str, str | None]:
    """Return what a request is about, for the log."""
    match request:
        case LogLevelRequest(level):
            return {"to": level}
        case ReloadRequest():
            return {}
    return {"camera": request.camera}
