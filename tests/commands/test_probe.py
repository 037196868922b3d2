"""`probe`: what a source is and what it costs, or why it cannot be used and what to do; never with its password."""

import io
import json
import os
import sys
from pathlib import Path

import pytest
import tomli_w
import trio

from capture.material import SMALL, a_command, captured, media
from integration.helpers import configuration
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.rotation import FrameShape
from interhuman2mqtt.cli import main
from interhuman2mqtt.commands import measure
from interhuman2mqtt.commands.measure import why
from interhuman2mqtt.commands.probe import Options, probe_command
from support.mosquitto import free_port
from support.rtsp import Login, rtsp_server


async def probed(*words: str, **env: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command."""
    line = [sys.executable, "-m", "interhuman2mqtt", "probe", *words]
    done = await trio.run_process(
        line, env={**os.environ, **env}, capture_stdout=True, capture_stderr=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_camera_with_a_password(tmp_path: Path) -> None:
    """All that can be known of an RTSP camera, measured; a wrong password is reported with its remedy, not shown."""
    (tmp_path / "pw").write_text("hunter-22\n")
    async with rtsp_server({"/cam": SMALL}, login=Login("viewer", "hunter-22")) as server:
        url = server.url("/cam")
        status, said, _ = await probed(
            url, "--username", "viewer", "--password-file", str(tmp_path / "pw"), "--seconds", "2", "--json"
        )
        found = json.loads(said)
        assert (status, found["ok"], found["video"], found["video_copied"]) == (0, True, "h264", True)
        assert (found["audio"], found["audio_copied"]) == ("aac", True)
        assert found["fps"] == pytest.approx(15, abs=0.5)
        assert found["gop"] == pytest.approx(1.0, abs=0.1)
        assert (found["chunk"], found["chunk_longest"]) == pytest.approx((2.0, 2.0), abs=0.1)
        assert found["why"] == "H.264 is sent as it is"
        assert found["measured"] >= 2
        assert 0 <= found["cpu"] < 100
        assert found["bitrate"] > 10_000
        status, said, error = await probed(url, "--username", "viewer", "--password-env", "PW", PW="wrong-pass")
        assert (status, said) == (69, "")
        assert error.startswith("camera_password: ")
        assert "remedy: check username and password" in error
        assert "wrong-pass" not in error


@pytest.mark.parametrize(
    ("source", "video", "repairs", "said"),
    [
        ("rtsp://10.0.0.5/x", "h264", {"rare_key_frames": 1}, "key frame interval"),
        ("rtsp://10.0.0.5/x", "h264", {"intra_refresh": 1}, "no key frames that a viewer can begin with"),
        ("rtsp://10.0.0.5/x", "hevc", {}, "a camera that can send H.264 spares the encoding"),
        ("v4l2:1-1.4", "rawvideo", {}, "the cloud takes H.264 only"),
        ("rtsp://10.0.0.5/x", "h264", {}, 'video = "h264" asks for it'),
    ],
)
def test_why_it_is_encoded(source: str, video: str, repairs: dict[str, int], said: str) -> None:
    """What has to be encoded is told why, and by which setting of the camera it need not be."""
    opened = ipc.Opened(description="", video=video, audio=None, video_copied=False, audio_copied=False)
    assert said in why(a_command(source), opened, repairs)


def test_why_what_lies_on_its_side_is_encoded() -> None:
    """The description says that it is turned, and the reason that this is why."""
    shape = FrameShape((108, 192), turn=90)
    opened = ipc.Opened(
        description=f"h264 108x192{shape.remarks}", video="h264", audio=None, video_copied=False, audio_copied=False
    )
    assert "to turn it upright" in why(a_command(), opened, {})


def test_pictures_are_counted() -> None:
    """In a file from its beginning, and in a piece that goes on, with audio between the pictures."""
    whole = captured(SMALL)
    cuts = list(whole.chunks(whole.record(), source_ended=True))
    assert measure.frames(media(cuts)) == SMALL.frames
    assert sum(measure.frames(payload) for _, payload in cuts) == SMALL.frames
    assert measure.frames(b"\x00\x00\x00\x02moof") == 0


def asked(tmp_path: Path, source: str, **changes: object) -> tuple[int, str]:
    """The command in this process, on no terminal: its status and all that it says."""
    values = {
        "source": source,
        "seconds": 0.0,
        "username": None,
        "password_env": None,
        "password_file": None,
        "transport": "tcp",
        "microphone": None,
        "config": [tmp_path / "c.toml"],
        "box": None,
        "as_json": False,
        **changes,
    }
    out, err = io.StringIO(), io.StringIO()
    status = probe_command(Options(**values), out, err)  # type: ignore[arg-type]
    return status, out.getvalue() + err.getvalue()


@pytest.fixture(autouse=True)
def _configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras, one of them paused."""
    cameras = {"front": {"source": "test:"}, "back": {"source": "test:"}}
    (tmp_path / "c.toml").write_text(
        tomli_w.dumps(configuration("ws://localhost:1/v2/stream/analyze", "mqtt://localhost:1", cameras))
    )
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


@pytest.mark.parametrize(
    ("source", "changes", "status", "said"),
    [
        ("rtsp://viewer:hunter22@10.0.0.5/x", {}, 2, "--username"),
        ("rtsp://10.0.0.5/x", {"username": "viewer"}, 2, "the password of viewer is missing"),
        ("rtsp://10.0.0.5/x", {"password_env": "A", "password_file": "B"}, 2, "either"),
        ("ftp://10.0.0.5/x", {}, 2, "must begin with rtsp://"),
        ("test:", {"microphone": "hw:1"}, 2, "must be an audio device"),
        ("frnt", {}, 2, 'did you mean "front"?'),
        ("front", {"audio_only": True}, 2, "is a camera of the configuration"),
        ("alsa:hw:99,0", {}, 69, "not_found: microphone alsa:hw:99,0"),
        ("v4l2:/dev/video99", {}, 69, "interhuman2mqtt devices"),
    ],
)
def test_what_cannot_be_probed(tmp_path: Path, source: str, changes: dict[str, object], status: int, said: str) -> None:
    """Each with the remedy, and without the password that was in the wrong place."""
    found, text = asked(tmp_path, source, **changes)
    assert (found, said in text) == (status, True), text
    assert "hunter22" not in text


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "4000", "x"])
def test_it_lasts_for_a_span(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A time that is none is refused before anything is opened."""
    with pytest.raises(SystemExit) as end:
        main(["probe", "test:", "--seconds", seconds])
    assert end.value.code == 2
    assert f"'{seconds}' is not a number of seconds from 1 to 3600" in capsys.readouterr().err


def test_audio_alone(tmp_path: Path) -> None:
    """Of a film the video is not used; a second is measured as a group of pictures is."""
    status, text = asked(tmp_path, f"file:{SMALL.path()}", audio_only=True)
    assert status == 0
    assert "aac 48000 Hz (copied), audio only" in text
    assert "video       none: its audio alone is used" in text
    assert "key frames" not in text
    assert "chunks      of 2" in text


def test_a_paused_camera_is_not_opened(tmp_path: Path) -> None:
    """Paused means that nobody looks, be it only on this machine; one that is not is opened by its name."""
    (tmp_path / "paused").mkdir()
    (tmp_path / "paused/back").touch()
    status, text = asked(tmp_path, "back")
    assert (status, text.startswith("paused: back is not opened: paused")) == (69, True)
    status, text = asked(tmp_path, "front")
    assert status == 0
    assert "the cloud takes H.264 only" in text


def test_nobody_listens(tmp_path: Path) -> None:
    """For scripts a failure is JSON on stdout, too."""
    status, text = asked(tmp_path, f"rtsp://127.0.0.1:{free_port()}/x", as_json=True)
    assert (status, json.loads(text)["reason"]) == (69, "unreachable")
