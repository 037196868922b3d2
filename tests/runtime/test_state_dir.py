"""Where state is kept, and that a file of it is never half written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from interhuman2mqtt.runtime import state_dir


def test_systemd_says_where(tmp_path: Path) -> None:
    """$STATE_DIRECTORY wins; of several folders the first is ours."""
    assert state_dir.find({"STATE_DIRECTORY": "/a:/b"}, tmp_path) == Path("/a")


def test_a_command_finds_the_services(tmp_path: Path) -> None:
    """Without the variable it is the service's own folder, where there is one."""
    assert state_dir.find({"HOME": "/home/me"}, tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/interhuman2mqtt"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/s"}, "/s/interhuman2mqtt"),
    ],
)
def test_a_user_has_one_of_their_own(
    environ: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no service is installed a user's daemon keeps its state at home."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state_dir.find(environ, tmp_path / "nothing") == Path(expected)


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask, and whatever a draft that an earlier life left is: what a state file holds is of people."""
    file = tmp_path / "file"
    draft = tmp_path / "file.new"
    draft.touch()
    draft.chmod(0o666)
    before = os.umask(0)
    try:
        state_dir.replace(file, b"1")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The new content is there, its folder was made, and no draft is left."""
    file = tmp_path / "new" / "file"
    state_dir.replace(file, b"1")
    state_dir.replace(file, b"2")
    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"2")]


def test_the_old_content_stays_where_it_cannot_be_replaced(tmp_path: Path) -> None:
    """A draft that cannot be written costs nothing of what is there."""
    file = tmp_path / "file"
    state_dir.replace(file, b"old")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        state_dir.replace(file, b"new")
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("leave", [lambda draft: draft.symlink_to("precious"), os.mkfifo], ids=["link", "pipe"])
def test_a_draft_that_is_no_file_is_not_written(tmp_path: Path, leave: Callable[[Path], object]) -> None:
    """What the service left in the draft's place leads root's commands nowhere, and keeps nobody waiting."""
    precious, path = tmp_path / "precious", tmp_path / "state.json"
    for file in (precious, path):
        file.write_bytes(b"before")
    leave(tmp_path / "state.json.new")
    with pytest.raises(OSError, match=r"symbolic links|No such device"):
        state_dir.replace(path, b"after")
    assert (precious.read_bytes(), path.read_bytes()) == (b"before", b"before")


def test_the_newest_damaged_files_are_kept(tmp_path: Path) -> None:
    """A damaged file is moved with all that belongs to it; the newest two are kept, and no other file goes."""
    file = tmp_path / "outbox.sqlite"
    (tmp_path / "outbox.sqlite2.damaged-1").touch()
    for stamp in ("20261101Z", "20261102Z", "20261103Z"):
        file.write_text(stamp)
        Path(f"{file}-wal").write_text(stamp)
        assert state_dir.quarantine(file, stamp, ("", "-wal", "-shm")).read_text() == stamp
        assert not file.exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "outbox.sqlite.damaged-20261102Z",
        "outbox.sqlite.damaged-20261102Z-wal",
        "outbox.sqlite.damaged-20261103Z",
        "outbox.sqlite.damaged-20261103Z-wal",
        "outbox.sqlite2.damaged-1",
    ]
