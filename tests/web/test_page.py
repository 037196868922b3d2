"""The page as a whole: a real broker, the real process, and requests as a browser sends them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from support.disks import tiny_disk
from support.mosquitto import subscribed
from support.processes import in_background, running
from web.helpers import BOX, CAMERA, PASSWORD, Json, ago, served, site

CAMERA_PATH = f"/api/camera/{BOX}/{CAMERA}"


def only(fleet: Json) -> Json:
    [camera] = fleet["cameras"]
    return dict(camera)


def kinds(lanes: Json) -> list[str]:
    return [part[2] for part in lanes["analysed"]]


async def test_what_boxes_publish_is_shown(tmp_path: Path) -> None:
    """State, engagement, signals and scores of a camera are in the fleet, on its timeline, and come as changes."""
    async with site(tmp_path) as page:
        await page.status()
        loaded = (await page.fleet(lambda fleet: fleet["cameras"]))["number"]
        await page.event("engagement.updated", {"state": "engaged"})
        await page.event("signal.detected", {"signal_type": "stress", "probability": "high", "rationale": "frowns"})
        scores = {"quality_index": 61, "clarity": 60}
        await page.event("conversation_quality.updated", {"overall": scores}, end_at=ago(0))
        await page.say(f"{BOX}/{CAMERA}/state/engagement", {"state": "engaged"}, retain=True)
        await page.say(f"{BOX}/{CAMERA}/state/signals", {"at": ago(0), "signals": {"stress": {}}}, retain=True)
        address = f"{page.client.base_url}api/events?after={loaded}"
        async with running(["curl", "--silent", "--no-buffer", address]) as browser:
            await browser.wait_line(lambda line: '"engagement":"engaged"' in line)
            assert any(line.startswith("id: ") for line in browser.lines)
        camera = only(await page.fleet(lambda fleet: only(fleet)["signals"]))
        assert (camera["state"], camera["engagement"], camera["signals"]) == ("streaming", "engaged", ["stress"])
        assert not camera["needs_somebody"]
        lanes = await page.wait(CAMERA_PATH, lambda lanes: lanes["signals"] and lanes["quality"])
        [[start, end, probability, rationale, is_late]] = lanes["signals"]["stress"]
        assert (end, probability, rationale, is_late) == (None, "high", None, False)  # [web] rationale is false
        assert lanes["from"] < start < lanes["to"]
        assert lanes["quality"][-1][1:3] == [61.0, 60.0]
        assert [part[2] for part in lanes["engagement"]][-1] == "engaged"


async def test_a_gap_is_not_calm(tmp_path: Path) -> None:
    """While a camera is away its time is a gap with the reason, and somebody is needed; afterwards it stays one.

    What of it is analysed after all is drawn as filled, and never as what is true now.
    """
    async with site(tmp_path) as page:
        await page.status("offline", reason="unreachable", detail="no answer", gap={"start_at": ago(30)})
        camera = only(await page.fleet(lambda fleet: fleet["cameras"] and only(fleet)["ribbon"][-1][2] == "gap"))
        assert camera["needs_somebody"]
        assert camera["ribbon"][-1][3] == "unreachable"
        await page.event("coverage.gap", {"reason": "unreachable"}, seconds_ago=30, end_at=ago(0))
        await page.status()
        lanes = await page.wait(
            CAMERA_PATH, lambda lanes: [part[2] for part in lanes["analysed"]][-2:] == ["gap", "analysed"]
        )
        assert lanes["analysed"][-2][3] == "unreachable"
        began = ago(25)
        await page.late("coverage.filled", {"gap": "x"}, began, ago(10))
        await page.late("signal.detected", {"signal_type": "stress", "probability": "high"}, began)
        await page.late("signal.ended", {"signal_type": "stress"}, began, ago(20))
        lanes = await page.wait(CAMERA_PATH, lambda lanes: lanes["signals"])
        assert [part[2] for part in lanes["analysed"]][-4:] == ["gap", "filled", "gap", "analysed"]
        [[_, end, _, _, is_late]] = lanes["signals"]["stress"]
        assert (end is not None, is_late, lanes["now"]["signals"]) == (True, True, [])


async def test_what_was_missed_is_not_known(tmp_path: Path) -> None:
    """A broker that was away, and an event that it dropped in silence, are stretches of which nothing is known."""
    async with site(tmp_path) as page:
        await page.status()
        await page.event("engagement.updated", {"state": "engaged"})
        await page.wait(CAMERA_PATH, lambda lanes: lanes["engagement"][-1][2] == "engaged")
        await trio.sleep(1.5)
        page.lose_event()
        await page.event("engagement.updated", {"state": "neutral"})
        lanes = await page.wait(CAMERA_PATH, lambda lanes: len(lanes["analysed"]) >= 3)
        assert kinds(lanes)[:3] == ["not_known", "analysed", "not_known"]
        await page.broker.kill()
        await page.fleet(lambda fleet: fleet["broker"]["state"] == "not connected")
        await page.broker.restart()
        await page.fleet(lambda fleet: fleet["broker"]["state"] == "connected")


async def test_one_page_for_a_history(tmp_path: Path) -> None:
    """A second page with the same history says so and ends: two would fight for the session at the broker."""
    async with site(tmp_path) as page:
        second = await trio.run_process(
            page.process.command,
            env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert second.returncode == 75
        assert b"another page keeps its history in" in second.stderr
        assert (await page.client.get("/api/fleet")).status_code == 200


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """What was seen is in the history of the next process, and the time in between is not known."""
    async with site(tmp_path) as page:
        await page.status()
        await page.event("engagement.updated", {"state": "engaged"})
        await page.wait(CAMERA_PATH, lambda lanes: lanes["engagement"][-1][2] == "engaged")
    async with site(tmp_path) as page:
        lanes = await page.wait(CAMERA_PATH, lambda lanes: lanes["analysed"][-1][2] == "analysed")
        assert "engaged" in [part[2] for part in lanes["engagement"]]
        assert kinds(lanes).count("not_known") >= 1


@pytest.mark.parametrize(
    ("protocol", "ends", "lost", "is_known"),
    [
        ("5", "kill", 0, True),
        pytest.param("5", "kill", 1, False, marks=pytest.mark.full),
        pytest.param("5", "stop", 0, True, marks=pytest.mark.full),
        pytest.param("3.1.1", "stop", 0, False, marks=pytest.mark.full),
    ],
)
async def test_what_was_published_while_the_page_was_away(
    tmp_path: Path,
    protocol: str,
    ends: str,
    lost: int,
    is_known: bool,  # noqa: FBT001 - pytest's own way
) -> None:
    """A broker of MQTT 5 keeps it, also for a page that was killed, and the numbers show whether all of it came."""
    async with site(tmp_path, mqtt={"protocol": protocol}) as page:
        await page.status()
        await page.event("engagement.updated", {"state": "neutral"})
        await page.wait(CAMERA_PATH, lambda lanes: lanes["engagement"][-1][2] == "neutral")
        await (page.kill() if ends == "kill" else page.stop())
        await page.event("engagement.updated", {"state": "engaged"})
        for _ in range(lost):
            page.lose_event()
        async with served(tmp_path, page.broker, page.publisher, page.number) as after:
            await after.event("engagement.updated", {"state": "disengaged"})
            lanes = await after.wait(CAMERA_PATH, lambda lanes: lanes["engagement"][-1][2] == "disengaged")
    levels = [part[2] for part in lanes["engagement"]]
    assert (levels[-3:] == ["neutral", "engaged", "disengaged"]) == is_known
    assert kinds(lanes) == (["not_known", "analysed"] if is_known else ["not_known", "analysed"] * 2)


async def test_only_who_is_logged_in_may_act(tmp_path: Path) -> None:
    """No request changes anything without a login, its token and our own Origin; wrong passwords slow down."""
    async with site(tmp_path) as page:
        await page.status()
        await page.fleet(lambda fleet: fleet["cameras"])
        asks = {"box": BOX, "camera": CAMERA}
        assert (await page.post("/api/pause", asks)).status_code == 401
        assert (await page.post("/api/login", {"password": "wrong"})).status_code == 401
        await page.login()
        cookie = page.client.cookies
        assert cookie
        token = page.client.headers.pop("x-csrf-token")
        assert (await page.post("/api/pause", asks)).status_code == 403
        assert (await page.post("/api/pause", asks, **{"x-csrf-token": "x" + token})).status_code == 403
        foreign = await page.post("/api/pause", asks, origin="http://evil.example", **{"x-csrf-token": token})
        assert foreign.status_code == 403
        broken = await page.post("/api/pause", asks, origin="http://[", **{"x-csrf-token": token})
        assert broken.status_code == 403
        bare = await page.client.post("/api/pause", json=asks, headers={"x-csrf-token": token})
        assert bare.status_code == 403
        answers = [await page.post("/api/login", {"password": "wrong"}) for _ in range(8)]
        assert answers[-1].status_code == 429
        assert (await page.post("/api/login", {"password": PASSWORD})).status_code == 429


async def test_who_has_logged_out_sees_nothing_more(tmp_path: Path) -> None:
    """A stream of changes that was opened before ends with the login."""
    async with site(tmp_path, behind_proxy=True) as page:
        answer = await page.post("/api/login", {"password": PASSWORD})
        headers = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        token = (await page.client.get("/api/session", headers=headers)).json()["csrf"]
        async with page.client.stream("GET", "/api/events", headers=headers) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            assert (await page.post("/api/logout", {}, **headers, **{"x-csrf-token": token})).status_code == 204
            await page.status()
            with trio.fail_after(15):
                assert [line async for line in lines if line] == []


async def test_the_login_cookie_and_headers(tmp_path: Path) -> None:
    """The cookie is out of reach of scripts and other sites, and no answer lets foreign code in."""
    async with site(tmp_path) as page:
        answer = await page.post("/api/login", {"password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
        for path in ("/", "/assets/app.js", "/api/fleet", "/nothing"):
            headers = (await page.client.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
        rebound = await page.client.get("/api/fleet", headers={"host": "evil.example"})
        assert rebound.status_code == 403
        for name in ("..%2fapp.py", ".%2e", "auth.py", "a" * 300):
            assert (await page.client.get(f"/assets/{name}")).status_code == 404


async def test_a_pause_is_what_the_box_says(tmp_path: Path) -> None:
    """The request goes to the box, and the page shows the box's own answer, also where it refuses."""
    async with site(tmp_path) as page, subscribed(page.broker, "interhuman/+/bridge/request/+") as asked:
        await page.status()
        await page.fleet(lambda fleet: fleet["cameras"])
        await page.login()

        async def answer() -> None:
            request = json.loads((await asked.wait_topic("bridge/request/pause")).payload)
            reply = {"status": "ok", "data": {"paused": [CAMERA]}, "transaction": request["transaction"]}
            await page.say(f"{BOX}/bridge/response/pause", reply)
            refused = json.loads((await asked.wait_topic("bridge/request/resume")).payload)
            reply = {"status": "error", "error": "not now", "transaction": refused["transaction"]}
            await page.say(f"{BOX}/bridge/response/resume", reply)

        async with in_background(answer):
            paused = await page.post("/api/pause", {"box": BOX, "camera": CAMERA})
            assert paused.json()["data"] == {"paused": [CAMERA]}
            assert (await page.post("/api/resume", {"box": BOX, "camera": CAMERA})).json()["error"] == "not now"
        assert (await page.post("/api/pause", {"box": "nobody"})).status_code == 404


