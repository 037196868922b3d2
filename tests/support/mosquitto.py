"""A real Mosquitto on a free port, and a subscriber that records what it receives."""

import getpass
import hashlib
import os
import secrets
import signal
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import trio
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from support.processes import PATIENCE_S, ChildProcess, start_process


def free_port() -> int:
    """A TCP port of loopback that nobody listens on.

    It is one that the kernel never gives to outgoing connections (32768 and up, by default): one of those may be taken
    between this answer and its use, or while a broker is being restarted.
    """
    while True:
        with socket.socket() as sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port := 20_000 + secrets.randbelow(12_000)))
            return port


class Tls(NamedTuple):
    """Files in PEM."""

    ca_file: Path
    cert_file: Path
    key_file: Path
    client_certificates: bool = False
    """Whether a client must show one, signed by the same CA."""


class Broker:
    """A Mosquitto with a configuration of its own, which tests break and start again.

    Args:
        folder: Where its configuration and its store live.
        users: Passwords by user name; empty: anybody may come.
        tls: Its certificate.
        acl: Lines of its ACL file; None: everybody may do everything.
        lines: More lines of its configuration, such as `max_inflight_messages 1`.
        persistent: Whether it writes what it holds to disk at each change, so that a restart can remember it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        acl: Sequence[str] | None = None,
        lines: Sequence[str] = (),
        persistent: bool = False,
    ) -> None:
        self.port = free_port()
        self.url = f"{'mqtts' if tls else 'mqtt'}://localhost:{self.port}"
        self._tls = tls
        self._persistent = persistent
        self._process: ChildProcess | None = None
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(self._configuration(folder, users or {}, acl, lines)) + "\n")

    @property
    def log(self) -> list[str]:
        """What it said since it was started last."""
        assert self._process
        return self._process.lines

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = await start_process(["/usr/sbin/mosquitto", "-v", "-c", str(self._config)])
        await self.wait_log("running")

    async def wait_log(self, text: str, within: float = PATIENCE_S) -> str:
        """The first line of its log, written already or to come, that holds `text`."""
        assert self._process
        return await self._process.wait_line(lambda line: text in line, within)

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open, nothing moves."""
        assert self._process
        self._process.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.thaw()

    async def allow(self, acl: Sequence[str]) -> None:
        """Other lines in its ACL file, which are in force when this returns; some must have been there at first."""
        assert self._process
        _write(self._folder / "acl", acl)
        before = len(self.log)
        self._process.process.send_signal(signal.SIGHUP)
        with trio.fail_after(PATIENCE_S):
            while not any("Reloading config" in line for line in self.log[before:]):  # noqa: ASYNC110 - a log line
                await trio.sleep(0.02)

    async def kill(self) -> None:
        """End it at once; what it retained is gone unless it had been written."""
        if self._process:
            await self._process.kill()

    async def restart(self) -> None:
        """Kill it and start it again on the same port; it remembers nothing, unless it is persistent."""
        await self.kill()
        await self.start()

    def _configuration(
        self, folder: Path, users: Mapping[str, str], acl: Sequence[str] | None, lines: Sequence[str]
    ) -> list[str]:
        config = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "log_dest stderr", "log_type all"]
        if self._persistent:
            config += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
            config += ["autosave_on_changes true"]
        config += [f"allow_anonymous {'false' if users else 'true'}", *lines]
        if users:
            config.append(f"password_file {_write(folder / 'passwords', map(_password_line, users.items()))}")
        if acl is not None:
            config.append(f"acl_file {_write(folder / 'acl', acl)}")
        if self._tls:
            config += [
                f"cafile {self._tls.ca_file}",
                f"certfile {self._tls.cert_file}",
                f"keyfile {self._tls.key_file}",
            ]
            config.append(f"require_certificate {str(self._tls.client_certificates).lower()}")
        return config


@asynccontextmanager
async def mosquitto(folder: Path, **options: Any) -> AsyncIterator[Broker]:
    """A running Broker, which is killed when the block ends."""
    broker = Broker(folder, **options)
    try:
        await broker.start()
        yield broker
    finally:
        with trio.move_on_after(10, shield=True):
            await broker.kill()


class Received(NamedTuple):
    """A message as it came to a subscriber."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    """Delivered from the broker's store, not live; or, where that was asked for, published to be kept there."""
    properties: dict[str, Any]
    """MQTT 5's, by paho's names: ContentType, UserProperty ..."""


