"""One file for many boxes: whose cameras are whose, and how to see that all have the same."""

import io
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interhuman2mqtt.commands.check import check_command
from interhuman2mqtt.config import Shard, shards
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.errors import ConfigError

CLOUD = '[interhuman]\nurl = "ws://localhost/v2/stream/analyze"\n'
MANY = CLOUD + "".join(f'[cameras.c{n}]\nsource = "test:"\n' for n in range(60))
IDS = st.lists(st.from_regex("[a-z0-9_-]{1,12}", fullmatch=True), unique=True, max_size=60)


def write(folder: Path, text: str, name: str = "main.toml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def cameras(file: Path, box: str | None = None) -> set[str]:
    """The cameras that a box takes out of a file."""
    return set(configfile.load([file], box).cameras)


@given(IDS, st.integers(1, 40))
def test_each_camera_has_one_shard_and_moves_only_to_a_new_one(ids: list[str], count: int) -> None:
    """Whatever the ids: an owner is one of the shards, and when one more comes, what moves, moves to that one."""
    for camera in ids:
        before, after = shards.owner(camera, count), shards.owner(camera, count + 1)
        assert before in range(count)
        assert after in {before, count}


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_few_cameras_move(count: int) -> None:
    """When a shard is added to n, about one camera in n+1 moves, and no shard has far more than its part."""
    ids = [f"camera-{n}" for n in range(1000)]
    moved = sum(shards.owner(camera, count) != shards.owner(camera, count + 1) for camera in ids)
    assert 0.7 < moved / (1000 / (count + 1)) < 1.3
    loads = [sum(shards.owner(camera, count) == index for camera in ids) for index in range(count)]
    assert max(loads) < 1.3 * 1000 / count


def test_the_parts_make_the_whole(tmp_path: Path) -> None:
    """Boxes that differ in their index alone run all cameras together, each on one of them."""
    parts = [
        cameras(write(tmp_path, f"[box]\nshard = {{ index = {index}, count = 4 }}\n{MANY}"), f"cam-{index}")
        for index in range(4)
    ]
    assert set().union(*parts) == {f"c{n}" for n in range(60)}
    assert sum(map(len, parts)) == 60
    assert all(parts)


def test_boxes_choose_before_shards_divide(tmp_path: Path) -> None:
    """A camera whose `boxes` do not match is on no shard, and those that match are divided among all."""
    text = MANY.replace("[cameras.c7]", '[cameras.c7]\nboxes = ["hall-*"]')
    files = [write(tmp_path, f"[box]\nshard = {{ index = {n}, count = 2 }}\n{text}", f"{n}.toml") for n in range(2)]
    lobby = [cameras(file, "lobby-1") for file in files]
    hall = [cameras(file, "hall-1") for file in files]
    assert "c7" not in lobby[0] | lobby[1]
    assert len(lobby[0]) + len(lobby[1]) == 59
    assert len(hall[0]) + len(hall[1]) == 60


@pytest.mark.parametrize(("pod", "index"), [("cam-3", 3), ("2", 2), ("site-7-cam-0", 0)])
def test_the_index_comes_from_the_name_of_a_pod(
    pod: str, index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index and count may stand in the environment; of a pod's name the number at its end is the index."""
    monkeypatch.setenv("POD_NAME", pod)
    monkeypatch.setenv("SHARDS", "4")
    file = write(tmp_path, '[box]\nshard = { index = { env = "POD_NAME" }, count = { env = "SHARDS" } }\n' + MANY)
    config = configfile.load([file])
    assert config.box.shard == Shard(index=index, count=4)
    assert set(config.cameras) == {f"c{n}" for n in range(60) if shards.owner(f"c{n}", 4) == index}


@pytest.mark.parametrize(
    ("shard", "sentence"),
    [
        ("{ index = 3, count = 3 }", r"index \(3\) must be below count \(3\): the first shard is 0"),
        ("{ index = 0, count = 0 }", "count: must be from 1 to 10000, not 0"),
        ("{ index = -1, count = 2 }", "index: must be from 0 to 9999, not -1"),
        ("{ index = 0 }", "must be a table such as"),
        ("1", "must be a table such as"),
        ('{ index = "0", count = 2 }', 'must be a whole number, or { env = "NAME" }'),
        ("{ index = true, count = 2 }", 'must be a whole number, or { env = "NAME" }'),
        ('{ index = { env = "A", file = "/b" }, count = 2 }', 'must be a whole number, or { env = "NAME" }'),
        ('{ index = { env = "NOT_THERE" }, count = 2 }', "environment variable NOT_THERE is not set"),
        ('{ index = { env = "WORDS" }, count = 2 }', "WORDS is not a number, nor ends in one as cam-3 does"),
        ('{ index = 0, count = { env = "POD" } }', "environment variable POD is not a number"),
    ],
)
def test_what_a_shard_cannot_be(shard: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that cannot be is refused with a sentence, so that no camera is left out, or run twice, in silence."""
    monkeypatch.setenv("WORDS", "lobby")
    monkeypatch.setenv("POD", "cam-3")
    with pytest.raises(ConfigError, match=sentence):
        configfile.load([write(tmp_path, f"[box]\nshard = {shard}\n{MANY}")])


def test_the_same_files_have_the_same_mark(tmp_path: Path) -> None:
    """The mark of the files is the same on all boxes, whoever they say that they are, and sees each change."""
    main = write(tmp_path, MANY + 'boxes = ["hall-*"]\n')
    one = configfile.load_marked([main, write(tmp_path, '[box]\nid = "hall-1"\n', "conf.d/one.toml")])
    two = configfile.load_marked([main, write(tmp_path, '[box]\nid = "lobby-1"\n', "conf.d/two.toml")])
    assert one.files_hash == two.files_hash == configfile.load_marked([main]).files_hash
    assert configfile.config_hash(one.config) != configfile.config_hash(two.config)
    spread = [write(tmp_path, part, name) for name, part in [("a.toml", CLOUD), ("b.toml", MANY.removeprefix(CLOUD))]]
    assert configfile.load_marked(spread).files_hash != one.files_hash
    write(tmp_path, MANY.removeprefix(CLOUD) + '# a remark\nboxes = ["hall-*"]\n', "b.toml")
    assert configfile.load_marked(spread).files_hash == one.files_hash


@given(st.integers(1, 9), st.integers(1, 9))
def test_marks_differ_where_shards_do(tmp_path_factory: pytest.TempPathFactory, one: int, other: int) -> None:
    """Boxes that were told different counts of shards have different marks: each may think a camera to be another's."""
    assume(one != other)
    folder = tmp_path_factory.getbasetemp()
    files = [write(folder, f"[box]\nshard = {{ index = 0, count = {n} }}\n{CLOUD}", f"{n}.toml") for n in (one, other)]
    assert len({configfile.load_marked([file]).files_hash for file in files}) == 2


def checked(file: Path, box: str | None) -> tuple[int, str]:
    out = io.StringIO()
    return check_command([file], box, out), out.getvalue()


def test_check_of_another_box(tmp_path: Path) -> None:
    """From elsewhere, secrets of another box that are not here are one warning, while real mistakes stay errors."""
    text = f"""
        [box]
        id = "control"
        {CLOUD}
        api_key = {{ file = "/nowhere/key" }}
        [cameras.front]
        source = "rtsp://10.0.0.5/a"
        username = "viewer"
        password = {{ file = "/nowhere/password" }}
        """
    file = write(tmp_path, text)
    code, said = checked(file, "lobby-1")
    assert code == 0
    warning, good = said.splitlines()
    assert warning == (
        "--box: warning: 2 secrets and certificates of this box cannot be read on this machine: "
        "only `check` on the box itself can look at them"
    )
    assert good.startswith("good: box lobby-1 runs 1 camera: front (configuration ")
    assert checked(file, None)[0] == checked(file, "control")[0] == 78
    code, said = checked(write(tmp_path, text + "fps = 0\n"), "lobby-1")
    assert code == 78
    assert "cameras.front.fps: must be from 1 to 240" in said


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ('""', "must not be empty"),
        ('"localhost"', "must be HOST:PORT"),
        ('"127.0.0.1:0"', "must be HOST:PORT"),
        ('"http://a:1"', "must be HOST:PORT"),
        ('"127.0.0.1:65536"', "must be HOST:PORT"),
        ('":9464"', "write 127.0.0.1:9464, or 0.0.0.0:9464 to be heard from everywhere"),
        ("9464", "must be a string, not a number"),
    ],
)
def test_where_nobody_can_listen(listen: str, sentence: str, tmp_path: Path) -> None:
    """An address for Prometheus that cannot be is refused with what it should be."""
    with pytest.raises(ConfigError, match=sentence):
        configfile.load([write(tmp_path, f"[metrics]\nlisten = {listen}\n{MANY}")])
