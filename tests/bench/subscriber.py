"""A subscriber of its own process: `python -m bench.subscriber PORT TOPIC COUNT`.

It says `subscribed`, then `first` at the first message, and after COUNT of them one line of JSON: the seconds
from the first to the last, and a list of each message's age in seconds by the `sent_ns` in its payload.

It shares two cores with what is measured, so it does no more than look for packets in what the broker sends: paho would
take as long to receive a message as most peers to publish it.
"""

import json
import re
import socket
import sys
import time
from collections.abc import Iterator

from soak.mqttwire import PUBLISH, Splitter

SENT = re.compile(rb'"sent_ns": ?(\d+)')
CONNECT = b"\x10\x10" + b"\x00\x04MQTT" + b"\x05\x02\x00\x00\x00" + b"\x00\x03ear"
"""MQTT 5, a clean start, no keepalive, no properties (3.1)."""
SUBACK = 9
"""Type of the control packet (2.1.2)."""
READ = 1 << 18


def main(port: int, topic: str, wanted: int) -> None:
    """Until all have come."""
    ages: list[float] = []
    first = last = 0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(CONNECT + subscribe(topic.encode()))
        for count, (at, body) in enumerate(messages(sock), 1):
            last = at
            if count == 1:
                first = at
                say("first")
            if found := SENT.search(body):
                ages.append((at - int(found[1])) / 1e9)
            if count == wanted:
                break
    say(json.dumps([(last - first) / 1e9, ages]))


def subscribe(topic: bytes) -> bytes:
    """SUBSCRIBE with QoS 0 (MQTT 5, 3.8): identifier, no properties, one filter."""
    body = b"\x00\x01\x00" + len(topic).to_bytes(2) + topic + b"\x00"
    return b"\x82" + bytes([len(body)]) + body


def messages(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The body of each PUBLISH and when it came, in nanoseconds; what comes before them is CONNACK and SUBACK."""
    splitter, said = Splitter(), False
    while data := sock.recv(READ):
        at = time.time_ns()
        for packet in splitter.feed(data):
            if packet.kind == PUBLISH:
                yield at, packet.body
            elif packet.kind == SUBACK and not said:
                said = True
                say("subscribed")


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
