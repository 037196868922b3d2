"""A subscriber of its own process: `python -m bench.heard PORT TOPIC COUNT`.

It says `subscribed`, then `first` at the first message, and after COUNT of them one line of JSON: the seconds
from the first to the last, and a list of each message's age in seconds by the `sent_ns` in its payload.
"""

import json
import re
import sys
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

SENT = re.compile(rb'"sent_ns": ?(\d+)')


def main(port: int, topic: str, wanted: int) -> None:
    """Until all have come."""
    times: list[int] = []
    ages: list[float] = []
    done = threading.Event()

    def heard(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        now = time.time_ns()
        times.append(now)
        if len(times) == 1:
            say("first")
        if found := SENT.search(message.payload):
            ages.append((now - int(found[1])) / 1e9)
        if len(times) == wanted:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=0) and None
    client.on_subscribe = lambda *_: say("subscribed")
    client.on_message = heard
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait()
    say(json.dumps([(times[-1] - times[0]) / 1e9, ages]))
    client.disconnect()


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
