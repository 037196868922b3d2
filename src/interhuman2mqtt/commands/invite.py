"""The command `invite`: links to a camera for who has no login, with their QR codes."""

import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import segno

from interhuman2mqtt import exit_codes
from interhuman2mqtt.config import Config, Web, units, urls
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError, did_you_mean
from interhuman2mqtt.config.value_types import check_name
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.web.history import STATE
from interhuman2mqtt.web.invites import Invite, Invites, Kind, invite_json

PAGE_CONFIG = Path("/etc/interhuman2mqtt-web/web.toml")
"""What the unit of the page reads."""
BROWSER_S = 8 * 3600.0
"""How long a browser may be a camera, unless `--for` says otherwise; a room's link holds until it is revoked."""
PATHS = {Kind.ROOM: "room", Kind.BROWSER: "browser"}
DRAWN = (".svg", ".png", ".pdf")
"""What a QR code is written as."""
ANY = ("0.0.0.0", "::")  # noqa: S104 - addresses that cannot stand in a link


class Options(NamedTuple):
    """The options of the command line."""

    camera: str | None
    lasts: str | None
    room: bool
    url: str | None
    qr: Path | None
    lists: bool
    revoke: str | None
    config: Sequence[Path]
    as_json: bool


class NotInvited(Exception):  # noqa: N818 - it names what happened
    """The command line makes no sense, or the page cannot be reached; the text says why."""


class Place(NamedTuple):
    """A camera of a box."""

    box: str
    camera: str


def main(options: Options, out: TextIO, err: TextIO) -> int:
    """Make, list or revoke invitations; return the exit status. Raises ConfigError."""
    folder = state_dir.find(system=STATE)
    invites = Invites(folder)
    try:
        if options.revoke is not None:
            return _revoke(invites, options.revoke, out, err)
        if options.lists:
            return _list(invites, out, as_json=options.as_json)
        return _invite(invites, options, out)
    except NotInvited as error:
        print(error, file=err)
        return exit_codes.UNAVAILABLE
    except OSError as error:
        print(_unwritable(folder, error), file=err)
        return exit_codes.UNAVAILABLE


def _unwritable(folder: Path, error: OSError) -> str:
    sentence = f"{error.filename or folder}: {error.strerror}: the page keeps its invitations in {folder}"
    if isinstance(error, PermissionError):
        return f"{sentence}, which only its own user and root may use: sudo interhuman2mqtt invite ..."
    return sentence


def _revoke(invites: Invites, name: str, out: TextIO, err: TextIO) -> int:
    if count := invites.revoke(name):
        print(f"revoked: {count}", file=out)
        return 0
    print(f"there is no invitation {name}: interhuman2mqtt invite --list", file=err)
    return exit_codes.UNAVAILABLE


def _list(invites: Invites, out: TextIO, *, as_json: bool) -> int:
    found = invites.all()
    if as_json:
        print(json.dumps([invite_json(named) for named in found]), file=out)
        return 0
    for name, invite in ((named.id, named.invite) for named in found):
        print(f"{name}  {invite.kind.value:<8}{invite.box}/{invite.camera}  {_until(invite.expires_at)}", file=out)
    if not found:
        print("there is none", file=out)
    return 0


def _invite(invites: Invites, options: Options, out: TextIO) -> int:
    if options.camera is None:
        raise NotInvited("name a camera: interhuman2mqtt invite CAMERA, or with --room")
    if options.qr is not None and options.qr.suffix not in DRAWN:
        raise NotInvited(f"--qr {options.qr}: its name has to end in one of {', '.join(DRAWN)}")
    if options.qr is not None and not os.access(options.qr.parent, os.W_OK):  # before there is a link
        raise NotInvited(f"--qr {options.qr}: {options.qr.parent} is no folder that can be written to")
    kind = Kind.ROOM if options.room else Kind.BROWSER
    page, here = _configs(options.config)
    place = _place(options.camera, here or page)
    if kind is Kind.BROWSER:
        _check_browser(place, here)
    elif page.web.password is None:
        raise ConfigError("a room's page can pause its camera: set [web] password, or nobody could resume it")
    now = time.time()
    invite = Invite(
        kind=kind,
        box=place.box,
        camera=place.camera,
        created_at=now,
        expires_at=_expiry(options.lasts, now, kind),
    )
    base = options.url or base_url(page.web)
    link = f"{base.rstrip('/')}/{PATHS[kind]}#{invites.add(invite)}"
    _print(invite, link, options, out)
    return 0


