"""`python -m interhuman2mqtt.commands.demo_broker PORT`: a broker on loopback, until stdin closes.

A process of its own, because amqtt lives on asyncio. Whoever started it hears `ready` once it listens.
"""

import asyncio
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Serve anybody on this machine, until stdin closes."""
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listener = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    broker = Broker({"listeners": listener, "plugins": anonymous})
    await broker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
