"""The commands `restart`, `reload` and `health` ask the running daemon by its socket, and print what came of it."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec

from interhuman2mqtt import exit_codes
from interhuman2mqtt.control import unix_socket
from interhuman2mqtt.errors import Interhuman2MqttError
from interhuman2mqtt.runtime import state_dir, unix_path
from interhuman2mqtt.runtime.sanitize import clean_lines

ANSWER_S = 120.0
"""More than a session may take to drain, and another that it waits for."""


HEALTH_S = 8.0
"""Less than who asks for the health of a container waits (systemd/interhuman2mqtt.container)."""


class NotAsked(Interhuman2MqttError):  # noqa: N818 - it names what happened
    """There is no daemon to ask, or it did not answer; the text says what to do."""


def restart_command(camera: str | None, as_json: bool, out: TextIO, err: TextIO) -> int:  # noqa: FBT001 - an option
    """Ask for the restart of a camera, or of all; return 0, or 69 where that was not done."""
    fields = {} if camera is None else {"camera": camera}
    return _command({"command": "restart", **fields}, as_json, out, err)


def reload_command(as_json: bool, out: TextIO, err: TextIO) -> int:  # noqa: FBT001 - an option
    """Ask for a reload; return 0, or 69 where the configuration is not in force, and print why."""
    return _command({"command": "reload"}, as_json, out, err)


def health_command(as_json: bool, out: TextIO, err: TextIO) -> int:  # noqa: FBT001 - an option
    """Say whether every part of the daemon moves; 0, or 69 where it does not, or there is none."""
    return _command({"command": unix_socket.HEALTH}, as_json, out, err, HEALTH_S)


def _command(
    request: Mapping[str, str],
    as_json: bool,  # noqa: FBT001
    out: TextIO,
    err: TextIO,
    within: float = ANSWER_S,
) -> int:
    try:
        answer = ask(state_dir.find(), request, within)
    except NotAsked as error:
        answer = {"status": "error", "error": str(error), "data": None}
    if as_json:
        print(json.dumps(answer), file=out)
    elif answer["status"] == "ok":
        print(clean_lines(_outcome(request["command"], answer["data"])), file=out)
    else:
        print(clean_lines(answer["error"]), file=err)
    return 0 if answer["status"] == "ok" else exit_codes.UNAVAILABLE


def _outcome(command: str, data: Mapping[str, Any]) -> str:
    if command == unix_socket.HEALTH:
        return "every part of the daemon moves"
    if command == "restart":
        return f"restarted: {', '.join(data['cameras']) or 'there is no camera'}"
    changes = [f"{what}: {', '.join(data[what])}" for what in ("stopped", "started") if data[what]]
    cameras = "; ".join(changes) or "no camera was changed by it"
    if waits := ", ".join(f"[{name}]" for name in data.get("needs_restart", ())):
        return f"reload applied, but for {waits}: what changed there waits for a restart of the service; {cameras}"
    return f"reload applied: the configuration is in force; {cameras}"


def ask(state: Path, request: Mapping[str, Any], within: float = ANSWER_S) -> dict[str, Any]:
    """Return the answer of the daemon whose state is in this directory. Blocks; raises NotAsked."""
    runtime = state_dir.find_runtime(state)
    if runtime is not None and not _may_listen(state) and _may_listen(runtime):
        return _ask(runtime, request, within)
    return _ask(state, request, within)


def _may_listen(folder: Path) -> bool:
    """Return whether a daemon's socket is there, or may be: who must not look is told so when it asks."""
    try:
        return (folder / unix_socket.NAME).exists()
    except PermissionError:
        return True


def _ask(folder: Path, request: Mapping[str, Any], within: float) -> dict[str, Any]:
    try:
        with unix_path.short(folder, unix_socket.NAME) as address, socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(within)
            asking.connect(address)
            asking.sendall(msgspec.json.encode(request) + b"\n")
            asking.shutdown(socket.SHUT_WR)
            with asking.makefile("rb") as answers:
                return msgspec.json.decode(answers.readline(), type=dict[str, Any])
    except OSError as error:
        raise NotAsked(_why(error, folder / unix_socket.NAME, within)) from error
    except msgspec.MsgspecError as error:
        raise NotAsked(
            "the daemon ended before it answered; its log says why (journalctl -u interhuman2mqtt)"
        ) from error


def _why(error: OSError, path: Path, within: float) -> str:
    match error:
        case PermissionError():
            return f"you may not ask the daemon ({path}: {error.strerror}): do it as its user or with sudo"
        case TimeoutError():
            return f"the daemon did not answer within {within:g} s; its log says what it is doing"
        case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
            return (
                f"no daemon is running here (nobody listens at {path}): start it, for example with "
                "`systemctl start interhuman2mqtt`; one with another folder of state is found by STATE_DIRECTORY"
            )
    return f"the daemon cannot be asked: {path}: {error.strerror or error}"
