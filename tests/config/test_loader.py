"""From files to the effective configuration."""

import socket
import sys
import zoneinfo
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import dedent

import pytest

from interhuman2mqtt.config import Budget, CameraConfig, Config, Framing, SecretRef
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import ConfigFileError, Severity
from interhuman2mqtt.errors import ConfigError

KEY = '[interhuman]\napi_key = { credential = "key" }\n'


def write(file: Path, text: str) -> Path:
    """A file with this content, its folder made where needed."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(dedent(text))
    return file


def load(tmp_path: Path, text: str, box: str | None = None) -> Config:
    """The configuration of one file, with an API key."""
    return configfile.load([write(tmp_path / "main.toml", KEY + dedent(text))], box)


def only_camera(config: Config) -> CameraConfig:
    """The one camera that there is."""
    (camera,) = config.cameras.values()
    return camera


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    """A key and a source make a camera with all its defaults."""
    config = load(tmp_path, '[cameras.front]\nsource = "test:"')
    assert only_camera(config) == CameraConfig(
        id="front",
        name="front",
        source="test:",
        api_key=SecretRef(credential="key"),
        include=("conversation_quality_overall", "conversation_quality_timeline"),
    )


def test_every_key_of_a_camera_is_read(tmp_path: Path) -> None:
    """Each key comes out as its type, in seconds, bytes and pixels."""
    camera = only_camera(
        load(
            tmp_path,
            """
            [cameras.front]
            name = "Front desk"
            source = "rtsp://10.0.0.5/stream1"
            username = "viewer"
            password = { file = "/run/front.pw" }
            transport = "udp"
            size = "1280x720"
            fps = 12.5
            video_bitrate = "1.5M"
            microphone = "alsa:hw:1,0"
            video = "h264"
            audio = "opus"
            buffer = "2m"
            buffer_max = "64MiB"
            replay = "500ms"
            schedule = ["Mon-Fri 08:00-18:00", "Sat 10:00-12:00"]
            budget = { per_day = "6h" }
            priority = -3
            api_key = { env = "OTHER_KEY" }
            include = []
            goal_dimensions = ["clarity"]
            model = "inter-2-audio"
            framing = "continuous"
            """,
        )
    )
    assert camera == CameraConfig(
        id="front",
        name="Front desk",
        source="rtsp://10.0.0.5/stream1",
        username="viewer",
        password=SecretRef(file="/run/front.pw"),
        transport="udp",
        size=(1280, 720),
        fps=12.5,
        video_bitrate=1_500_000,
        microphone="alsa:hw:1,0",
        video="h264",
        audio="opus",
        buffer=120.0,
        buffer_max=64 << 20,
        replay=0.5,
        schedule=("Mon-Fri 08:00-18:00", "Sat 10:00-12:00"),
        budget=Budget(per_day=21600.0),
        priority=-3,
        api_key=SecretRef(env="OTHER_KEY"),
        include=(),
        goal_dimensions=("clarity",),
        model="inter-2-audio",
        framing=Framing.CONTINUOUS,
    )


LAYERS = {
    "cameras.front": 'goal_dimensions = ["clarity"]\nreplay = "1s"',
    "profiles.p": 'goal_dimensions = ["energy"]\nreplay = "2s"',
    "defaults": 'goal_dimensions = ["rapport"]\nreplay = "3s"',
    "interhuman": 'goal_dimensions = ["learning"]',
}


@pytest.mark.parametrize(
    ("layers", "goals", "replay"),
    [
        (["interhuman", "defaults", "profiles.p", "cameras.front"], ("clarity",), 1.0),
        (["interhuman", "defaults", "profiles.p"], ("energy",), 2.0),
        (["interhuman", "defaults"], ("rapport",), 3.0),
        (["interhuman"], ("learning",), 8.0),
        ([], (), 8.0),
    ],
)
def test_camera_over_profile_over_defaults_over_interhuman(
    tmp_path: Path, layers: list[str], goals: tuple[str, ...], replay: float
) -> None:
    """The nearest layer that has a key decides it, and below all of them stands the built-in default."""
    base = write(tmp_path / "base.toml", f'{KEY}[profiles.p]\n[cameras.front]\nsource = "test:"\nprofile = "p"\n')
    files = [write(tmp_path / f"{layer}.toml", f"[{layer}]\n{LAYERS[layer]}") for layer in layers]
    camera = only_camera(configfile.load([base, *files]))
    assert (camera.goal_dimensions, camera.replay) == (goals, replay)


def test_a_profile_may_be_named_for_all_cameras(tmp_path: Path) -> None:
    """`profile` in [defaults] holds for cameras that name none."""
    config = load(
        tmp_path,
        """
        [defaults]
        profile = "slow"
        source = "test:"
        [profiles.slow]
        fps = 5
        [profiles.fast]
        fps = 30
        [cameras.a]
        [cameras.b]
        profile = "fast"
        """,
    )
    assert [camera.fps for camera in config.cameras.values()] == [5, 30]


def test_each_box_takes_its_cameras(tmp_path: Path) -> None:
    """Of one file for the fleet a box takes the enabled cameras whose patterns match its name."""
    fleet = """
        [box]
        id = "lobby-1"
        [defaults]
        source = "test:"
        [cameras.all-boxes]
        [cameras.lobbies]
        boxes = ["lobby-*"]
        [cameras.halls]
        boxes = ["hall-?", "lobby-2"]
        [cameras.off]
        enabled = false
        """
    taken = {box: list(load(tmp_path, fleet, box).cameras) for box in (None, "lobby-2", "hall-1", "hall-10")}
    assert taken == {
        None: ["all-boxes", "lobbies"],
        "lobby-2": ["all-boxes", "lobbies", "halls"],
        "hall-1": ["all-boxes", "halls"],
        "hall-10": ["all-boxes"],
    }


def test_the_client_id_follows_the_box(tmp_path: Path) -> None:
    """Unless it is set, the client id carries the name of the box, whoever gave it."""
    text = '[box]\nid = "lobby-1"\n[cameras.front]\nsource = "test:"'
    ids = [load(tmp_path, text, box).mqtt.client_id for box in (None, "lobby-2")]
    ids.append(load(tmp_path, text + '\n[mqtt]\nclient_id = "mine"').mqtt.client_id)
    assert ids == ["interhuman-lobby-1", "interhuman-lobby-2", "mine"]


def test_the_box_is_called_like_its_host(tmp_path: Path) -> None:
    """Without a name in the file the host's is used."""
    config = load(tmp_path, '[cameras.front]\nsource = "test:"')
    assert config.box.id == configfile.default_box_id(socket.gethostname())


