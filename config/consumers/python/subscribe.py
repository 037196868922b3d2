"""Prints each signal that begins: `pip install paho-mqtt`, then `python subscribe.py HOST PORT`."""

import json
import sys

import paho.mqtt.client as mqtt


def on_connect(client: mqtt.Client, *_: object) -> None:
    """Subscribe anew on each connection: of all boxes and cameras."""
    client.subscribe("interhuman/+/+/event/signal.detected", qos=1)


def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    """An event; with QoS 1 it may come twice, and then has the same `id`."""
    event = json.loads(message.payload)
    print(event["start_at"], event["box"], event["camera"], event["data"]["signal_type"], flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
