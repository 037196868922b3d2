"""Links for who has no login: how they are kept, when they hold, and what a room's page may do by one."""

import json
import os
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import trio
from starlette.requests import Request

from interhuman2mqtt.commands import invite as command
from interhuman2mqtt.commands.watch_model import BRIDGE, Camera, Fleet, Place
from interhuman2mqtt.config import Web
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.web.fleet import camera_json
from interhuman2mqtt.web.http import RequestError
from interhuman2mqtt.web.invites import Invite, Invites, Kind, Named
from interhuman2mqtt.web.links import HEADER, Links
from interhuman2mqtt.web.recent import RecentHours
from interhuman2mqtt.web.room import room_json
from interhuman2mqtt.web.rows import CameraKey
from support.mosquitto import subscribed
from support.processes import PATIENCE_S, in_background
from web.helpers import BOX, CAMERA, PASSWORD, Site, site


def room(expires_at: float | None = None, camera: str = CAMERA) -> Invite:
    return Invite(kind=Kind.ROOM, box=BOX, camera=camera, created_at=1.0, expires_at=expires_at)


def request(token: str) -> Request:
    return Request({"type": "http", "headers": [(HEADER.encode(), token.encode())]})


async def status(links: Links, token: str, kind: Kind = Kind.ROOM) -> int:
    """What a request with this link is answered with."""
    try:
        await links.invitation(request(token), kind)
    except RequestError as error:
        return error.status
    return 200


KEY = {"api_key": {"env": "INTERHUMAN_API_KEY"}}


# How they are kept.


def test_only_a_hash_is_kept(tmp_path: Path) -> None:
    """Neither a name nor a content of the folder holds the token, and nobody else may read either."""
    invites = Invites(tmp_path)
    token = invites.add(room())
    [file] = invites.folder.iterdir()
    assert token not in file.name + file.read_text()
    assert (file.stat().st_mode & 0o777, invites.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert invites.find(token, 5.0) == Named(file.name[:8], room())


@pytest.mark.parametrize("token", ["", "x" * 32, "../../../../etc/passwd", "x" * 100_000, "\0" * 32])
def test_what_is_no_link_is_none(tmp_path: Path, token: str) -> None:
    """Nothing but a whole token of an invitation finds one."""
    invites = Invites(tmp_path)
    good = invites.add(room())
    assert invites.find(token, 5.0) is None
    assert invites.find(good[:-1], 5.0) is None
    assert invites.find(good, 5.0) is not None


def test_a_link_holds_until_it_expires_or_is_revoked(tmp_path: Path) -> None:
    """Not a second longer; one that is revoked leaves the others alone."""
    invites = Invites(tmp_path)
    short, kept = invites.add(room(expires_at=10.0)), invites.add(room())
    assert invites.find(short, 9.9)
    assert invites.find(short, 10.0) is None
    invites.prune(10.0)
    [named] = invites.all()
    assert [invites.revoke(name) for name in ("nothing", "", named.id[:1], named.id[:-1], "*")] == [0] * 5
    assert invites.find(kept, 1e9)
    assert invites.revoke(named.id) == 1
    assert invites.find(kept, 20.0) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2, "kind": "room"}', b"\xff"])