def _configs(files: Sequence[Path]) -> tuple[Config, Config | None]:
    """Return the page's configuration, and the daemon's where there is one; one file may be both."""
    if files or not PAGE_CONFIG.exists():
        both = configfile.load(configfile.find(files))
        return both, both
    page = configfile.load([PAGE_CONFIG])
    try:
        return page, configfile.load(configfile.find(()))
    except ConfigError:
        return page, None  # a page for the boxes of a broker need not stand on one of them


def _place(named: str, config: Config) -> Place:
    box, slash, camera = named.rpartition("/")
    place = Place(box if slash else config.box.id, camera)
    try:
        for name in place:
            check_name(name)
    except BadValueError as error:
        raise NotInvited(f"CAMERA, or BOX/CAMERA: {error}") from error
    if place.box == config.box.id and config.cameras and place.camera not in config.cameras:
        meant = did_you_mean(place.camera, config.cameras) or f"; its cameras: {', '.join(config.cameras)}"
        raise NotInvited(f"{place.box} has no camera {place.camera}{meant}")
    return place


def _check_browser(place: Place, here: Config | None) -> None:
    """Raise NotInvited where no browser can be this camera: its box reads it by a socket of the machine of the page."""
    if here is None:
        return
    if place.box != here.box.id:
        raise NotInvited(
            f"a browser is a camera of the box on which its page runs, and this is {here.box.id}: "
            f"invite it on {place.box}"
        )
    camera = here.cameras.get(place.camera)
    if camera is not None and not urls.is_browser(camera.source):
        raise NotInvited(
            f'{place.camera} is no browser: write source = "browser:" in [cameras.{place.camera}], '
            "or ask for a room's page by --room"
        )


def _expiry(lasts: str | None, now: float, kind: Kind) -> float | None:
    if lasts is None:
        return now + BROWSER_S if kind is Kind.BROWSER else None
    try:
        return now + units.parse_duration(lasts)
    except BadValueError as error:
        raise NotInvited(f"--for {error}") from error


def base_url(web: Web) -> str:
    """Return the address of the page for somebody elsewhere; raises ConfigError where the configuration has none."""
    host, port = urls.listen_address(web.listen)
    host = web.hosts[0] if web.hosts else host
    if host in ANY or (web.behind_proxy and not web.hosts):
        raise ConfigError('the page\'s name is not known: set [web] hosts = ["rooms.example"], or give --url')
    if web.behind_proxy:
        return f"https://{host}/"
    scheme = "https" if web.certificate is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def reach(link: str, kind: Kind) -> str | None:
    """Return what keeps a link from being of use elsewhere; None where nothing of it does."""
    if urls.is_loopback(link):
        return "it works on this machine alone, or by ssh -L; for others set [web] listen and hosts, or give --url"
    if kind is Kind.BROWSER and link.startswith("http:"):
        return (
            "no browser gives its camera to a page without https: set [web] certificate and private_key, or give --url"
        )
    return None


def _until(expires_at: float | None) -> str:
    if expires_at is None:
        return "until it is revoked"
    until = datetime.fromtimestamp(expires_at, UTC).astimezone()
    return f"until {until:%Y-%m-%d %H:%M}{' (over)' if expires_at <= time.time() else ''}"


def _print(invite: Invite, link: str, options: Options, out: TextIO) -> None:
    code = segno.make(link, micro=False)
    if options.qr is not None:
        code.save(str(options.qr), scale=8)
    if options.as_json:
        print(json.dumps({"link": link, "expires_at": invite.expires_at}), file=out)
        return
    does = {Kind.ROOM: "shows whether it is on, and pauses it", Kind.BROWSER: "makes a browser this camera"}
    print(f"{invite.box}/{invite.camera}: this link {does[invite.kind]}, {_until(invite.expires_at)}", file=out)
    print(link, file=out)
    if out.isatty():
        code.terminal(out=out, compact=True)
    if warning := reach(link, invite.kind):
        print(warning, file=out)
    print("whoever has it can use it; take it back: interhuman2mqtt invite --list, --revoke ID", file=out)
