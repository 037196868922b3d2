"""The command `probe`: what a source is, what it costs, and why it cannot be used, if it cannot."""

import getpass
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
import trio
from msgspec import Struct, structs

from interhuman2mqtt import config, exit_codes
from interhuman2mqtt.cameras.capture_task import open_command
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.chunk_length import Bounds
from interhuman2mqtt.commands.doctor_report import remedy
from interhuman2mqtt.commands.measure import CHUNK, Measured, measure
from interhuman2mqtt.commands.pause import why_paused
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config import urls
from interhuman2mqtt.config.model import AUDIO_MODELS, MODELS
from interhuman2mqtt.config.problems import BadValueError, ConfigFileError, did_you_mean, shown
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime import log
from interhuman2mqtt.runtime.redaction import redact, register_secret
from interhuman2mqtt.runtime.sanitize import clean_lines

SOURCES = "rtsp://HOST/PATH, v4l2:/dev/video0, alsa:hw:1,0, file:/PATH, test:"
CREDENTIALS = "give the user name by --username, and the password by --password-file, --password-env or when asked"


class Options(Struct, frozen=True, kw_only=True):
    """The options of the command line."""

    source: str
    """Or the name of a camera of the configuration."""
    seconds: float
    username: str | None
    password_env: str | None
    password_file: str | None
    transport: str
    microphone: str | None
    audio_only: bool = False
    """As for a model that analyses audio alone; a microphone is opened for nothing else."""
    config: Sequence[Path]
    box: str | None
    as_json: bool


class Plan(NamedTuple):
    """A source to open, and what would be made of it."""

    command: ipc.Open
    bounds: Bounds
    """Of the chunks that would be sent."""


class Unusable(Exception):  # noqa: N818 - it names what happened
    """The command line makes no sense, or must not be obeyed; the text says why."""


def probe_command(options: Options, out: TextIO, err: TextIO) -> int:
    """Open a source and say what it is; 0, or 69 where it, or its microphone, cannot be used."""
    log.setup("error")
    try:
        command, bounds = _plan(options, err)
    except Unusable as error:
        print(error, file=err)
        return exit_codes.USAGE
    except Outage as outage:
        return _failed(options, outage, out, err)
    try:
        measured = trio.run(measure, command, options.seconds, _progress(options.seconds, err), bounds)
    except Outage as outage:
        return _failed(options, outage, out, err)
    finally:
        err.write("\r\x1b[K" if err.isatty() else "")
    if options.as_json:
        ok = measured.audio_missing is None
        print(json.dumps({"ok": ok, "source": command.source, **msgspec.to_builtins(measured)}), file=out)
    else:
        print(clean_lines("\n".join(lines(command.source, measured))), file=out)
    return 0 if measured.audio_missing is None else exit_codes.UNAVAILABLE


def _failed(options: Options, outage: Outage, out: TextIO, err: TextIO) -> int:
    report = {"ok": False, "reason": outage.reason.value, "detail": redact(outage.detail), "remedy": remedy(outage)}
    if options.as_json:
        print(json.dumps(report), file=out)
    else:
        print(clean_lines(f"{report['reason']}: {report['detail']}\nremedy: {report['remedy']}"), file=err)
    return exit_codes.UNAVAILABLE


def _plan(options: Options, err: TextIO) -> Plan:
    """Decide what the capture process is to open; raises Unusable, Outage, ConfigError."""
    if ":" not in options.source:
        return _configured(options)
    try:
        urls.check_source(options.source)
        if options.microphone is not None:
            urls.check_microphone(options.microphone)
    except BadValueError as error:
        instead = f"\n{CREDENTIALS}" if "credentials" in str(error) or "password" in str(error) else ""
        raise Unusable(f"SOURCE {error}{instead}") from None  # whose text may hold the password
    password = _password(options)
    command = open_command(
        config.CameraConfig(
            id="probe",
            name="probe",
            source=options.source,
            username=options.username,
            password=password,
            transport="udp" if options.transport == "udp" else "tcp",
            microphone=options.microphone,
            model=AUDIO_MODELS[0] if options.audio_only or options.source.startswith("alsa:") else MODELS[0],
        )
    )
    if options.username is not None and password is None:
        command = structs.replace(command, password=_ask(options.username, err))
    return Plan(command, CHUNK)


def _configured(options: Options) -> Plan:
    given = options.username, options.password_env, options.password_file, options.microphone, options.audio_only
    if any(given):
        raise Unusable(f"{shown(options.source)} is a camera of the configuration: what belongs to it stands there")
    try:
        loaded = configfile.load(configfile.find(options.config), options.box)
    except ConfigFileError as error:
        raise Unusable(
            f"{shown(options.source)} is no source ({SOURCES}), and cameras cannot be looked up by name:\n{error}"
        ) from error
    cameras = loaded.cameras
    camera = cameras.get(options.source)
    if camera is None:
        hint = did_you_mean(options.source, cameras) or f"; its cameras: {', '.join(cameras) or 'none'}"
        raise Unusable(f"{shown(options.source)} is neither a source ({SOURCES}) nor a camera of this box{hint}")
    if why := why_paused(camera.id):
        raise Outage(Reason.PAUSED, f"{camera.id} is not opened: {why}")
    least_s = config.STANDALONE_MIN if camera.framing is config.Framing.STANDALONE else 0.0
    return Plan(open_command(camera), Bounds(loaded.interhuman.chunk, least_s).within(camera.buffer, camera.buffer_max))


def _password(options: Options) -> config.SecretRef | None:
    if options.password_env is None and options.password_file is None:
        return None
    try:
        return config.SecretRef(env=options.password_env, file=options.password_file)
    except BadValueError:
        raise Unusable("give either --password-env or --password-file") from None


def _ask(username: str, err: TextIO) -> str:
    if not err.isatty():
        raise Unusable(f"the password of {username} is missing: {CREDENTIALS}")
    password = getpass.getpass(f"password of {username} (empty: none): ", err)
    register_secret(password)
    return password


def _progress(seconds: float, err: TextIO) -> Callable[[float], None]:
    """Print how far it is, on a terminal."""

    def print_progress(passed: float) -> None:
        if err.isatty():
            err.write(f"\r\x1b[Kmeasuring: {passed:.0f} of {seconds:g} s")
            err.flush()

    return print_progress


def lines(source: str, measured: Measured) -> list[str]:
    """Return a result as lines for people."""
    copied = "copied" if measured.video_copied else "encoded"
    sound = "none"
    if measured.audio is not None:
        sound = f"{measured.audio}, {'copied' if measured.audio_copied else 'not copied'}"
    if missing := measured.audio_missing:
        what_to_do = remedy(Outage(missing.reason, missing.detail))
        sound = f"silence, since {missing.reason.value}: {redact(missing.detail)}\n{'':12}-> {what_to_do}"
    video = [
        f"video       {measured.video}, {copied}: {measured.why}",
        f"frames      {measured.fps:g} a second",
        f"key frames  every {measured.gop:g} s, {measured.gop_longest:g} s at most",
    ]
    repairs = ", ".join(f"{rule} {count}" for rule, count in sorted(measured.repairs.items()))
    return [
        f"source      {source}",
        f"opened      in {measured.opened_in:g} s: {measured.description}",
        *(video if measured.video is not None else ["video       none: its audio alone is used"]),
        f"chunks      of {measured.chunk:g} s, {measured.chunk_longest:g} s at most",
        f"audio       {sound}",
        f"bitrate     {measured.bitrate / 1e6:.2f} Mbit/s",
        f"CPU         {measured.cpu:g} % of one core",
        f"repaired    {repairs or 'nothing'}",
    ]
