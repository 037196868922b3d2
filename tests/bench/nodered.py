"""What one would use in place of the page: Node-RED with its dashboard, on which each camera has a row."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio
from trio_websocket import open_websocket_url

from support import npm
from support.mosquitto import Broker, free_port
from support.processes import ChildProcess, running

DASHBOARD = "@flowfuse/node-red-dashboard"
PATIENCE_S = 60
TILES = """<template>
  <div v-for="(signals, camera) in cameras" :key="camera">{{ camera }}: {{ Object.keys(signals).join(", ") }}</div>
</template>
<script>
export default {
  data() { return { cameras: {} }; },
  watch: { msg(message) { this.cameras[message.topic] = message.payload?.signals ?? {}; } },
};
</script>"""
COLOURS = dict.fromkeys(("surface", "primary", "bgPage", "groupBg", "groupOutline"), "#ffffff")


class NodeRed(NamedTuple):
    """A Node-RED that runs."""

    process: ChildProcess
    port: int

    async def follow(self, receive: Callable[[list[str]], None]) -> None:
        """Hand on the signals of each message as the dashboard's own script in a browser gets it, by Socket.IO."""
        url = f"ws://127.0.0.1:{self.port}/dashboard/socket.io/?EIO=4&transport=websocket"
        async with open_websocket_url(url, max_message_size=64 << 20) as socket:
            await socket.get_message()  # the handshake of Engine.IO
            await socket.send_message("40")
            while True:
                message = str(await socket.get_message())
                if message == "2":  # a ping
                    await socket.send_message("3")
                elif message.startswith('42["msg-input:tiles"'):
                    payload = json.loads(message[2:])[1].get("payload")
                    receive(list(payload.get("signals", {})) if isinstance(payload, dict) else [])


@asynccontextmanager
async def node_red(folder: Path, broker: Broker) -> AsyncIterator[NodeRed | None]:
    """Yield Node-RED with a dashboard of all cameras, once it is connected; None where there is no npm."""
    if not npm.IS_THERE:
        yield None
        return
    home = await trio.to_thread.run_sync(npm.installed, "node-red")
    dashboard = await trio.to_thread.run_sync(npm.installed, DASHBOARD)
    user, port = folder / "node-red", free_port()
    user.mkdir()
    (user / "node_modules").symlink_to(dashboard / "node_modules")
    (user / "package.json").write_text(json.dumps({"dependencies": {DASHBOARD: npm.PINNED[DASHBOARD]}}))
    (user / "flow.json").write_text(json.dumps(list(flow(broker.port))))
    settings = {"flowFile": "flow.json", "uiPort": port, "uiHost": "127.0.0.1", "telemetry": {"enabled": False}}
    settings["dashboard"] = {"ioMiddleware": []}  # its own lets nobody in who does not begin with long polling
    (user / "settings.js").write_text(f"module.exports = {json.dumps(settings)};")
    async with running([str(home / "node_modules" / ".bin" / "node-red"), "--userDir", str(user)]) as process:
        await process.wait_line(lambda line: "Connected to broker" in line, PATIENCE_S)
        yield NodeRed(process, port)


def flow(port: int) -> Iterator[dict[str, Any]]:
    """Yield the nodes: what is retained of cameras goes to a template with a row for each."""
    yield {"id": "flow", "type": "tab", "label": "cameras"}
    yield {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "protocolVersion": "4"}
    for name in ("state/signals", "status"):
        yield {
            "id": name.replace("/", ""),
            "type": "mqtt in",
            "z": "flow",
            "topic": f"interhuman/+/+/{name}",
            "qos": "1",
            "datatype": "json",
            "broker": "broker",
            "wires": [["tiles"]],
        }
    yield {"id": "base", "type": "ui-base", "name": "", "path": "/dashboard", "acceptsClientConfig": []}
    yield {"id": "theme", "type": "ui-theme", "name": "", "colors": COLOURS, "sizes": {"density": "default"}}
    page = {"name": "Cameras", "ui": "base", "path": "/cameras", "layout": "grid", "theme": "theme", "order": 1}
    yield {"id": "page", "type": "ui-page", "visible": "true", "disabled": "false", **page}
    group = {"name": "Signals", "page": "page", "width": "12", "height": "1", "order": 1, "visible": "true"}
    yield {"id": "group", "type": "ui-group", "disabled": "false", **group}
    template = {"group": "group", "order": 1, "format": TILES, "templateScope": "local", "passthru": True}
    yield {"id": "tiles", "type": "ui-template", "z": "flow", "resendOnRefresh": True, "wires": [[]], **template}
