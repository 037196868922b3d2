"""A tab of Debian's Firefox, driven by WebDriver BiDi, which it speaks itself: no driver and no Node between."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from support.processes import running

COMMAND = shutil.which("firefox-esr") or shutil.which("firefox")
in_firefox = pytest.mark.skipif(COMMAND is None, reason="Debian's firefox-esr is not installed")
PREFERENCES = {
    "intl.accept_languages": "en-GB",
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}
WAIT_S = 40.0
MESSAGE_MAX = 64 << 20
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
SEES = """new Promise((resolve) => {
  const look = () => (%s) ? resolve(true) : setTimeout(look, 50);
  look();
})"""


class Tab:
    """A tab, and what its console complains of."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, Any] = {}
        self._answered = trio.Condition()
        self._context = ""

    async def read(self) -> None:
        """Read what the browser says, for ever."""
        while True:
            message = json.loads(await self._socket.get_message())
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.errors.append(message["params"]["text"])
            elif "id" in message:
                async with self._answered:
                    self._answers[message["id"]] = message
                    self._answered.notify_all()

    async def do(self, method: str, **params: Any) -> Any:
        """Send a command, and return what it results in."""
        number = next(self._numbers)
        await self._socket.send_message(json.dumps({"id": number, "method": method, "params": params}))
        with trio.fail_after(WAIT_S):
            async with self._answered:
                while number not in self._answers:
                    await self._answered.wait()
        answer = self._answers.pop(number)
        assert answer["type"] == "success", f"{method}: {answer}"
        return answer["result"]

    async def begin(self) -> None:
        """Open the session and the tab."""
        await self.do("session.new", capabilities={})
        await self.do("session.subscribe", events=["log.entryAdded"])
        self._context = (await self.do("browsingContext.getTree"))["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        """Open an address."""
        await self.do("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """What an expression is, or promises: a text, a number or a truth; as if somebody had clicked."""
        target = {"context": self._context}
        done = await self.do(
            "script.evaluate", expression=expression, target=target, awaitPromise=True, userActivation=True
        )
        assert done["type"] == "success", done["exceptionDetails"]["text"]
        return done["result"].get("value")

    async def wait(self, selector: str, text: str = "") -> None:
        """Wait until there is such an element, with a text in it."""
        one = f"[...document.querySelectorAll({json.dumps(selector)})]"
        assert await self.evaluate(SEES % f"{one}.some((node) => node.innerText?.includes({json.dumps(text)}) ?? true)")

    async def click(self, selector: str) -> None:
        """Click an element, as soon as it is there."""
        await self.wait(selector)
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    async def close(self) -> None:
        """Close the tab, as somebody who clicks on its cross; another one keeps the browser."""
        await self.do("browsingContext.create", type="tab")
        await self.do("browsingContext.close", context=self._context)


@asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[Tab]:
    """Yield a tab of a fresh Firefox, whose camera and microphone are fake ones."""
    profile = folder / "firefox"
    profile.mkdir()
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))
    command = [COMMAND or "", "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    async with running(command) as process:
        found = LISTENING.search(await process.wait_line(lambda line: LISTENING.search(line) is not None))
        assert found
        url = f"{found[1]}/session"
        async with open_websocket_url(url, max_message_size=MESSAGE_MAX) as socket, trio.open_nursery() as nursery:
            tab = Tab(socket)
            nursery.start_soon(tab.read)
            await tab.begin()
            yield tab
            nursery.cancel_scope.cancel()
