"""Sentences that say what is wrong, and name what is to be done; each was once untrue, or about something else."""

import errno
from pathlib import Path

import pytest

from interhuman2mqtt import cli, config
from interhuman2mqtt.commands.doctor_broker import acl
from interhuman2mqtt.commands.doctor_checks import _unwritable
from interhuman2mqtt.commands.doctor_report import remedy
from interhuman2mqtt.commands.watch_subscription import settings_for, subscribed
from interhuman2mqtt.config import problems, secrets, urls
from interhuman2mqtt.config.model import Box, Config, Interhuman, Log, Metrics, Mqtt, Outbox, Privacy, Web
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.mqtt.tls import tls_context
from support.mosquitto import mosquitto


def test_a_letter_in_another_place() -> None:
    """Letters that are swapped are the likeliest mistake of all, in short words too."""
    assert problems.nearest("fsp", ["fps", "size", "source"]) == "fps"


@pytest.mark.parametrize(
    "check", [lambda: urls.check_source("rtsp://h:99999/x"), lambda: urls.check_broker("mqtt://h:99999")]
)
def test_a_port_that_does_not_exist(check: object) -> None:
    """What is wrong with it is said."""
    with pytest.raises(BadValueError, match="has a port that does not exist: 99999 is more than 65535"):
        check()  # type: ignore[operator]


def test_a_secret_with_a_byte_order_mark(tmp_path: Path) -> None:
    """What Windows' editors put in front of a text is no part of a secret."""
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfih_live_key\r\n")
    assert secrets.read(config.SecretRef(file=str(tmp_path / "key")), what="key").reveal() == "ih_live_key"


def test_probe_of_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a configuration it is told that a word is no source, and not only which file is missing."""
    assert cli.main(["probe", "hallo", "--config", str(tmp_path / "none.toml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith('"hallo" is no source (rtsp://HOST/PATH, ')
    assert "none.toml: cannot be read: No such file" in said


@pytest.mark.parametrize(
    ("number", "what"),
    [(errno.ENOSPC, "df -i /state"), (errno.EROFS, "remount,rw"), (errno.EACCES, "chown USER /state")],
)
def test_a_state_that_cannot_be_written(number: int, what: str) -> None:
    """A full disk is not mended by another owner."""
    assert what in _unwritable(Path("/state"), OSError(number, "x"))


async def test_mqtts_on_a_plain_port(tmp_path: Path) -> None:
    """A broker that does not speak TLS there is told from a network that breaks."""
    async with mosquitto(tmp_path) as broker:
        settings = settings_for(Mqtt(client_id="", url=f"mqtts://localhost:{broker.port}"), "test")
        with pytest.raises(Outage, match=r"TLS port \(often 8883\)"):
            async with subscribed(settings, ["x"], lambda _: None):
                pass  # pragma: no cover - it does not come about


def test_a_ca_file_without_a_certificate(tmp_path: Path) -> None:
    """It is said that there is none in it, and what should be, instead of asking for the clock."""
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(Refused) as caught:
        tls_context(Mqtt(client_id="", url="mqtts://h", ca_file=str(tmp_path / "ca.pem")))
    assert caught.value.detail.endswith("ca.pem: there is no certificate in it")
    assert "BEGIN CERTIFICATE" in remedy(Outage(Reason.TLS_FAILED, caught.value.detail))


def test_what_an_acl_must_allow() -> None:
    """The lines can be pasted as they are."""
    made = Config(
        box=Box(id="lobby-1"),
        interhuman=Interhuman(),
        mqtt=Mqtt(client_id="x", username="edge"),
        outbox=Outbox(),
        privacy=Privacy(),
        log=Log(),
        metrics=Metrics(),
        web=Web(),
        cameras={},
    )
    first, *topics = acl(made).splitlines()[1:]
    assert first == "user edge"
    assert sorted(topics) == [
        "topic read homeassistant/status",
        "topic read interhuman/lobby-1/+/pause/set",
        "topic read interhuman/lobby-1/bridge/request/+",
        "topic write homeassistant/device/+/config",
        "topic write interhuman/lobby-1/#",
    ]
