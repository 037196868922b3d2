"""The checks of `doctor` at the broker: whether it lets us in, subscribe and publish, by a client id of our own.

What is published disturbs nobody: emptied topics that do not exist, a request that there is not, and of each camera an
event `doctor.test`, which is as well-formed as any and of a type that no consumer knows.
"""

from collections.abc import Iterator

import trio
from msgspec import structs

from interhuman2mqtt.commands.doctor_checks import is_out_of_sight
from interhuman2mqtt.commands.doctor_report import Check, down, failed, ok, skipped, warning
from interhuman2mqtt.config import Config
from interhuman2mqtt.control.parser import RequestParser
from interhuman2mqtt.errors import Outage, leaves
from interhuman2mqtt.events import Event, utc_now
from interhuman2mqtt.publish.homeassistant import discovery
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.mqtt import connect as mqtt
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings, Endpoint
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection
from interhuman2mqtt.publish.mqtt.types import Ack, IncomingMessage
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.clock import clock_state

ANSWER_S = 10.0
"""Seconds for the broker to answer."""
DELIVERY_S = 2.0
"""Seconds for what we send ourselves to arrive."""
PROBE = "/bridge/request/doctor"


HEAR = ' (or set mqtt.requests = "off")'


def acl(config: Config, instead: str = "") -> str:
    """Return the lines for Mosquitto's acl_file that allow the box what it needs."""
    tree, mqtt_config = f"{config.mqtt.base_topic}/{config.box.id}", config.mqtt
    lines = [f"user {mqtt_config.username or config.box.id}", f"topic write {tree}/#"]
    reader = RequestParser(mqtt_config.base_topic, config.box.id, mqtt_config.requests, discovery.birth_topic(config))
    lines += [f"topic read {topic}" for topic in reader.filters]
    if mqtt_config.discovery:
        lines.append(f"topic write {mqtt_config.discovery_prefix}/device/+/config")
    return "\n".join([f"allow it in the broker's ACL{instead}, with these lines in Mosquitto's acl_file:", *lines])


async def check_broker(config: Config) -> list[Check]:
    """Check whether it lets us in, and what it lets us do."""
    ref = config.mqtt.password
    if ref is not None and is_out_of_sight(ref):
        return [skipped("broker", "its password is out of sight here")]
    checks: list[Check] = []
    try:
        async with mqtt.connected(_settings(config)) as connection:
            checks.append(_let_in(config, connection))
            checks += await _check_rights(config, connection)
    except BaseExceptionGroup as group:
        outages, others = group.split(Outage)
        if outages is None or others is not None:
            raise
        checks.append(down("broker", leaves(outages)[0]))
    except Outage as outage:
        checks.append(down("broker", outage))
    return checks


def _settings(config: Config) -> ConnectSettings:
    return ConnectSettings(
        mqtt=structs.replace(config.mqtt, client_id=f"{config.mqtt.client_id}-doctor"),
        endpoint=Endpoint.of(config.mqtt.url),
        will=_empty(config, "bridge/doctor"),
        keepalive=30,
        timeout=10.0,
    )


def _let_in(config: Config, connection: BrokerConnection) -> Check:
    tls = ", TLS verified" if config.mqtt.url.startswith("mqtts:") else ""
    sentence = f"{config.mqtt.url} lets us in, MQTT {connection.version}{tls}"
    if not connection.limits.retain:
        return warning(
            "broker", sentence, "it keeps no retained messages: who comes later sees no state until it changes"
        )
    return ok("broker", sentence)


async def _check_rights(config: Config, connection: BrokerConnection) -> list[Check]:
    received = [await _check_subscriptions(config, connection)]
    refused = [sentence for message in _tests(config) if (sentence := await _refusal(connection, message))]
    if refused:
        more = f" (and {len(refused) - 1} topics more)" if len(refused) > 1 else ""
        return [*received, failed("broker, publishing", f"{refused[0]}{more}", acl(config))]
    if connection.version == "5":
        return [*received, ok("broker, publishing", f"what {config.box.id} publishes is taken")]
    silent = "nothing was refused, but MQTT 3.1.1 has no word for that: what an ACL denies is dropped in silence"
    look = "look for this box's topics with another client, or let the broker speak MQTT 5"
    return [*received, warning("broker, publishing", silent, look)]


