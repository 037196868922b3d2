"""The service, traced: which of its functions one event runs through, from the cloud's frame to the broker's socket.

`python event_tracer.py OUT ARGUMENTS...` runs `interhuman2mqtt ARGUMENTS...` and writes to the file OUT, for each event
that it could follow, the modules of ours that were entered on its way, each with the functions, in their order.

Two tasks carry an event: the one that receives from the cloud, and the one that sends to the broker. What others do
meanwhile is left out, and what these two do between a frame's arrival and the bytes of its event on the socket is all
of it: no module is excused, however little it does.
"""

import json
import sys
from collections.abc import Callable
from dis import opname
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trio

import interhuman2mqtt
from interhuman2mqtt import cli
from interhuman2mqtt.cloud.protocol import parse
from interhuman2mqtt.cloud.websocket import WebSocketConnection

ROOT = str(Path(interhuman2mqtt.__file__).parent) + "/"
EVENT = "signal.detected"
RECEIVE = WebSocketConnection.receive.__code__
PARSE = parse.__code__
Calls = list[tuple[str, str]]


class Tracer:
    """Follows one event at a time."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._ways: list[Calls] = []
        self._calls: dict[object, Calls] | None = None
        self._receiver: object = None
        self._received: Calls = []

    def __call__(self, frame: FrameType, kind: str, _: Any) -> None:
        """Take a call (`sys.setprofile`)."""
        code = frame.f_code
        if kind != "call" or _is_resumed(frame):
            return
        if code is PARSE:
            self._parse(frame.f_locals["frame"])
        if self._calls is not None:
            self._enter(code, frame)

    def _parse(self, frame: str) -> None:
        """Begin with an event; what arrived together with it and is handled after it is no part of its way."""
        if f'"{EVENT}"' in frame:
            self._receiver = trio.lowlevel.current_task()
            self._received = [_place(RECEIVE)]
            self._calls = {self._receiver: self._received}
        elif self._calls is not None:
            self._calls[self._receiver] = []

    def _enter(self, code: CodeType, frame: FrameType) -> None:
        assert self._calls is not None
        if code.co_filename.startswith(ROOT):
            self._calls.setdefault(_task(), []).append(_place(code))
        elif code.co_name == "_sock_send" and f"event/{EVENT}".encode() in frame.f_locals["buf"]:
            self._ways.append(self._received + self._calls[_task()])
            self._calls = None
            self._out.write_text(json.dumps(self._ways))


def _is_resumed(frame: FrameType) -> bool:
    """Decide whether a coroutine goes on after an `await`: that was entered long before the event came."""
    instruction, argument = frame.f_code.co_code[frame.f_lasti : frame.f_lasti + 2]
    return opname[instruction] == "RESUME" and argument & 0b11 != 0


def _task() -> object:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return None


def _place(code: CodeType) -> tuple[str, str]:
    return code.co_filename.removeprefix(ROOT), code.co_qualname


def run(main: Callable[[list[str]], object], out: Path, arguments: list[str]) -> None:
    """Run a program of ours while it is traced."""
    sys.setprofile(Tracer(out))
    main(arguments)


if __name__ == "__main__":
    run(cli.main, Path(sys.argv[1]), sys.argv[2:])
