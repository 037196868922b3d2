"""What we listen to at the broker, on one connection after the other, and what is said where it does not let us.

Listening never costs the publishing: a refusal is told and that is all. There are brokers that answer a subscription
which they do not allow by closing the connection: after `PATIENCE` of those in a row we publish without listening, and
ask again after `DEAF_S`.
"""

from collections.abc import Sequence

import structlog
import trio

from interhuman2mqtt.publish.broker import Ack
from interhuman2mqtt.publish.hearing import Take
from interhuman2mqtt.publish.mqtt import Connection

PATIENCE = 2
"""Connections in a row that may end while we wait for the answer."""
DEAF_S = 600.0
"""Seconds."""
ANSWER_S = 30.0
"""Seconds that the broker may take to answer."""

_REMEDY = "allow it to subscribe in the broker's ACL, or switch off what needs it: mqtt.requests, mqtt.discovery"

log = structlog.get_logger(__name__)


class Listener:
    """Listens to some topics on each connection anew.

    Args:
        filters: Topic filters.
        take: Is handed what comes by them; must neither wait nor fail.
    """

    def __init__(self, filters: Sequence[str], take: Take) -> None:
        self._filters = tuple(filters)
        self._take = take
        self._lost = 0
        self._deaf_until = 0.0
        self._complaint: str | None = None
        self._all = _said(filters)

    async def listen(self, connection: Connection) -> str | None:
        """Subscribe; returns what is wrong in one sentence, or None where we hear everything."""
        complaint = await self._subscribe(connection)
        if complaint is not None and complaint != self._complaint:
            log.warning("topics are not heard", detail=complaint)
        elif complaint is None and self._complaint is not None:
            log.info("topics are heard")
        self._complaint = complaint
        return complaint

    async def _subscribe(self, connection: Connection) -> str | None:
        now = trio.current_time()
        if now < self._deaf_until:
            await trio.lowlevel.checkpoint()
            return f"{self._all} not heard: the broker ended the connection when we subscribed to them: {_REMEDY}"
        try:
            with trio.move_on_after(ANSWER_S):
                answers = await connection.hearing.subscribe(self._filters, self._take)
                self._lost = 0
                return _refusals(self._filters, answers)
        finally:
            if connection.lost is not None:
                self._count_loss()
        return f"{self._all} not heard: the broker did not answer our subscription within {ANSWER_S:g} s"

    def _count_loss(self) -> None:
        self._lost += 1
        if self._lost >= PATIENCE:
            self._lost = 0
            self._deaf_until = trio.current_time() + DEAF_S


def _said(filters: Sequence[str]) -> str:
    return f"{', '.join(filters)} {'is' if len(filters) == 1 else 'are'}"


def _refusals(filters: Sequence[str], answers: Sequence[Ack]) -> str | None:
    refused = [(topic, ack) for topic, ack in zip(filters, answers, strict=False) if ack.refused]
    if not refused:
        return None
    _, ack = refused[0]
    topics = _said([topic for topic, _ in refused])
    return f"{topics} not heard: the broker refused ({ack.text}, code {ack.code:#04x}): {_REMEDY}"
