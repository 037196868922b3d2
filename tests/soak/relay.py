"""Between the daemon and the broker, and between the daemon and the cloud: a network that misbehaves and remembers."""

import re
import time
from collections.abc import Callable

from soak import mqttwire
from soak.book import Book
from soak.mqttwire import Publish, Splitter

REQUEST_ID = re.compile(rb"x-client-request-id: *([0-9a-f-]{36})", re.IGNORECASE)
QUOTA_EXCEEDED = b"\x97"
REQUEST_MAX = 8192
"""Bytes in which the request for a session is over."""


class _Talk:
    """One connection to the broker."""

    def __init__(self) -> None:
        self.level = 5
        self.ways = {"up": Splitter(), "down": Splitter()}
        self.on_their_way: dict[int, Publish] = {}
        self.ended_ways = 0


class Quota:
    """Lets the broker say that there is no room, whatever it took: its `alter` is for a `rig.netproxy.Network`."""

    def __init__(self) -> None:
        self.is_spent = False
        """While it is, each PUBACK says `quota exceeded`, as MQTT 5 has it."""

    def alter(self) -> Callable[[bytes], bytes]:
        """What is done to one connection."""
        splitter = Splitter()
        return lambda data: b"".join(mqttwire.whole(self._answer(packet)) for packet in splitter.feed(data))

    def _answer(self, packet: mqttwire.Packet) -> mqttwire.Packet:
        if packet.kind != mqttwire.PUBACK or not self.is_spent:
            return packet
        return packet._replace(body=packet.body[:2] + QUOTA_EXCEEDED)


class BrokerEar:
    """The tap of the way to the broker: tells the book what is published and what is acknowledged."""

    def __init__(self, book: Book, quota: Quota | None = None) -> None:
        self.breaks: list[float] = []
        """When each connection was over."""
        self._book = book
        self._quota = quota or Quota()
        self._talks: dict[int, _Talk] = {}

    def hear(self, connection: int, way: str, data: bytes) -> None:
        """A `rig.netproxy.Tap`."""
        talk = self._talks.setdefault(connection, _Talk())
        if not data:
            self._ended(connection, talk)
            return
        for packet in talk.ways[way].feed(data):
            if way == "up":
                self._up(connection, talk, packet)
            elif packet.kind == mqttwire.PUBACK:
                self._down(talk, packet)

    def _ended(self, connection: int, talk: _Talk) -> None:
        """One way of it; what goes the other way may still come."""
        talk.ended_ways += 1
        if talk.ended_ways == 1:
            self.breaks.append(time.time())
        else:
            del self._talks[connection]

    def _up(self, connection: int, talk: _Talk, packet: mqttwire.Packet) -> None:
        if packet.kind == mqttwire.CONNECT:
            talk.level = mqttwire.version(packet)
        elif packet.kind == mqttwire.PUBLISH:
            message = mqttwire.publish(packet, talk.level)
            if message.number is not None:
                talk.on_their_way[message.number] = message
            self._book.published(time.time(), connection, message)

    def _down(self, talk: _Talk, packet: mqttwire.Packet) -> None:
        number, taken = mqttwire.puback(packet)
        message = talk.on_their_way.pop(number, None)
        if message is not None and self._quota.is_spent:
            self._book.refused(message)
        elif message is None:
            self._book.breach(f"the broker acknowledged packet {number}, which nobody sent")
        elif taken:
            self._book.acknowledged(time.time(), message)
        else:
            self._book.breach(f"the broker refused a message to {message.topic}")


class CloudEar:
    """The tap of the way to the cloud: knows when the daemon left each of its sessions."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {}
        """time.time() by the session's id"""
        self._requests: dict[int, bytes] = {}
        self._sessions: dict[int, str] = {}

    def hear(self, connection: int, way: str, data: bytes) -> None:
        """A `rig.netproxy.Tap`."""
        if way == "down":
            return
        if not data:
            self._requests.pop(connection, None)
            if session := self._sessions.pop(connection, None):
                self.left[session] = time.time()
        elif connection not in self._sessions:
            self._ask(connection, data)

    def _ask(self, connection: int, data: bytes) -> None:
        request = self._requests.get(connection, b"") + data
        if found := REQUEST_ID.search(request):
            self._sessions[connection] = found[1].decode()
            self._requests.pop(connection, None)
        elif len(request) < REQUEST_MAX:
            self._requests[connection] = request