@pytest.mark.parametrize("query", ["from=x", "from=5&to=1", "from=0&to=99999999999", "to=nan"])
async def test_a_range_that_is_none(tmp_path: Path, query: str) -> None:
    """It is answered with 400 and a sentence."""
    async with site(tmp_path) as page:
        answer = await page.client.get(f"{CAMERA_PATH}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("listen = '0.0.0.0:8443'", "set password"),
        ("listen = '0.0.0.0:8443'\npassword = { file = 'web.pw' }", "set certificate and private_key"),
        ("certificate = '/x.pem'", "belong together"),
        ("behind_proxy = true", "set password"),
    ],
)
def test_it_is_safe_or_not_served(tmp_path: Path, table: str, sentence: str) -> None:
    """What others could reach without a password, or read on the way, ends with 78 and says what to set."""
    (tmp_path / "web.pw").write_text("x")
    file = tmp_path / "web.toml"
    file.write_text(f"[box]\nid = 'page'\n[web]\n{table.replace('web.pw', str(tmp_path / 'web.pw'))}\n")
    command = [sys.executable, "-m", "interhuman2mqtt", "web", "--config", str(file)]
    env = {**os.environ, "STATE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 78
    assert sentence in done.stderr


async def test_a_port_in_use(tmp_path: Path) -> None:
    """A page that cannot listen ends with 69 and a sentence, and no traceback."""
    async with site(tmp_path) as page:
        listen = str(page.client.base_url).removeprefix("http://").rstrip("/")
        command = [sys.executable, "-m", "interhuman2mqtt", "web", "--broker", page.broker.url, "--listen", listen]
        env = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "second")}
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, env=env)
        assert done.returncode == 69
        assert b"the page cannot be served" in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A page that cannot keep what it receives ends with 69 and a sentence, and systemd starts it again."""
    with tiny_disk(tmp_path / "disk", 300) as folder:
        (folder / "else").write_bytes(bytes(200 << 10))
        command = [sys.executable, "-m", "interhuman2mqtt", "web", "--broker", "mqtt://127.0.0.1:9"]
        env = {**os.environ, "STATE_DIRECTORY": str(folder)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 69
    assert "database or disk is full" in done.stderr
    assert "Traceback" not in done.stderr