class Subscriber:
    """Gathers what comes on its topics; made by `subscribed`."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self._more = trio.Event()

    def add(self, message: Received) -> None:
        """A message came."""
        self.messages.append(message)
        self.wake()

    def wake(self) -> None:
        """Something changed: who waits looks again."""
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, enough: Callable[[list[Received]], Any], within: float = PATIENCE_S) -> list[Received]:
        """All messages, as soon as they are `enough`; an AssertionError names those that came when time is over."""
        with trio.move_on_after(within):
            while not enough(self.messages):
                await self._more.wait()
            return self.messages
        raise AssertionError(f"not enough in {within} s: {[message.topic for message in self.messages]}")

    async def wait_topic(self, end: str, within: float = PATIENCE_S) -> Received:
        """The first message whose topic ends so."""
        messages = await self.wait_for(lambda seen: any(m.topic.endswith(end) for m in seen), within)
        return next(m for m in messages if m.topic.endswith(end))

    def payloads(self, end: str) -> list[bytes]:
        """The payloads that came so far on topics that end so."""
        return [m.payload for m in self.messages if m.topic.endswith(end)]


@asynccontextmanager
async def subscribed(
    broker: Broker,
    topic: str = "#",
    *,
    user: tuple[str, str] | None = None,
    ca_file: Path | None = None,
    as_published: bool = False,
) -> AsyncIterator[Subscriber]:
    """A subscriber of `topic`, with MQTT 5, in place when the block begins. A thread of its own does the I/O."""
    options = SubscribeOptions(qos=1, retainAsPublished=as_published)
    subscriber, ready, token = Subscriber(), trio.Event(), trio.lowlevel.current_trio_token()
    client = _client(user, ca_file)
    client.on_connect = lambda client, *_: client.subscribe(topic, options=options) and None
    client.on_subscribe = lambda *_: token.run_sync_soon(ready.set)
    client.on_message = lambda _client, _data, message: token.run_sync_soon(subscriber.add, _received(message))
    try:
        await trio.to_thread.run_sync(client.connect, "localhost", broker.port)
        client.loop_start()
        with trio.fail_after(PATIENCE_S):
            await ready.wait()
        yield subscriber
    finally:
        with trio.move_on_after(10, shield=True):
            await trio.to_thread.run_sync(_end, client)


class PublishingClient:
    """A client that publishes, with MQTT 5; made by `publishing_client`."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client

    async def publish(self, topic: str, payload: bytes | str = b"", *, retain: bool = False, **properties: Any) -> None:
        """Publish with QoS 1, and wait for PUBACK; `properties` by paho's names: ResponseTopic, CorrelationData ..."""
        await trio.to_thread.run_sync(
            self.publish_nowait(topic, payload, retain=retain, **properties).wait_for_publish, 10
        )

    def publish_nowait(
        self, topic: str, payload: bytes | str = b"", *, retain: bool = False, **properties: Any
    ) -> paho.MQTTMessageInfo:
        """Publish without waiting for PUBACK."""
        given = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(given, name, value)
        return self._client.publish(topic, payload, 1, retain, given)


@asynccontextmanager
async def publishing_client(broker: Broker, *, user: tuple[str, str] | None = None) -> AsyncIterator[PublishingClient]:
    """A PublishingClient that is connected. A thread of its own does the I/O."""
    client, ready, token = _client(user, None), trio.Event(), trio.lowlevel.current_trio_token()
    client.on_connect = lambda *_: token.run_sync_soon(ready.set)
    try:
        await trio.to_thread.run_sync(client.connect, "localhost", broker.port)
        client.loop_start()
        with trio.fail_after(PATIENCE_S):
            await ready.wait()
        yield PublishingClient(client)
    finally:
        with trio.move_on_after(10, shield=True):
            await trio.to_thread.run_sync(_end, client)


def _client(user: tuple[str, str] | None, ca_file: Path | None) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    if user:
        client.username_pw_set(*user)
    if ca_file:
        client.tls_set(str(ca_file))
    return client


def _end(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()


def _received(message: paho.MQTTMessage) -> Received:
    properties = message.properties.json() if message.properties else {}  # type: ignore[no-untyped-call]
    return Received(message.topic, bytes(message.payload), message.qos, message.retain, properties)


def _write(path: Path, lines: Any) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


def _password_line(user: tuple[str, str]) -> str:
    """A line of Mosquitto's password file: PBKDF2-SHA512 in its own notation."""
    name, password = user
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{name}:$7$101${b64encode(salt).decode()}${b64encode(key).decode()}"