async def _check_subscriptions(config: Config, connection: BrokerConnection) -> Check:
    birth = discovery.birth_topic(config)
    filters = RequestParser(config.mqtt.base_topic, config.box.id, config.mqtt.requests, birth).filters
    if not filters:
        return skipped("broker, requests", 'mqtt.requests is "off"')
    received = trio.Event()

    def take(incoming: IncomingMessage) -> None:
        if incoming.topic.endswith(PROBE):
            received.set()

    with trio.move_on_after(ANSWER_S):
        answers = await connection.subscriptions.subscribe(filters, take)
        refused = [topic for topic, ack in zip(filters, answers, strict=False) if ack.refused]
        if refused:
            return failed(
                "broker, requests", f"it does not let us subscribe to {', '.join(refused)}", acl(config, HEAR)
            )
        if config.mqtt.requests == "off":
            return skipped("broker, requests", 'mqtt.requests is "off"')
        return await _check_delivery(config, connection, received)
    return failed("broker, requests", f"no answer to a subscription in {ANSWER_S:g} s", "look into the broker's log")


async def _check_delivery(config: Config, connection: BrokerConnection, received: trio.Event) -> Check:
    """Check whether a request reaches us, for brokers that take any subscription and deliver nothing by it."""
    if await _refusal(connection, _a_request(config)):
        sentence = "may be subscribed to; whether they arrive is not known, since this user may not send any"
        return ok("broker, requests", sentence)
    with trio.move_on_after(DELIVERY_S):
        await received.wait()
        return ok("broker, requests", "they arrive")
    sentence = "it took the subscription, and what was sent to it did not arrive"
    if connection.version == "5":
        return failed("broker, requests", sentence, acl(config, HEAR))
    return warning(
        "broker, requests", f"{sentence}; with MQTT 3.1.1 it may be that sending was denied", acl(config, HEAR)
    )


def _a_request(config: Config) -> Message:
    """One that does not exist: a running service refuses it, and that is all."""
    topic = f"{config.mqtt.base_topic}/{config.box.id}{PROBE}"
    return Message(topic=topic, payload=b"{}", kind=MessageKind.ANSWER, retain=False, expiry=1)


async def _refusal(connection: BrokerConnection, message: Message) -> str | None:
    """Return the broker's reason against a message; None where it takes it."""
    answers, answer = trio.open_memory_channel[Ack](1)
    with trio.move_on_after(ANSWER_S):
        await connection.publish(message, answers.send_nowait)
        ack = await answer.receive()
        return f"it refused {message.topic}: {ack.text} (code {ack.code:#04x})" if ack.refused else None
    return f"no answer to {message.topic} in {ANSWER_S:g} s"


def _tests(config: Config) -> Iterator[Message]:
    """One message below each branch that the service publishes to."""
    topics = Topics(config.mqtt.base_topic, config.box.id, expiry=1.0)
    yield _empty(config, "bridge/doctor")
    for camera in config.cameras:
        yield topics.event(_an_event(config.box.id, camera))
        yield _empty(config, f"{camera}/state/doctor")
    if config.mqtt.discovery:
        topic = f"{config.mqtt.discovery_prefix}/device/interhuman_{config.box.id}_doctor/config"
        yield topics.clear(topic)


def _empty(config: Config, topic: str) -> Message:
    return Topics(config.mqtt.base_topic, config.box.id).clear(f"{config.mqtt.base_topic}/{config.box.id}/{topic}")


def _an_event(box: str, camera: str) -> Event:
    return Event(
        id=f"{box}/{camera}/doctor/1",
        box=box,
        camera=camera,
        type="doctor.test",
        session=None,
        correlation_id=None,
        timestamp=None,
        received_at=utc_now(),
        clock=clock_state(),
        data={},
    )
