"""Prints each signal that begins: `pip install paho-mqtt`, then `python subscribe.py HOST PORT`.

With `--user NAME` the password comes from $MQTT_PASSWORD: on the command line every user of the machine could read it.
With `--tls` the broker's certificate is checked, by `--ca FILE` where it is of an authority of your own.
"""

import argparse
import json
import os
import sys

import paho.mqtt.client as mqtt

EVENTS = "interhuman/+/+/event/signal.detected"


def on_connect(
    client: mqtt.Client, _data: object, _flags: object, reason: mqtt.ReasonCode, _properties: object
) -> None:
    """Subscribe anew on each connection: of all boxes and cameras."""
    if reason.is_failure:
        print(f"the broker refused us: {reason}: check --user and $MQTT_PASSWORD", file=sys.stderr)
        client.disconnect()
        sys.exit(1)
    client.subscribe(EVENTS, qos=1)


def on_subscribe(
    _client: mqtt.Client, _data: object, _mid: int, reasons: list[mqtt.ReasonCode], _properties: object
) -> None:
    """Note what the broker allows: some let everybody in, and not everybody read everything."""
    if reasons[0].is_failure:
        print(f"the broker does not let us subscribe to {EVENTS}: {reasons[0]}: see its ACL", file=sys.stderr)
        sys.exit(1)


def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    """Print an event; with QoS 1 it may come twice, and then has the same `id`."""
    event = json.loads(message.payload)
    print(event["start_at"], event["box"], event["camera"], event["data"]["signal_type"], flush=True)


parser = argparse.ArgumentParser(description="Prints each signal that begins.")
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("--user")
parser.add_argument("--tls", action="store_true")
parser.add_argument("--ca")
options = parser.parse_args()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
if options.user:
    client.username_pw_set(options.user, os.environ.get("MQTT_PASSWORD"))
if options.tls or options.ca:
    client.tls_set(options.ca)
try:
    client.connect(options.host, options.port)
except OSError as error:
    sys.exit(f"no connection to {options.host}:{options.port}: {error}")
client.loop_forever()
