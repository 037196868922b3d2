"""The page's subscription: what all boxes below a base topic publish, over one connection after another."""

import trio

from interhuman2mqtt.commands.watch_model import filters
from interhuman2mqtt.commands.watch_subscription import PAUSES, subscribe
from interhuman2mqtt.publish.mqtt import connect as mqtt
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.supervisor import BugBudget, Health, RetryInfo, keep_running
from interhuman2mqtt.web.actions import Actions
from interhuman2mqtt.web.page import Page


async def consume(settings: ConnectSettings, base: str, page: Page, actions: Actions, *, may_act: bool) -> None:
    """Keep a page subscribed, for ever.

    Args:
        settings: How to connect.
        base: `mqtt.base_topic`.
        page: Receives what boxes publish.
        actions: Receives the answers of boxes.
        may_act: Whether answers are subscribed to: a read-only account suffices for looking.
    """

    def receive(incoming: IncomingMessage) -> None:
        if incoming.payload is None or not actions.receive(incoming.topic, incoming.payload):
            page.receive(incoming)

    async def connect(health: Health) -> bool:
        page.forget_current()
        topics = [*filters(base), *(actions.filters if may_act else [])]
        async with mqtt.connected(settings) as connection:
            if connection.is_resumed:  # what was queued comes at once
                page.connected(resumed=True)
            await subscribe(connection, settings, topics, receive)
            health.healthy()
            if not connection.is_resumed:
                page.connected(resumed=False)
            actions.use(connection)
            try:
                await trio.sleep_forever()
            finally:
                actions.use(None)

    def on_retry(retry: RetryInfo) -> None:
        page.disconnected(retry.outage.detail)

    await keep_running(connect, on_retry, BugBudget(0), PAUSES)