def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path, content: bytes) -> None:
    """What is damaged, or of a later version, holds for nobody, and costs no other link."""
    invites = Invites(tmp_path)
    damaged, good = invites.add(room()), invites.add(room(camera="back"))
    found = invites.find(damaged, 5.0)
    assert found
    [file] = invites.folder.glob(f"{found.id}*")
    file.write_bytes(content)
    assert invites.find(damaged, 5.0) is None
    assert [named.invite.camera for named in invites.all()] == ["back"]
    assert invites.find(good, 5.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_the_page_can_read(tmp_path: Path) -> None:
    """An invitation that root makes belongs to whom the page's state belongs to."""
    os.chown(tmp_path, 12345, 12346)
    invites = Invites(tmp_path)
    invites.add(room())
    for made in (invites.folder, *invites.folder.iterdir()):
        assert (made.stat().st_uid, made.stat().st_gid) == (12345, 12346)


# Who guesses.


async def test_who_guesses_keeps_no_link_out(tmp_path: Path) -> None:
    """However many wrong links come, a good one is let in, also one that was never seen."""
    invites = Invites(tmp_path)
    links = Links(invites, lambda: 5.0)
    fresh = invites.add(room())
    assert [await status(links, f"{number:032}") for number in range(30)] == [404] * 30
    assert await status(links, fresh) == 200
    invites.revoke("all")
    assert await status(links, fresh) == 404


async def test_a_link_does_one_thing(tmp_path: Path) -> None:
    """The link of a room makes no browser a camera, nor the other way round."""
    invites = Invites(tmp_path)
    links = Links(invites, lambda: 5.0)
    token = invites.add(room())
    assert await status(links, token, Kind.BROWSER) == 404
    assert await status(links, token) == 200


# A room's page.


@pytest.mark.parametrize(
    ("card", "is_connected", "shown"),
    [
        ({"state": "streaming"}, True, ("on", False)),
        ({"state": "streaming"}, False, ("unknown", False)),
        ({"state": "paused", "reason": "paused"}, True, ("off", True)),
        ({"state": "waiting", "reason": "out_of_schedule"}, True, ("off", False)),
        ({"state": "stopped", "reason": "stopped"}, True, ("off", False)),
        ({"state": "offline", "reason": "unreachable"}, True, ("trouble", False)),
        ({"state": "waiting", "reason": "max_sessions"}, True, ("trouble", False)),
        ({"state": "offline", "reason": "box_offline"}, True, ("unknown", False)),
        ({"state": "unknown", "reason": None}, True, ("unknown", False)),
        ({}, True, ("unknown", False)),
    ],
)
def test_off_is_only_what_somebody_wants_so(
    card: dict[str, Any],
    is_connected: bool,  # noqa: FBT001 - a case
    shown: tuple[str, bool],
) -> None:
    """A camera that is away for now, or of which nothing is known, is never shown as off."""
    page = room_json(Named("1", room()), card, is_connected=is_connected)
    assert (page["is"], page["paused"]) == shown


@pytest.mark.parametrize(("model", "audio_only"), [("inter-2", False), ("inter-2-audio", True), (None, False)])
def test_a_microphone_is_called_one(model: str | None, audio_only: bool) -> None:  # noqa: FBT001 - a case
    """What a box publishes of a camera's model decides whether its pages speak of a microphone."""
    fleet, key = Fleet(), CameraKey(BOX, CAMERA)
    config = {"cameras": {CAMERA: {"model": model} if model else {}}}
    fleet.apply(Place(BOX, BRIDGE, "info"), json.dumps({"version": "1", "config": config}).encode())
    fleet.boxes[BOX].cameras[CAMERA] = Camera()
    card = camera_json(fleet, key, RecentHours(), 0.0)
    assert room_json(Named("1", room()), card, is_connected=True)["audio_only"] == audio_only


async def test_a_room_is_seen_and_paused_without_a_login(tmp_path: Path) -> None:
    """Who has the link sees that camera's state, and pauses it, by a request that names the room; no more than that."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        invites = Invites(tmp_path / "state")
        link = {HEADER: invites.add(room())}
        [named] = invites.all()
        await page.status()
        await page.say(f"{BOX}/{CAMERA}/state/engagement", {"state": "engaged"}, retain=True)
        await page.fleet(lambda fleet: fleet["cameras"] and fleet["cameras"][0]["engagement"])
        seen = (await page.client.get("/api/room", headers=link)).json()
        assert (seen["is"], seen["camera"], seen["details"]) == ("on", CAMERA, None)

        async def answer() -> None:
            message = await asked.wait_topic("bridge/request/pause")
            sent = json.loads(message.payload)
            assert (sent["camera"], sent["transaction"].rpartition("-")[0]) == (CAMERA, f"room-{named.id}")
            await page.say(f"{BOX}/bridge/response/pause", {"status": "ok", "transaction": sent["transaction"]})

        async with in_background(answer):
            assert (await page.post("/api/room/pause", {}, **link)).json()["status"] == "ok"
        await page.status("paused", reason="paused")
        await page.fleet(lambda fleet: fleet["cameras"][0]["state"] == "paused")
        seen = (await page.client.get("/api/room", headers=link)).json()
        assert (seen["is"], seen["paused"]) == ("off", True)
        await _no_more(page, link)
        invites.revoke("all")
        assert (await page.client.get("/api/room", headers=link)).status_code == 404
        assert (await page.post("/api/room/pause", {}, **link)).status_code == 404


async def _no_more(page: Site, link: dict[str, str]) -> None:
    asks = {"box": BOX, "camera": CAMERA}
    assert (await page.post("/api/resume", asks, **link)).status_code == 401
    assert (await page.client.get("/api/room")).status_code == 404
    assert (await page.post("/api/room/pause", {}, origin="http://evil.example", **link)).status_code == 403
    assert (await page.client.post("/api/room/pause", json={}, headers=link)).status_code == 403


async def test_details_of_people_only_where_they_are_wanted(tmp_path: Path) -> None:
    """With `room_details` the room's page has engagement, signals and score."""
    async with site(tmp_path, room_details=True) as page:
        link = {HEADER: Invites(tmp_path / "state").add(room())}
        await page.status()
        await page.say(f"{BOX}/{CAMERA}/state/engagement", {"state": "engaged"}, retain=True)
        await page.fleet(lambda fleet: fleet["cameras"] and fleet["cameras"][0]["engagement"])
        seen = (await page.client.get("/api/room", headers=link)).json()
        assert seen["details"] == {"engagement": "engaged", "signals": [], "score": None}


# The command.


@pytest.fixture
def page_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box with a camera, and its page with a password."""
    (tmp_path / "web.pw").write_text(PASSWORD)
    file = tmp_path / "box.toml"
    web = {"listen": "0.0.0.0:8443", "hosts": ["rooms.example"], "password": {"file": str(tmp_path / "web.pw")}}
    certificate = {"certificate": "/etc/web.pem", "private_key": "/etc/web.key"}
    box = {"id": BOX}
    cameras = {"front": {"source": "rtsp://10.0.0.5/1"}, "table": {"source": "browser:"}}
    file.write_text(tomli_w.dumps({"box": box, "interhuman": KEY, "web": web | certificate, "cameras": cameras}))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return file


def run(file: Path | None, camera: str | None = None, **options: Any) -> tuple[int, str, str]:
    """The command's exit status, and what it prints."""
    out, err = StringIO(), StringIO()
    given: dict[str, Any] = dict.fromkeys(command.Options._fields) | {"config": [file] if file else []} | options
    return command.main(command.Options(**given | {"camera": camera}), out, err), out.getvalue(), err.getvalue()


def test_invite_prints_a_link_that_holds(page_config: Path) -> None:
    """The link leads to the page by its name, and is known to it; --list shows no token, --revoke ends it."""
    done, out, _ = run(page_config, "front", room=True)
    found = re.search(r"^https://rooms\.example:8443/room#(\S+)$", out, re.MULTILINE)
    assert found
    invites = Invites(page_config.parent / "state")
    named = invites.find(found[1], 2e9)
    assert done == 0
    assert named
    assert (named.invite.box, named.invite.camera) == (BOX, "front")
    _, listed, _ = run(None, lists=True)
    assert named.id in listed
    assert found[1] not in listed
    assert run(None, revoke=named.id)[0] == 0
    assert invites.find(found[1], 2e9) is None
    assert run(None, revoke=named.id)[0] == 69


def test_invite_for_a_time_in_json_and_on_paper(page_config: Path) -> None:
    """--for ends it, --json is for scripts, --qr writes what can be printed, --url is somebody else's name for it."""
    qr = page_config.parent / "room.svg"
    done, out, _ = run(
        page_config, f"{BOX}/front", room=True, lasts="2h", as_json=True, qr=qr, url="https://x.example/"
    )
    made = json.loads(out)
    [named] = Invites(page_config.parent / "state").all()
    assert done == 0
    assert made["link"].startswith("https://x.example/room#")
    assert made["expires_at"] == named.invite.expires_at == named.invite.created_at + 7200
    assert b"<svg" in qr.read_bytes()


def test_invite_makes_no_link_that_it_cannot_draw(page_config: Path) -> None:
    """Where --qr cannot be written, no link is left that nobody has seen."""
    done, out, err = run(page_config, "front", room=True, qr=page_config.parent / "nowhere" / "room.svg")
    assert (done, out) == (69, "")
    assert "nowhere is no folder that can be written to" in err
    assert not Invites(page_config.parent / "state").all()


@pytest.mark.parametrize(
    ("url", "room", "sentence"),
    [
        ("https://rooms.example/", False, None),
        ("http://rooms.example/", False, "no browser gives its camera to a page without https"),
        ("http://rooms.example/", True, None),
        ("http://localhost:8443/", False, "works on this machine alone"),
    ],
)
def test_invite_says_what_a_link_cannot_do(page_config: Path, url: str, *, room: bool, sentence: str | None) -> None:
    """For a browser it expires after eight hours; where it leads to no camera, or only here, that is said at once."""
    done, out, _ = run(page_config, "table", room=room, url=url)
    [named] = Invites(page_config.parent / "state").all()
    assert (done, named.invite.kind) == (0, Kind.ROOM if room else Kind.BROWSER)
    assert f"{url}{'room' if room else 'browser'}#" in out
    assert named.invite.expires_at == (None if room else named.invite.created_at + 8 * 3600)
    assert len(out.splitlines()) == (3 if sentence is None else 4)
    assert (sentence or "") in out


@pytest.mark.parametrize(
    ("camera", "options", "sentence"),
    [
        (None, {"room": True}, "name a camera"),
        ("frnt", {"room": True}, 'has no camera frnt; did you mean "front"?'),
        ("No/such/name", {"room": True}, "CAMERA, or BOX/CAMERA"),
        ("front", {}, 'front is no browser: write source = "browser:"'),
        ("hall-2/front", {}, "invite it on hall-2"),
        ("front", {"room": True, "lasts": "soon"}, "--for must be a duration"),
        ("front", {"room": True, "qr": Path("/nowhere.txt")}, "has to end in one of .svg, .png, .pdf"),
    ],
)
def test_invite_says_what_is_wrong(
    page_config: Path, camera: str | None, options: dict[str, Any], sentence: str
) -> None:
    """What cannot be is said in a sentence, with 69."""
    done, _, err = run(page_config, camera, **options)
    assert done == 69
    assert sentence in err


def test_invite_says_that_it_cannot_write(page_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the page's state cannot be written, the folder is named."""
    monkeypatch.setenv("STATE_DIRECTORY", str(page_config))
    done, _, err = run(page_config, "front", room=True)
    assert done == 69
    assert str(page_config) in err


def test_a_room_needs_a_password(page_config: Path) -> None:
    """Where nobody could resume, nobody is invited to pause."""
    page_config.write_text(
        tomli_w.dumps({"box": {"id": BOX}, "interhuman": KEY, "cameras": {"a": {"source": "test:"}}})
    )
    with pytest.raises(ConfigError, match="set \\[web\\] password"):
        run(page_config, "a", room=True)


@pytest.mark.parametrize(
    ("web", "url"),
    [
        (Web(), "http://127.0.0.1:8443/"),
        (Web(listen="[::1]:80"), "http://[::1]:80/"),
        (Web(listen="0.0.0.0:8443", hosts=("a.example",), behind_proxy=True), "https://a.example/"),
        (Web(listen="10.0.0.2:8443", certificate="/x", private_key="/y"), "https://10.0.0.2:8443/"),
        (Web(listen="0.0.0.0:8443"), None),
        (Web(behind_proxy=True), None),
    ],
)
def test_the_address_in_a_link(web: Web, url: str | None) -> None:
    """It is a name that somebody else can open, or an error says what to set."""
    if url is not None:
        assert command.base_url(web) == url
        return
    with pytest.raises(ConfigError, match="set \\[web\\] hosts"):
        command.base_url(web)


async def test_the_pages_are_there(tmp_path: Path) -> None:
    """A link opens a page without anything of other hosts, also before anybody has logged in."""
    async with site(tmp_path) as page:
        with trio.fail_after(PATIENCE_S):
            answers = [await page.client.get(path) for path in ("/room", "/browser")]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert not any("http" in answer.text.replace("http-equiv", "") for answer in answers)
        assert "camera=()" in answers[0].headers["permissions-policy"]
        assert "camera=(self)" in answers[1].headers["permissions-policy"]
