"""Secrets full of special characters show nowhere: output, topics, process list, environment, the cloud's record."""

import base64
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from integration.helpers import QUICK, Box, Peers, box, cloud, configuration
from interhuman2mqtt.runtime import redaction
from support.mosquitto import free_port, mosquitto, subscribed
from support.rtsp import MOUNTS, Login, rtsp_server

API_KEY = "ih_live_%41/+?#&=<'\"`{k}|~;:@!"
CAMERA = "c@m:r/a\\?#%20 &=[ü]\"'`"
WRONG = "wr0ng@:/\\?#%2F &=[ö]\"'`"
BROKER = "br@ker:/?#%25 &=\"'`$()ß"


def forms(secret: str) -> Iterator[str]:
    """The ways in which a secret could show: those that the redaction knows, and some that this test thinks of."""
    yield from redaction.forms(secret)
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub("%..", lambda digits: digits[0].lower(), encoded)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    for before in ("", "viewer:", "edge:", "Bearer "):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # the last group of four depends on what follows
            yield encode((before + secret).encode()).decode()[:-4]


def shown(text: str) -> list[str]:
    """The secrets that a text gives away, in whatever form."""
    return [secret for secret in (API_KEY, CAMERA, WRONG, BROKER) for form in forms(secret) if form in text]


def file(folder: Path, name: str, secret: str) -> dict[str, str]:
    """A secret in a file."""
    (folder / name).write_text(f"{secret}\n")
    return {"file": str(folder / name)}


def in_proc(pid: int, name: str) -> str:
    """What the kernel shows of a process; nothing of one that has ended meanwhile, as a refused camera's does."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def assert_processes_tell_nothing(daemon: Box) -> None:
    """Nothing on any command line; the workers inherited none of what only the daemon needs."""
    assert shown(in_proc(daemon.pid, "cmdline")) == []
    workers = daemon.workers()
    assert workers
    for pid in (daemon.pid, *workers):
        assert re.search(r"Max core file size +0 +0 ", in_proc(pid, "limits"))
    for pid in workers:
        environment = in_proc(pid, "environ")
        assert shown(in_proc(pid, "cmdline") + environment) == []
        names = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
        assert not names & {"API_KEY", "BROKER_PASSWORD", "STATE_DIRECTORY", "NOTIFY_SOCKET"}


def secrets_of_nobody(daemon: Box) -> None:
    """No process of ours shows a secret in its command line or its environment."""
    for pid in (daemon.pid, *daemon.workers()):
        assert shown(in_proc(pid, "cmdline") + in_proc(pid, "environ")) == []


async def test_refusals_tell_nothing(tmp_path: Path) -> None:
    """Whom the broker, the cloud or a camera does not let in says so, and not with what it tried; secrets in files."""
    async with (
        rtsp_server({"/cam": MOUNTS["/h264-aac"]}, login=Login("viewer", CAMERA, auth="basic")) as camera,
        mosquitto(tmp_path, users={"edge": "another"}) as broker,
        cloud(tmp_path / "cloud", *QUICK, "--key", "ih_live_another") as simulated,
    ):
        keys = {"username": "viewer"}
        cameras = {
            "good": {"source": camera.url("/cam"), **keys, "password": file(tmp_path, "right", CAMERA)},
            "wrong": {"source": camera.url("/cam"), **keys, "password": file(tmp_path, "wrong", WRONG)},
        }
        config = configuration(
            simulated.url(),
            broker.url,
            cameras,
            interhuman={"api_key": file(tmp_path, "key", API_KEY)},
            mqtt={"username": "edge", "password": file(tmp_path, "broker", BROKER)},
        )
        async with box(tmp_path, config) as daemon:
            await daemon.wait_log("camera", camera="good", reason="unauthorized")
            await daemon.wait_log("camera", camera="wrong", reason="camera_password")
            await daemon.wait_log("broker", state="refused")
            secrets_of_nobody(daemon)
            daemon.send(signal.SIGHUP)
            await daemon.wait_log("configuration reloaded")
            assert await daemon.stop() == 0
            output = daemon.output
        assert shown("\n".join(output)) == []
        assert shown("\n".join(simulated.output)) == []


async def test_no_secret_shows(tmp_path: Path) -> None:
    """In a whole run at debug level, with things going well and wrong, no secret shows in any form."""
    login = Login("viewer", CAMERA, "basic")
    async with (
        rtsp_server({"/cam": MOUNTS["/h264-aac"]}, login=login) as camera,
        mosquitto(tmp_path, users={"edge": BROKER}) as broker,
        subscribed(broker, user=("edge", BROKER)) as subscriber,
        cloud(tmp_path / "cloud", *QUICK, "--fault", "refuse=500") as simulated,
    ):
        peers = Peers(tmp_path, broker, simulated, subscriber, None)
        right, wrong = file(tmp_path, "right", CAMERA), file(tmp_path, "wrong", WRONG)
        keys = {"username": "viewer", "password": right}
        cameras = {
            "good": {"source": camera.url("/cam"), **keys},
            "wrong": {"source": camera.url("/cam"), "username": "viewer", "password": wrong},
            "nowhere": {"source": camera.url("/elsewhere"), **keys},
            "dead": {"source": f"rtsp://127.0.0.1:{free_port()}/cam", **keys},
            "mute": {"source": f"rtsp://127.0.0.1:{simulated.port}/cam", **keys},
        }
        config = peers.config(cameras, mqtt={"username": "edge", "password": {"env": "BROKER_PASSWORD"}})
        async with box(tmp_path, config, {"API_KEY": API_KEY, "BROKER_PASSWORD": BROKER}) as daemon:
            await peers.wait_event("good", "conversation_quality.updated")
            await peers.wait_status("wrong", "refused", "camera_password")
            await peers.wait_status("nowhere", "refused", "not_found")
            await peers.wait_status("dead", "offline", "unreachable")
            await peers.subscriber.wait_for(lambda _: {s["state"] for s in peers.statuses("mute")} - {"connecting"}, 30)
            assert_processes_tell_nothing(daemon)
            assert await daemon.stop() == 0
            output = daemon.output
        assert any('"level": "debug"' in line for line in output)
        said = [line["line"] for line in daemon.log if line["event"] == "capture process says"]
        assert any(line.startswith("[rtsp]") for line in said)
        assert shown("\n".join(output)) == []
        for message in subscriber.messages:
            assert shown(f"{message.topic} {message.payload.decode()} {message.properties}") == []
        assert shown((simulated.folder / "sessions.jsonl").read_text()) == []
        assert shown("\n".join(simulated.output)) == []
