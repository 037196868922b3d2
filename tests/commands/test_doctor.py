"""`doctor`: all green where all is well, and where a link of the chain fails, which one and what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import trio
import trustme

from integration.helpers import BOX, KEY, cloud, configuration, run_peers
from integration.test_whole_run import tls_files
from interhuman2mqtt import cli, config, exit_codes
from interhuman2mqtt.capture import alsa, ipc
from interhuman2mqtt.commands import doctor as doctor_module
from interhuman2mqtt.commands import doctor_checks
from interhuman2mqtt.commands.device_holders import CAPTURE, Holder, holders
from interhuman2mqtt.commands.doctor_broker import check_broker
from interhuman2mqtt.commands.doctor_checks import check_cloud, check_name
from interhuman2mqtt.commands.doctor_report import Check, Status, remedy
from interhuman2mqtt.commands.doctor_upload import check_uploads
from interhuman2mqtt.config import Config, loader, secrets
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime import clock
from support.clips import Clip
from support.mosquitto import free_port, mosquitto, subscribed

FILE = {"source": f"file:{Clip().path()}"}
USERS = {"edge": "secret-of-edge"}
ALL = ["user edge", f"topic readwrite interhuman/{BOX}/#", "topic write homeassistant/#"]


@pytest.fixture
def api_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key stands where the configuration points."""
    monkeypatch.setenv("API_KEY", KEY)
    return KEY


def configured(folder: Path, values: dict[str, Any]) -> Config:
    """A configuration as the command reads it."""
    (folder / "c.toml").write_text(tomli_w.dumps(values))
    return loader.load([folder / "c.toml"])


async def doctor(folder: Path, values: dict[str, Any], **env: str) -> tuple[int, dict[str, Any]]:
    """What the command says, and its exit status."""
    configured(folder, values)
    command = [sys.executable, "-m", "interhuman2mqtt", "doctor", "--json", "--config", str(folder / "c.toml")]
    env = {**os.environ, "STATE_DIRECTORY": str(folder), "API_KEY": KEY, **env}
    done = await trio.run_process(command, env=env, capture_stdout=True, check=False)
    return done.returncode, json.loads(done.stdout)


async def test_all_is_well(tmp_path: Path) -> None:
    """With everything up each link is reported as well, over TLS, and nothing of what was tried stays behind."""
    tls = tls_files(tmp_path, trustme.CA())
    async with run_peers(tmp_path, tls=tls) as peers:
        secure = {"url": peers.cloud.url(scheme="wss"), "ca_file": str(tls.ca_file)}
        values = peers.config(
            {"front": FILE}, interhuman=secure, mqtt={"url": peers.broker.url, "ca_file": str(tls.ca_file)}
        )
        key = tmp_path / "api.key"
        key.write_text(KEY)
        key.chmod(0o600)
        values["interhuman"]["api_key"] = {"file": str(key)}
        status, said = await doctor(tmp_path, values)
        checks = {check["check"]: check for check in said["checks"] if check["check"] != "clock"}
        assert {name: check["status"] for name, check in checks.items()} == dict.fromkeys(checks, "ok")
        assert (status, said["ok"]) == (0, True)
        assert {
            "configuration",
            "secret interhuman.api_key",
            "state folder",
            "DNS the cloud",
            "cloud",
            "key",
            "uploads",
            "broker",
            "broker, requests",
            "broker, publishing",
            "camera front",
        } <= set(checks)
        assert "TLS verified" in checks["cloud"]["detail"]
        assert checks["camera front"]["detail"].startswith("h264 320x180 (copied)")
        async with subscribed(peers.broker, ca_file=tls.ca_file) as late:
            await trio.sleep(0.2)
            assert not [message for message in late.messages if message.retained]


async def test_all_is_broken(tmp_path: Path) -> None:
    """With everything down it still comes to its end, and each failure has its remedy; a secret is in none of it."""
    port = free_port()
    values = configuration(
        f"ws://localhost:{port}/v2/stream/analyze",
        f"mqtt://localhost:{port}",
        {
            "front": {"source": f"rtsp://127.0.0.1:{port}/x"},
            "gone": {"source": "file:/nowhere.mp4"},
            "paused": FILE,
            "phone": {"source": "browser:"},
        },
    )
    (tmp_path / "paused").mkdir()
    (tmp_path / "paused" / "paused").touch()
    status, said = await doctor(tmp_path, values)
    checks = {check["check"]: check for check in said["checks"]}
    failed = {name for name, check in checks.items() if check["status"] == "failed"}
    assert (status, failed) == (69, {"cloud", "broker", "camera front", "camera gone"})
    assert all(checks[name]["remedy"] for name in failed)
    assert checks["camera paused"]["status"] == checks["camera phone"]["status"] == "skipped"
    assert KEY not in json.dumps(said)


