"""A subscription of our own to what boxes publish, over the same kind of connection as the service's."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import trio
from msgspec import structs

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.mqtt import connect as mqtt
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings, Endpoint
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection
from interhuman2mqtt.publish.mqtt.subscriptions import OnMessage
from interhuman2mqtt.supervisor import BackoffPolicy, BugBudget, Health, RetryInfo, keep_running

KEEPALIVE_S = 30
TIMEOUT_S = 10.0
"""For one attempt to connect, and for the answer to a subscription."""
PAUSES = BackoffPolicy(first=1.0, longest=15.0, overloaded=5.0, overloaded_longest=30.0, refused=15.0)
"""Somebody sits before it: shorter than the service's."""


def settings_for(config: Mqtt, who: str, timeout: float = TIMEOUT_S) -> ConnectSettings:
    """Return how to connect beside the service: without a will, and with a client id that is nobody else's.

    Raises:
        ConfigError: `mqtt.url` is none.
    """
    return ConnectSettings(
        mqtt=structs.replace(config, client_id=f"interhuman-{who}-{uuid4().hex[:8]}"),
        endpoint=Endpoint.of(config.url),
        will=None,
        keepalive=KEEPALIVE_S,
        timeout=timeout,
    )


@asynccontextmanager
async def subscribed(
    settings: ConnectSettings, filters: Sequence[str], on_message: OnMessage
) -> AsyncIterator[BrokerConnection]:
    """Yield a connection once the broker has confirmed the subscription; the block is cancelled with its loss.

    Raises:
        Outage: the broker does not answer, does not let us listen, or went away.
    """
    async with mqtt.connected(settings) as connection:
        await subscribe(connection, settings, filters, on_message)
        yield connection


async def subscribe(
    connection: BrokerConnection, settings: ConnectSettings, filters: Sequence[str], on_message: OnMessage
) -> None:
    """Subscribe on a connection; from the beginning of the call on messages are passed on.

    Raises:
        Outage: the broker does not answer, or does not let us listen.
    """
    with trio.move_on_after(settings.timeout) as patience:
        answers = await connection.subscriptions.subscribe(filters, on_message, settings.incoming_max)
    if patience.cancelled_caught:
        raise Outage(Reason.BROKER_LOST, f"the broker at {settings.endpoint} does not answer a subscription")
    if refused := [(topic, ack) for topic, ack in zip(filters, answers, strict=False) if ack.refused]:
        topic, ack = refused[0]
        raise Refused(Reason.BROKER_REFUSED, f"the broker does not let us subscribe to {topic}: {ack.text}")


async def keep_subscribed(  # noqa: PLR0913 - what a connection tells, each named once
    settings: ConnectSettings,
    filters: Sequence[str],
    on_message: OnMessage,
    *,
    on_attempt: Callable[[], None],
    on_subscribed: Callable[[], None],
    on_retry: Callable[[RetryInfo], None],
) -> None:
    """One connection after another, for ever.

    Args:
        settings: How to connect.
        filters: The topic filters.
        on_message: Receives each message; must neither wait nor fail.
        on_attempt: Called before a connection is tried: what the one before received may not be true any more.
        on_subscribed: Called when it is subscribed.
        on_retry: Called with why it ended, or did not come about, and when it is tried again.
    """

    async def connect(health: Health) -> bool:
        on_attempt()
        async with subscribed(settings, filters, on_message):
            health.healthy()
            on_subscribed()
            await trio.sleep_forever()

    await keep_running(connect, on_retry, BugBudget(0), PAUSES)
