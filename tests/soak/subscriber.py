"""A subscriber of everything that comes again at once whenever the broker does, and only counts."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import paho.mqtt.client as paho
import trio
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from soak.published_log import EVIDENCE

SOON_S = 60.0
"""Within which an event comes that the broker acknowledged while the subscriber was there."""
EDGE_S = 3.0
"""What is acknowledged so shortly after the subscriber came, or before it went, may have missed it."""


class Subscriber:
    """What came, and what did not."""

    def __init__(self, client: paho.Client) -> None:
        self.events = 0
        """That came for the first time."""
        self.missed: list[str] = []
        """Ids of events that the broker acknowledged, and that did not come though the subscriber was there."""
        self._acked: dict[str, float] = {}
        self._came: dict[str, float] = {}
        self._up_since: float | None = None
        self._ups: list[tuple[float, float]] = []
        self._client = client

    @property
    def is_up(self) -> bool:
        """Whether the broker is there."""
        return self._up_since is not None

    def publish(self, topic: str, text: str) -> None:
        """Publish something."""
        self._client.publish(topic, text, qos=1)

    def connected(self) -> None:
        """The broker has taken the subscription."""
        self._up_since = time.time()

    def disconnected(self) -> None:
        """The broker is gone."""
        if self._up_since is not None:
            self._ups.append((self._up_since, time.time()))
            self._up_since = None

    def on_event(self, event: str) -> None:
        """An event came."""
        if self._acked.pop(event, None) is not None:
            self.events += 1
        else:
            self._came[event] = time.time()

    def on_ack(self, event: str) -> None:
        """The broker acknowledged an event, for the first time."""
        if self._came.pop(event, None) is not None:
            self.events += 1
        else:
            self._acked[event] = time.time()

    def check(self, now: float) -> None:
        """Note what should have come long ago, and forget what is old."""
        for event, at in [(event, at) for event, at in self._acked.items() if at < now - SOON_S]:
            del self._acked[event]
            if self._was_there(at) and len(self.missed) < EVIDENCE:
                self.missed.append(event)
        self._came = {event: at for event, at in self._came.items() if at >= now - SOON_S}

    def _was_there(self, at: float) -> bool:
        ups = [*self._ups, *([(self._up_since, time.time())] if self._up_since else [])]
        return any(begin + EDGE_S <= at <= end - EDGE_S for begin, end in ups)


@asynccontextmanager
async def subscribing(port: int) -> AsyncIterator[Subscriber]:
    """A subscriber of a broker on loopback, in place when the block begins. A thread of its own does the I/O."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscriber, ready, token = Subscriber(client), trio.Event(), trio.lowlevel.current_trio_token()

    def subscribed() -> None:
        subscriber.connected()
        ready.set()

    def message(_client: paho.Client, _data: object, got: paho.MQTTMessage) -> None:
        if "/event/" in got.topic:
            token.run_sync_soon(subscriber.on_event, json.loads(got.payload)["id"])

    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1) and None
    client.on_subscribe = lambda *_: token.run_sync_soon(subscribed)
    client.on_disconnect = lambda *_: token.run_sync_soon(subscriber.disconnected)
    client.on_message = message
    try:
        await trio.to_thread.run_sync(client.connect, "127.0.0.1", port)
        client.loop_start()
        with trio.fail_after(10):
            await ready.wait()
        yield subscriber
    finally:
        with trio.move_on_after(10, shield=True):
            await trio.to_thread.run_sync(_end, client)


def _end(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()