def check_of(checks: list[Check], name: str) -> Check:
    """The check of that name."""
    [found] = [check for check in checks if check.check == name]
    return found


@pytest.mark.parametrize(
    ("options", "status", "reason", "what_to_do"),
    [
        (("--key", "ih_live_other"), Status.FAILED, "unauthorized", "copy the API key again"),
        (("--key", f"{KEY}=other.scope"), Status.FAILED, "scope_missing", "interhumanai.stream"),
        (("--no-backend", "inter-2"), Status.FAILED, "model_unavailable", "another model"),
        (("--fault", "refuse=500"), Status.FAILED, "cloud_error", "wait"),
        (("--fault", "refuse-error=ih3002"), Status.WARNING, "all sessions of the account are in use", "max_sessions"),
    ],
)
async def test_keys(
    tmp_path: Path, api_key: str, *, options: tuple[str, ...], status: Status, reason: str, what_to_do: str
) -> None:
    """What the cloud says against a key is told by its reason, with the remedy, and that the cloud was reached."""
    async with cloud(tmp_path / "cloud", *options) as simulated:
        config = configured(tmp_path, configuration(simulated.url(), "mqtt://localhost:1", {"front": FILE}))
        checks = await check_cloud(config, None)
    assert check_of(checks, "cloud").status is Status.OK
    key = check_of(checks, "key")
    assert key.status is status
    assert reason in key.detail
    assert what_to_do in str(key.remedy)


@pytest.mark.parametrize(
    ("scopes", "backfill", "status", "sentence"),
    [
        ("interhumanai.stream,interhumanai.upload", "1GiB", Status.OK, "for `backfill` and `analyze`"),
        ("interhumanai.stream", "1GiB", Status.FAILED, "backfill of front: the API key lacks the scope"),
        ("interhumanai.stream", None, Status.SKIPPED, "`analyze` would be refused"),
    ],
)
async def test_whether_a_key_may_upload(
    tmp_path: Path, api_key: str, *, scopes: str, backfill: str | None, status: Status, sentence: str
) -> None:
    """A key without the scope fails where a camera is to be back-filled, with what to do; no file is sent to see it."""
    camera = FILE if backfill is None else {**FILE, "backfill": backfill}
    async with cloud(tmp_path / "cloud", "--key", f"{KEY}={scopes}") as simulated:
        config = configured(tmp_path, configuration(simulated.url(), "mqtt://localhost:1", {"front": camera}))
        [check] = await check_uploads(config, None)
        assert simulated.happened("uploaded") == []
    assert (check.check, check.status) == ("uploads", status)
    assert sentence in check.detail
    assert ("interhumanai.upload" in str(check.remedy)) == (status is Status.FAILED)


async def test_a_cloud_that_nobody_vouches_for(tmp_path: Path, api_key: str) -> None:
    """A certificate of an unknown CA fails at the cloud, before the key is sent."""
    tls = tls_files(tmp_path, trustme.CA())
    async with cloud(tmp_path / "cloud", "--cert", str(tls.cert_file), "--cert-key", str(tls.key_file)) as simulated:
        config = configured(tmp_path, configuration(simulated.url(scheme="wss"), "mqtt://localhost:1", {"front": FILE}))
        checks = await check_cloud(config, None)
    assert (check_of(checks, "cloud").status, check_of(checks, "key").status) == (Status.FAILED, Status.SKIPPED)
    assert "ca_file" in str(check_of(checks, "cloud").remedy)


def with_broker(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, **mqtt: str) -> Config:
    """A configuration of the user `edge`."""
    monkeypatch.setenv("EDGE", mqtt.pop("password", USERS["edge"]))
    values = {"url": url, "username": "edge", "password": {"env": "EDGE"}, **mqtt}
    return configured(folder, configuration("ws://localhost:1/v2/stream/analyze", url, {"front": FILE}, mqtt=values))


