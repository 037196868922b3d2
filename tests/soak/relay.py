"""Taps on the connections of the daemon to the broker and to the cloud: what passes is parsed and noted."""

import re
import time
from collections.abc import Callable

from soak import mqttwire
from soak.mqttwire import Publish, Splitter
from soak.published_log import PublishedLog

REQUEST_ID = re.compile(rb"x-client-request-id: *([0-9a-f-]{36})", re.IGNORECASE)
QUOTA_EXCEEDED = b"\x97"
REQUEST_MAX = 8192
"""Bytes in which the request for a session is over."""


class _BrokerConnection:
    """One connection to the broker."""

    def __init__(self) -> None:
        self.level = 5
        self.directions = {"up": Splitter(), "down": Splitter()}
        self.in_flight: dict[int, Publish] = {}
        self.ended_directions = 0


class Quota:
    """Lets the broker say that there is no room, whatever it took: its `alter` is for a `support.netproxy.Network`."""

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


class BrokerTap:
    """The tap of the way to the broker: feeds the log with what is published and what is acknowledged."""

    def __init__(self, log: PublishedLog, quota: Quota | None = None) -> None:
        self.breaks: list[float] = []
        """When each connection was over."""
        self._log = log
        self._quota = quota or Quota()
        self._connections: dict[int, _BrokerConnection] = {}

    def receive(self, connection: int, direction: str, data: bytes) -> None:
        """A `support.netproxy.Tap`."""
        state = self._connections.setdefault(connection, _BrokerConnection())
        if not data:
            self._ended(connection, state)
            return
        for packet in state.directions[direction].feed(data):
            if direction == "up":
                self._up(connection, state, packet)
            elif packet.kind == mqttwire.PUBACK:
                self._down(state, packet)

    def _ended(self, connection: int, state: _BrokerConnection) -> None:
        """One way of it; what goes the other way may still come."""
        state.ended_directions += 1
        if state.ended_directions == 1:
            self.breaks.append(time.time())
        else:
            del self._connections[connection]

    def _up(self, connection: int, state: _BrokerConnection, packet: mqttwire.Packet) -> None:
        if packet.kind == mqttwire.CONNECT:
            state.level = mqttwire.version(packet)
        elif packet.kind == mqttwire.PUBLISH:
            message = mqttwire.publish(packet, state.level)
            if message.number is not None:
                state.in_flight[message.number] = message
            self._log.on_publish(time.time(), connection, message)

    def _down(self, state: _BrokerConnection, packet: mqttwire.Packet) -> None:
        number, accepted = mqttwire.puback(packet)
        message = state.in_flight.pop(number, None)
        if message is not None and self._quota.is_spent:
            self._log.on_quota_exceeded(message)
        elif message is None:
            self._log.violation(f"the broker acknowledged packet {number}, which nobody sent")
        elif accepted:
            self._log.on_puback(time.time(), message)
        else:
            self._log.violation(f"the broker refused a message to {message.topic}")


class CloudTap:
    """The tap of the way to the cloud: knows when the daemon left each of its sessions."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {}
        """time.time() by the session's id"""
        self._requests: dict[int, bytes] = {}
        self._sessions: dict[int, str] = {}

    def receive(self, connection: int, direction: str, data: bytes) -> None:
        """A `support.netproxy.Tap`."""
        if direction == "down":
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
