"""Hears what is published, as any consumer would: with a client of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import paho.mqtt.client as paho
import trio
from paho.mqtt.enums import CallbackAPIVersion

from interhuman2mqtt.errors import Outage, Reason

BACKLOG = 1000
"""Messages that may wait for the screen; a demo makes a handful a second."""
PATIENCE_S = 10.0


class Heard(NamedTuple):
    """A message as it was published."""

    topic: str
    payload: bytes


@asynccontextmanager
async def listen(
    host: str, port: int, topic: str, patience: float = PATIENCE_S
) -> AsyncIterator[trio.MemoryReceiveChannel[Heard]]:
    """What is published on a topic, from when the broker has confirmed the subscription.

    paho's own thread does the I/O: this is a tool, not the service.

    Raises:
        Outage: the broker does not answer.
    """
    hears, heard = trio.open_memory_channel[Heard](BACKLOG)
    subscribed = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def arrived(message: paho.MQTTMessage) -> None:
        token.run_sync_soon(hears.send_nowait, Heard(message.topic, bytes(message.payload)))

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=1) and None
    client.on_subscribe = lambda *_: token.run_sync_soon(subscribed.set)
    client.on_message = lambda _client, _data, message: arrived(message)
    try:
        await trio.to_thread.run_sync(client.connect, host, port)
        client.loop_start()
        with trio.fail_after(patience):
            await subscribed.wait()
        yield heard
    except (OSError, trio.TooSlowError) as error:
        raise Outage(
            Reason.BROKER_UNREACHABLE, f"no broker answers at {host}:{port}: {str(error) or 'silence'}"
        ) from error
    finally:
        client.disconnect()
        client.loop_stop()