async def test_what_a_broker_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, an ACL that denies publishing or subscribing, and what MQTT 3.1.1 hides, each by its name."""
    async with mosquitto(tmp_path, users=USERS, acl=ALL) as broker:
        good = with_broker(tmp_path, broker.url, monkeypatch)
        assert [check.status for check in await check_broker(good)] == [Status.OK] * 3

        older = await check_broker(with_broker(tmp_path, broker.url, monkeypatch, protocol="3.1.1"))
        assert check_of(older, "broker, publishing").status is Status.WARNING
        assert "3.1.1" in check_of(older, "broker, publishing").detail

        await broker.allow(["user edge", f"topic read interhuman/{BOX}/#"])
        denied = check_of(await check_broker(good), "broker, publishing")
        assert denied.status is Status.FAILED
        assert f"interhuman/{BOX}/" in denied.detail
        words, *pasted = (denied.remedy or "").splitlines()
        assert words.startswith("allow it in the broker's ACL, with these lines")
        await broker.allow(pasted)
        assert [check.status for check in await check_broker(good)] == [Status.OK] * 3

        await broker.allow(["user edge", f"topic write interhuman/{BOX}/#", "topic write homeassistant/#"])
        deaf = check_of(await check_broker(good), "broker, requests")
        assert (deaf.status, "mqtt.requests" in str(deaf.remedy)) == (Status.FAILED, True)
        silent = await check_broker(with_broker(tmp_path, broker.url, monkeypatch, requests="off"))
        assert check_of(silent, "broker, requests").status is Status.SKIPPED

        wrong = with_broker(tmp_path, broker.url, monkeypatch, password="not-this-one")
        [refused] = await check_broker(wrong)
        assert (refused.status, "broker_refused" in refused.detail) == (Status.FAILED, True)
        assert "not-this-one" not in str(refused)


async def test_a_name_that_is_not_found() -> None:
    """A host that no DNS knows is failed with where to look; RFC 2606 promises that this one is unknown."""
    found = await check_name("the broker", "broker.invalid")
    assert (found.status, "resolvectl" in str(found.remedy)) == (Status.FAILED, True)


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, for everyone to read, out of sight, and well kept."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    values = configuration("ws://localhost:1/v2/stream/analyze", "mqtt://localhost:1", {"front": FILE})
    values["interhuman"]["api_key"] = {"file": str(tmp_path / "key")}
    values["mqtt"] |= {"username": "edge", "password": {"credential": "mqtt-password"}}
    refs = doctor_checks.refs(configured(tmp_path, values))
    assert set(refs) == {"interhuman.api_key", "mqtt.password"}
    assert doctor_checks.check_secret("k", refs["interhuman.api_key"]).status is Status.FAILED
    (tmp_path / "key").write_text("ih_live_x")
    (tmp_path / "key").chmod(0o644)
    everyone = doctor_checks.check_secret("k", refs["interhuman.api_key"])
    assert (everyone.status, str(everyone.remedy)) == (Status.FAILED, f"chmod o-r {tmp_path / 'key'}")
    (tmp_path / "key").chmod(0o640)
    assert doctor_checks.check_secret("k", refs["interhuman.api_key"]).status is Status.OK
    hidden = doctor_checks.check_secret("p", refs["mqtt.password"])
    assert (hidden.status, "systemd-run" in hidden.detail) == (Status.SKIPPED, True)
    (tmp_path / "mqtt-password").write_text("hunter22")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    secrets.use_credstore(tmp_path)
    assert doctor_checks.check_secret("p", refs["mqtt.password"]).status is Status.OK
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")


def test_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there fails with how it is made; too little room for the outbox is a warning."""
    values = configuration("ws://localhost:1/v2/stream/analyze", "mqtt://localhost:1", {"front": FILE})
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "nope"))
    [missing] = doctor_checks.check_state(configured(tmp_path, values))
    assert (missing.status, "mkdir -p" in str(missing.remedy)) == (Status.FAILED, True)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    [narrow] = doctor_checks.check_state(configured(tmp_path, {**values, "outbox": {"max_size": "1000GiB"}}))
    assert narrow.status is Status.WARNING
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "c.toml"))
    assert next(doctor_checks.check_state(configured(tmp_path, values))).status is Status.FAILED


