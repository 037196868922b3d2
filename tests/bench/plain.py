"""The peer: aiomqtt publishing with QoS 1 and nothing kept, `python -m bench.plain PORT TOPIC RATE COUNT [AT_ONCE]`.

The payload is read from stdin, one line; the digits of its `sent_ns` are replaced by the time of each sending. A rate
of 0: as fast as it goes, with so many at once.
"""

import asyncio
import re
import sys
import time

import aiomqtt

SENT = re.compile(r'"sent_ns": ?\d+')


async def main(port: int, topic: str, rate: float, count: int, at_once: int) -> None:
    """Publish it `count` times."""
    template = sys.stdin.readline().strip()
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        began = time.monotonic()

        async def publish(n: int) -> None:
            if rate:
                await asyncio.sleep(began + n / rate - time.monotonic())
            await client.publish(topic, SENT.sub(f'"sent_ns":{time.time_ns()}', template), qos=1)

        async def work(first: int) -> None:
            for n in range(first, count, at_once):
                await publish(n)

        await asyncio.gather(*(work(n) for n in range(at_once)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(([*sys.argv, "1"])[5])))