@pytest.mark.parametrize(
    ("host", "box"),
    [
        ("Lobby-1", "lobby-1"),
        ("lobby.example.org", "lobby-example-org"),
        ("Küche", "k-che"),
        ("bridge", "box-bridge"),
        ("all", "box-all"),
        ("...", "box"),
        ("x" * 70, "x" * 64),
    ],
)
def test_names_of_hosts_are_made_fit_for_topics(host: str, box: str) -> None:
    """What a topic cannot hold becomes a dash, and reserved names are avoided."""
    assert box == configfile.default_box_id(host)


def test_files_merge_key_by_key_and_the_later_wins(tmp_path: Path) -> None:
    """A camera may be spread over files; a secret is replaced as a whole."""
    first = write(
        tmp_path / "first.toml",
        KEY + '[cameras.front]\nsource = "test:"\nfps = 5\nbuffer = "30s"\n',
    )
    second = write(
        tmp_path / "second.toml",
        '[cameras.front]\nfps = 10\n[interhuman]\napi_key = { file = "/run/key" }\n',
    )
    config = configfile.load([first, second])
    camera = only_camera(config)
    assert (camera.fps, camera.buffer, camera.api_key) == (10, 30.0, SecretRef(file="/run/key"))
    assert only_camera(configfile.load([second, first])).fps == 5


def test_drop_ins_follow_their_file_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Each given file is followed by the .toml files of its conf.d, hidden ones left out, and no file comes twice."""
    main, other = tmp_path / "main.toml", tmp_path / "other.toml"
    for name in ("20-b.toml", "10-a.toml", "note.txt", ".hidden.toml", "x.toml~"):
        write(tmp_path / "conf.d" / name, "")
    drop_ins = [tmp_path / "conf.d" / name for name in ("10-a.toml", "20-b.toml")]
    found = configfile.find([main, other])
    assert found == [main, *drop_ins, other]
    assert configfile.find(found) == found


def test_without_arguments_the_default_is_read() -> None:
    """The service needs no argument."""
    assert configfile.find([])[0] == Path("/etc/interhuman2mqtt/interhuman2mqtt.toml")


def test_a_folder_of_drop_ins_that_is_none_is_no_error(tmp_path: Path) -> None:
    """Where conf.d is missing, or a file, there are no drop-ins."""
    write(tmp_path / "conf.d", "")
    assert configfile.find([tmp_path / "main.toml"]) == [tmp_path / "main.toml"]


def test_a_folder_of_drop_ins_that_cannot_be_read_is_an_error(
    tmp_path: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """Drop-ins are never left out in silence."""
    with as_nobody(), pytest.raises(ConfigError, match=r"conf.d: cannot be read: Permission denied"):
        configfile.find([tmp_path / "secret" / "main.toml"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an error with its name."""
    with pytest.raises(ConfigError) as caught:
        configfile.load([tmp_path / "main.toml"])
    assert str(caught.value) == f"{tmp_path}/main.toml: cannot be read: No such file or directory"