def test_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synchronised, not known to be, and plainly wrong."""
    monkeypatch.setattr(clock, "clock_state", lambda: Clock.SYNCED)
    assert doctor_checks.check_clock().status is Status.OK
    monkeypatch.setattr(clock, "clock_state", lambda: Clock.UNKNOWN)
    assert doctor_checks.check_clock().status is Status.WARNING
    monkeypatch.setattr(clock, "is_unset", lambda _at: True)
    assert doctor_checks.check_clock().status is Status.FAILED


OURS = {
    Reason.STARTING, Reason.NO_MEDIA, Reason.MAX_SESSIONS, Reason.PAUSED, Reason.OUT_OF_SCHEDULE, Reason.OVER_BUDGET,
    Reason.CLOCK_UNSET, Reason.RESTARTED, Reason.UPLINK_TOO_SLOW, Reason.CRASHED, Reason.POWER_CUT, Reason.STOPPED,
    Reason.BUG, Reason.PICTURE_MISSING, Reason.AUDIO_MISSING, Reason.SUSPENDED,
}  # fmt: skip


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in OURS])
def test_every_reason_has_a_remedy(reason: Reason) -> None:
    """Whatever a camera, the cloud or the broker fails by, there is something to do that is its own."""
    assert "journalctl" not in remedy(Outage(reason, "x"))


@pytest.mark.parametrize("is_ours", [True, False])
async def test_who_has_a_device_open(tmp_path: Path, is_ours: bool) -> None:  # noqa: FBT001 - a case
    """A capture process of the service is told from any other program, which is named with its process id."""
    device = tmp_path / "video0"
    device.touch()
    words = ["-c", f"f = open({str(device)!r}); print(flush=True); input()"]
    named = ["-m", CAPTURE] if is_ours else []
    process = await trio.lowlevel.open_process(
        [sys.executable, *words, *named], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    async with process.stdin, process.stdout:  # type: ignore[union-attr]
        await process.stdout.receive_some()  # type: ignore[union-attr]
        (holder,) = holders(device)
        process.kill()
    await process.wait()
    assert (holder.pid, holder.is_capture) == (process.pid, is_ours)
    assert str(holder) == f"python (process {process.pid})"


@pytest.mark.parametrize(
    ("who", "runs", "status", "said"),
    [
        ([Holder(7, "python3", is_capture=True)], True, Status.OK, "the service has the device open"),
        ([Holder(7, "python3", is_capture=True)], False, Status.FAILED, "in use by python3 (process 7)"),
        ([Holder(7, "cheese", is_capture=False)], True, Status.FAILED, "in use by cheese (process 7)"),
        ([], True, Status.FAILED, "which one, root alone may see"),
    ],
)
def test_a_device_in_use(
    monkeypatch: pytest.MonkeyPatch, *, who: list[Holder], runs: bool, status: Status, said: str
) -> None:
    """It is as it should be where the service has it open, and where another program has, it is not."""
    monkeypatch.setattr(doctor_module, "holders", lambda _device: iter(who))
    monkeypatch.setattr(doctor_module, "_is_running", lambda: runs)
    outage = Outage(Reason.BUSY, "v4l2:/dev/video0 is in use by another program")
    check = doctor_module.busy("camera front", Path("/dev/video0"), outage)
    assert check.status is status
    assert said in check.detail


@pytest.mark.parametrize(("runs", "status"), [(True, Status.OK), (False, Status.WARNING)])
def test_a_microphone_in_use(monkeypatch: pytest.MonkeyPatch, *, runs: bool, status: Status) -> None:
    """A camera that opens without its microphone works, and may not always; where the service has it, all is well."""
    monkeypatch.setattr(doctor_module, "holders", lambda _device: iter([Holder(7, "python3", is_capture=True)]))
    monkeypatch.setattr(doctor_module, "_is_running", lambda: runs)
    monkeypatch.setattr(alsa, "device_node", lambda _name: Path("/dev/snd/pcmC0D0c"))
    camera = config.CameraConfig(id="front", name="Front", source="test:", microphone="alsa:hw:0")
    missing = ipc.AudioFault(reason=Reason.BUSY, detail="microphone alsa:hw:0 is in use by python3 (process 7)")
    check = doctor_module.without_sound("camera front", camera, missing)
    assert check.status is status
    assert ("process 7" in check.detail) is not runs


def test_probe_of_a_camera_whose_microphone_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The camera is measured all the same; what is wrong with the microphone, and what to do, stands beside it."""
    assert cli.main(["probe", "test:", "--microphone", "alsa:hw:9", "--seconds", "1"]) == exit_codes.UNAVAILABLE
    said = capsys.readouterr().out
    assert "audio       silence, since not_found: microphone alsa:hw:9: " in said
    assert "-> for a device see `interhuman2mqtt devices`" in said
    assert "frames      15 a second" in said
