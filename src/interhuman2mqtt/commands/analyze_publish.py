"""Publishes the events of a recording, over a connection of its own beside the daemon's."""

from collections.abc import Sequence

import trio

from interhuman2mqtt.commands.watch_subscription import settings_for
from interhuman2mqtt.config import Config
from interhuman2mqtt.errors import Outage, Reason, Refused, leaves
from interhuman2mqtt.events import Event
from interhuman2mqtt.publish.mqtt import connect as mqtt
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection, TooLarge
from interhuman2mqtt.publish.mqtt.types import Ack
from interhuman2mqtt.publish.topics import Topics

ANSWER_S = 30.0
"""Seconds for the broker to take an event."""
AGAIN = "the same command publishes them, with the same ids, and sends nothing again"


async def publish(config: Config, events: Sequence[Event]) -> None:
    """Publish events in their order, each once the broker has the one before; raise Outage."""
    topics = Topics(config.mqtt.base_topic, config.box.id, config.outbox.max_age)
    try:
        async with mqtt.connected(settings_for(config.mqtt, "analyze")) as connection:
            for event in events:
                await _publish(connection, topics, event)
    except BaseExceptionGroup as group:
        outages, others = group.split(Outage)
        if outages is None or others is not None:
            raise
        raise _not_published(leaves(outages)[0]) from group
    except Outage as outage:
        raise _not_published(outage) from outage


async def _publish(connection: BrokerConnection, topics: Topics, event: Event) -> None:
    message = topics.event(event)
    answers, answer = trio.open_memory_channel[Ack](1)
    with trio.move_on_after(ANSWER_S):
        try:
            await connection.publish(message, answers.send_nowait)
        except TooLarge as error:
            raise Refused(Reason.BROKER_REFUSED, f"{error}: raise its maximum packet size") from error
        ack = await answer.receive()
        if ack.refused:
            raise Refused(Reason.BROKER_REFUSED, f"the broker refused {message.topic}: {ack.text} ({ack.code:#04x})")
        return
    raise Outage(Reason.BROKER_LOST, f"the broker did not answer {message.topic} in {ANSWER_S:g} s")


def _not_published(outage: Outage) -> Outage:
    kind = Refused if isinstance(outage, Refused) else Outage
    return kind(outage.reason, f"its events were not all published: {outage.detail} ({AGAIN})")
