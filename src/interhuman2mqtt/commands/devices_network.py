"""The command `devices` for the network: `--network` lists its cameras, `--host` asks one of them for its streams."""

import getpass
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import msgspec
import tomli_w
import trio
from msgspec import Struct

from interhuman2mqtt import config, exit_codes
from interhuman2mqtt.capture.v4l2_mode import DEFAULT_SIZE
from interhuman2mqtt.commands.doctor_report import remedy
from interhuman2mqtt.commands.onvif import Login, OnvifCamera, Stream
from interhuman2mqtt.commands.onvif_discovery import NetworkCamera, find_cameras
from interhuman2mqtt.config import secrets, urls
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.runtime.redaction import redact, register_secret
from interhuman2mqtt.runtime.sanitize import clean_lines

KEPT = Path("/etc/interhuman2mqtt")
"""Where a password that was typed may be put."""
NOTHING = """no ONVIF camera answered. What to look at:
  is ONVIF, and its discovery, on in the camera's settings? Many have it off, or want a user of its own for it
  is the camera in the same network? Discovery does not pass routers, nor most guest networks and VLANs
  interhuman2mqtt devices --host HOST --username NAME    asks a camera whose address you know"""


class Options(Struct, frozen=True, kw_only=True):
    """The options of the command line."""

    host: str | None
    """None: who is there is asked, and nobody any further."""
    seconds: float
    username: str | None
    password_file: str | None
    as_toml: bool
    as_json: bool


class Unusable(Exception):  # noqa: N818 - it names what happened
    """The command line makes no sense; the text says why."""


def network_command(options: Options, out: TextIO, err: TextIO) -> int:
    """List the cameras of the network, or the streams of one; 0, or 69 where that one cannot be asked."""
    if options.host is None:
        _print_found(trio.run(find_cameras, options.seconds), options, out)
        return 0
    try:
        camera = OnvifCamera(options.host, _login(options, err))
        name, streams = camera.streams()
    except (Unusable, ValueError) as error:
        print(error, file=err)
        return exit_codes.USAGE
    except Outage as outage:
        print(clean_lines(f"{outage.reason.value}: {redact(outage.detail)}\nremedy: {remedy(outage)}"), file=err)
        return exit_codes.UNAVAILABLE
    if options.as_json:
        print(json.dumps({"name": name, "streams": msgspec.to_builtins(streams)}), file=out)
    elif options.as_toml:
        print(toml(name, camera.host, streams, options), file=out)
    else:
        print(clean_lines("\n".join(_lines(name, streams))), file=out)
    return 0


def _login(options: Options, err: TextIO) -> Login | None:
    if options.username is None:
        if options.password_file is not None:
            raise Unusable("--password-file needs --username")
        return None
    if options.password_file is not None:
        found = secrets.read(config.SecretRef(file=options.password_file), what=f"the password of {options.username}")
        return Login(options.username, found.reveal())
    if not err.isatty():
        raise Unusable(f"the password of {options.username} is missing: give --password-file")
    password = getpass.getpass(f"password of {options.username}: ", err)
    register_secret(password)
    return Login(options.username, password)


def _print_found(found: list[NetworkCamera], options: Options, out: TextIO) -> None:
    if options.as_json:
        print(json.dumps({"cameras": msgspec.to_builtins(found)}), file=out)
        return
    lines = [line for camera in found for line in _found(camera)] or NOTHING.split("\n")
    print(clean_lines("\n".join(f"# {line}" if options.as_toml else line for line in lines)), file=out)


def _found(camera: NetworkCamera) -> Iterator[str]:
    yield f"{camera.name or 'a camera'} ({camera.hardware or 'unknown make'}) at {camera.host}"
    yield f"  interhuman2mqtt devices --host {camera.host} --username NAME"


def _lines(name: str, streams: Iterable[Stream]) -> Iterator[str]:
    yield name
    for stream in streams:
        yield f"  {_stream_line(stream)}"
        yield f"    {_usable(stream) or 'its address holds a password, or is none: it cannot be used'}"


def _stream_line(stream: Stream) -> str:
    gop = f", a key frame every {stream.gop_s:g} s" if stream.gop_s else ""
    sound = f", {stream.audio}" if stream.audio else ", no audio"
    video = f"{stream.codec} {stream.width}x{stream.height} {stream.fps:g} fps" if stream.codec else "no video"
    return f"{stream.name}: {video}{gop}{sound}"


def _usable(stream: Stream) -> str | None:
    """Return its address as `source` takes it, without the user and password that a camera may put there."""
    address = re.sub(r"^(rtsps?://)[^/@]*@", r"\1", stream.address)
    try:
        return urls.check_source(address) if urls.is_network(address) else None
    except BadValueError:
        return None


def toml(name: str, host: str, streams: Iterable[Stream], options: Options) -> str:
    """Return a table that stands in the configuration as it is: the best stream, and the others as comments."""
    usable = {address: stream for stream in streams if stream.codec and (address := _usable(stream))}
    if not usable:
        return f"# {name} at {host} has no stream with video whose address can be used"
    best = min(usable, key=lambda address: _cost(usable[address]))
    key = re.sub(r"[^a-z0-9]+", "-", f"{name} {host}".lower()).strip("-")[-32:].strip("-")
    table: dict[str, object] = {"name": name, "source": best}
    if options.username is not None:
        file = Path(options.password_file).absolute() if options.password_file else KEPT / f"{key}.password"
        table |= {"username": options.username, "password": {"file": str(file)}}
    others = [f'# {_stream_line(each)}\n# source = "{address}"' for address, each in usable.items() if address != best]
    text = tomli_w.dumps({"cameras": {key: table}}).strip()
    typed = options.username is not None and options.password_file is None
    kept = ["# put the password into that file, for the service alone to read"] if typed else []
    return "\n".join([f"# {_stream_line(usable[best])}", text, *kept, *others])


def _cost(stream: Stream) -> tuple[bool, bool, int]:
    """Return a key that is least for the best: H.264, which is copied; not smaller than need be; and no larger."""
    wanted, pixels = DEFAULT_SIZE[0] * DEFAULT_SIZE[1], stream.width * stream.height
    return "264" not in stream.codec, pixels < wanted // 4, abs(pixels - wanted)