def test_errors_carry_their_parts(tmp_path: Path) -> None:
    """The exception is a ConfigError and carries file, line, key and message apart."""
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, '[cameras.front]\nsource = "test:"\nfps = 0')
    (problem,) = caught.value.problems
    file = tmp_path / "main.toml"
    assert problem == (file, 5, "cameras.front.fps", "must be from 1 to 240, not 0", Severity.ERROR)
    assert isinstance(caught.value, ConfigError)


def test_a_box_with_a_bad_name_is_refused(tmp_path: Path) -> None:
    """`--box` is held to the same rule as the file, and the file's own errors are said beside it."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[cameras.front]", "Lobby 1")
    assert [problem.key for problem in caught.value.problems] == ["cameras.front.source", "--box"]  # type: ignore[attr-defined]


def test_shared_credentials_leave_devices_alone(tmp_path: Path) -> None:
    """A user name for all cameras is meant for those on the network; the others do without."""
    config = load(
        tmp_path,
        """
        [defaults]
        username = "viewer"
        password = { credential = "cameras" }
        [cameras.desk]
        source = "v4l2:/dev/video0"
        [cameras.door]
        source = "rtsp://10.0.0.5/stream1"
        """,
    )
    assert [(camera.username, camera.password) for camera in config.cameras.values()] == [
        (None, None),
        ("viewer", SecretRef(credential="cameras")),
    ]


def test_a_server_on_this_machine_needs_no_key(tmp_path: Path) -> None:
    """On loopback, where a gateway may add the key, none need be configured."""
    file = write(
        tmp_path / "main.toml",
        '[interhuman]\nurl = "ws://127.0.0.1:9000/v2/stream/analyze"\n[cameras.front]\nsource = "test:"\n',
    )
    assert only_camera(configfile.load([file])).api_key is None


def test_a_camera_may_bring_the_only_key(tmp_path: Path) -> None:
    """The API key may stand with each camera, and a disabled camera needs none."""
    file = write(
        tmp_path / "main.toml",
        """
        [cameras.front]
        source = "test:"
        api_key = { credential = "front" }
        [cameras.back]
        source = "test:"
        enabled = false
        """,
    )
    assert only_camera(configfile.load([file])).api_key == SecretRef(credential="front")


def test_a_mark_of_byte_order_is_no_error(tmp_path: Path) -> None:
    """Files from an editor that begins them with U+FEFF are read."""
    file = tmp_path / "main.toml"
    file.write_text(f'\ufeff{KEY}[cameras.front]\nsource = "test:"\n')
    assert list(configfile.load([file]).cameras) == ["front"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = " + "[" * 9999, "too deep"),
        (f"a = {'1' * 5000}", "thousands of digits"),
        ("a = 0x" + "f" * 99999, "unknown"),
    ],
)
def test_monstrous_files_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """What would break a parser is an error like any other."""
    with pytest.raises(ConfigError, match=sentence):
        load(tmp_path, text)


def test_a_secret_must_be_one_of_three() -> None:
    """A reference that names no place, or two, cannot be made."""
    with pytest.raises(ValueError, match="exactly one"):
        SecretRef()
    with pytest.raises(ValueError, match="exactly one"):
        SecretRef(env="A", file="/a")


def test_a_machine_without_time_zones_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no zone is known the remedy is a package, not another spelling."""
    for name in ("tzdata", "tzdata.zoneinfo", "tzdata.zoneinfo.Antarctica"):  # that package counts too
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[])
    try:
        with pytest.raises(ConfigError, match="this machine knows no time zones, install tzdata"):
            load(tmp_path, '[box]\ntimezone = "Antarctica/Troll"')
    finally:
        zoneinfo.reset_tzpath()


def test_names_that_are_keys_elsewhere_are_names(tmp_path: Path) -> None:
    """A camera or a profile may be called like a key of another table."""
    file = write(
        tmp_path / "main.toml",
        """
        [interhuman]
        url = "ws://localhost/v1/stream/analyze"
        [profiles.profile]
        fps = 5
        [cameras.profile]
        source = "test:"
        profile = "profile"
        [cameras.model]
        source = "test:"
        [cameras.ca_file]
        source = "test:"
        """,
    )
    assert list(configfile.load([file]).cameras) == ["profile", "model", "ca_file"]
    assert configfile.check([file]) == []
