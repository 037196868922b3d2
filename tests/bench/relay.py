"""The peer that goes the same way: from the cloud's WebSocket to MQTT by `websockets` and aiomqtt, nothing kept.

    python -m bench.relay CLOUD PORT TOPIC AT_ONCE

What a user would write first: each message that comes is decoded, and published with QoS 1 as it is.
"""

import asyncio
import json
import sys

import aiomqtt
import websockets


async def main(cloud: str, port: int, topic: str, at_once: int) -> None:
    """Until it is killed."""
    window = asyncio.Semaphore(at_once)
    async with (
        aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client,
        websockets.connect(cloud, max_size=None) as websocket,
        asyncio.TaskGroup() as tasks,
    ):
        await websocket.send(b"a chunk")

        async def publish(payload: str | bytes) -> None:
            try:
                await client.publish(topic, payload, qos=1)
            finally:
                window.release()

        async for message in websocket:
            if json.loads(message)["type"].startswith("signal."):
                await window.acquire()
                tasks.create_task(publish(message))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
