"""Pauses as files: made, lifted, read, and in doubt in force."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from interhuman2mqtt.policy.pauses import ALL, Pause, PauseError, PauseOrigin, Pauses
from interhuman2mqtt.runtime import state_dir
from support.disks import read_only, tiny_disk


@pytest.fixture
def pauses(tmp_path: Path) -> Pauses:
    """Nothing is paused."""
    made = Pauses(tmp_path)
    made.prepare()
    return made


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def holds(pauses: Pauses, camera: str) -> bool:
    return pauses.read().why(camera) is not None


def test_a_camera_is_paused_and_resumed(pauses: Pauses) -> None:
    """A pause concerns its camera only, says who made it and when, and is gone when it is lifted."""
    made = pauses.pause("front", PauseOrigin.COMMAND)
    assert made[:2] == (("front",), ("front",))
    assert made.sentence == "front is paused; paused now: front"
    assert (holds(pauses, "front"), holds(pauses, "back")) == (True, False)
    why = pauses.read().why("front") or ""
    assert why.startswith("paused from the command line since 20")
    assert "`interhuman2mqtt resume front` lifts it" in why
    assert pauses.resume("front").sentence == "the pause of front is lifted; nothing is paused now"
    assert not holds(pauses, "front")


def test_all_are_paused_and_resumed(pauses: Pauses) -> None:
    """Without a camera all are meant; resuming lifts the pause of the box and that of every camera."""
    pauses.pause("front", PauseOrigin.REQUEST)
    assert pauses.pause(None, PauseOrigin.REQUEST).in_force == (ALL, "front")
    assert holds(pauses, "back")
    lifted = pauses.resume(None)
    assert (set(lifted.changed), lifted.in_force) == ({ALL, "front"}, ())
    assert lifted.sentence == "the pauses of front, all cameras are lifted; nothing is paused now"
    assert pauses.resume(None).sentence == "nothing was paused; nothing is paused now"


def test_a_camera_is_resumed_while_all_are_paused(pauses: Pauses) -> None:
    """The pause of the box stays in force, and the answer says so."""
    pauses.pause(None, PauseOrigin.COMMAND)
    pauses.pause("front", PauseOrigin.COMMAND)
    answer = pauses.resume("front")
    assert answer.changed == ("front",)
    assert answer.sentence == (
        "the pause of front is lifted; all cameras are paused now (`interhuman2mqtt resume` lifts that)"
    )
    assert holds(pauses, "front")
    assert pauses.resume("front").sentence.startswith("front itself is not paused; all cameras are paused now")


def test_a_level_lifts_only_what_a_level_made(pauses: Pauses) -> None:
    """A retained OFF that comes again and again does not lift what a person paused by other means."""
    pauses.pause("front", PauseOrigin.PAUSE_SET)
    assert pauses.resume_level("front").changed == ("front",)
    assert pauses.resume_level("front").sentence == "front itself is not paused; nothing is paused now"
    for origin in (PauseOrigin.COMMAND, PauseOrigin.REQUEST):
        pauses.pause("front", origin)
        stays = pauses.resume_level("front")
        assert stays.changed == ()
        assert stays.sentence.startswith("the pause of front stays: it was made ")
        assert holds(pauses, "front")
        pauses.resume("front")


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (PauseOrigin.PAUSE_SET, PauseOrigin.COMMAND, PauseOrigin.COMMAND),
        (PauseOrigin.COMMAND, PauseOrigin.PAUSE_SET, PauseOrigin.COMMAND),
        (PauseOrigin.REQUEST, PauseOrigin.COMMAND, PauseOrigin.REQUEST),
    ],
)
def test_pausing_twice_keeps_the_stronger(
    pauses: Pauses, first: PauseOrigin, second: PauseOrigin, kept: PauseOrigin
) -> None:
    """Whoever means it now makes a level's pause their own, and a level never takes over somebody's."""
    pauses.pause("front", first)
    again = pauses.pause("front", second)
    assert again.changed == ()
    assert again.sentence.startswith("front is paused already")
    assert pauses.read().pauses["front"].origin is kept


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.touch(),
        lambda file: file.write_bytes(b'{"origin": "comm'),
        lambda file: file.write_bytes(b'{"origin": "somebody", "at": 7}'),
        lambda file: file.write_bytes(os.urandom(100_000)),
        lambda file: file.write_bytes(b'{"more": ' + b"[" * 100_000),
        lambda file: file.mkdir(),
        os.mkfifo,
        lambda file: file.symlink_to("nowhere"),
    ],
    ids=["empty", "half", "wrong", "rubbish", "deep", "folder", "pipe", "dangling"],
)
def test_whatever_is_there_is_a_pause(pauses: Pauses, make: Callable[[Path], object]) -> None:
    """That something of the camera's name is there pauses it, whatever it is; nothing lifts it by a level."""
    make(pauses.folder / "front")
    before = open_files()
    assert pauses.read().pauses == {"front": Pause()}
    assert "unknown origin" in (pauses.read().why("front") or "")
    assert pauses.pause("front", PauseOrigin.COMMAND).changed == ()
    assert pauses.resume_level("front").changed == ()
    assert holds(pauses, "front")
    assert open_files() == before


def test_what_can_be_no_camera_concerns_nobody(pauses: Pauses) -> None:
    """Drafts and files of other names pause nobody, and are left alone."""
    for name in ("front.new", "Front", "README.txt"):
        (pauses.folder / name).touch()
    assert pauses.read().pauses == {}
    pauses.resume(None)
    assert len(list(pauses.folder.iterdir())) == 3


@pytest.mark.parametrize("break_", [lambda folder: folder.rmdir(), lambda folder: (folder.rmdir(), folder.touch())])
def test_a_folder_that_cannot_be_read_pauses_all(pauses: Pauses, break_: Callable[[Path], object]) -> None:
    """Where it cannot be told who is paused, everybody is, and the sentence says why."""
    break_(pauses.folder)
    why = pauses.read().why("front") or ""
    assert why.startswith(f"whether it is paused is not known, so it is: {pauses.folder} cannot be read: ")
    assert pauses.read().why("back") == why


def test_the_folder_is_made(tmp_path: Path) -> None:
    """A folder that is not there is made at the start and by the first pause; that it cannot be is told by reading."""
    fresh = Pauses(tmp_path / "a" / "b")
    fresh.pause("front", PauseOrigin.COMMAND)
    assert holds(fresh, "front")
    (tmp_path / "file").touch()
    blocked = Pauses(tmp_path / "file")
    blocked.prepare()
    assert "Not a directory" in (blocked.read().why("front") or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_root_makes_is_the_services(tmp_path: Path) -> None:
    """A folder that root's command makes belongs to whom the state does, and its files can be read by the service."""
    os.chown(tmp_path, 4321, 4321)
    before = os.umask(0o077)
    try:
        Pauses(tmp_path).pause("front", PauseOrigin.COMMAND)
    finally:
        os.umask(before)
    folder = tmp_path / "paused"
    assert (folder.stat().st_uid, folder.stat().st_gid) == (4321, 4321)
    assert (folder / "front").stat().st_mode & 0o777 == 0o644


def test_no_permission(pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system forbids it, one sentence says what was refused, and as whom to do it."""

    def refuse(path: object, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PauseError) as caught:
        pauses.pause("front", PauseOrigin.COMMAND)
    assert caught.value.permission
    owner = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
    file = pauses.folder / "front"
    what = f"the pause of front cannot be written down: {file}: Permission denied"
    assert str(caught.value) == f"{what}; do it as {owner} or with sudo"


def test_a_disk_without_an_inode(tmp_path: Path) -> None:
    """A full disk refuses no pause: spare files are renamed, and keep who made it and when."""
    with tiny_disk(tmp_path / "disk", 64, inodes=16) as disk:
        pauses = Pauses(disk)
        pauses.prepare()
        pauses.tend()
        fill(disk)
        for name in CAMERAS:
            assert pauses.pause(name, PauseOrigin.PAUSE_SET).changed == (name,)
        assert {pause.origin for pause in pauses.read().pauses.values()} == {PauseOrigin.PAUSE_SET}
        assert all(pause.at for pause in pauses.read().pauses.values())
        assert not pauses.is_doubtful()
        assert pauses.resume_level("front").changed == ("front",)
        pauses.tend()  # which finds the inode that became free
        assert pauses.pause("front", PauseOrigin.COMMAND).changed == ("front",)


CAMERAS = ("front", "back", "side")


def fill(disk: Path) -> None:
    """Leave neither blocks nor inodes."""
    with suppress(OSError):
        (disk / "big").write_bytes(bytes(1 << 20))
    with suppress(OSError):
        for number in range(100):
            (disk / str(number)).touch()


def test_a_state_that_is_read_only(tmp_path: Path) -> None:
    """A pause is written to the runtime's folder, read from there, and moved over once that can be done."""
    state, runtime = tmp_path / "state", tmp_path / "run"
    pauses = Pauses(state, runtime)
    pauses.prepare()
    with read_only(state):
        assert pauses.pause("front", PauseOrigin.PAUSE_SET).in_force == ("front",)
        assert pauses.pause("front", PauseOrigin.COMMAND).changed == ()
        assert pauses.resume_level("front").changed == ()
        pauses.pause("back", PauseOrigin.COMMAND)
        assert pauses.resume("back").changed == ("back",)
        assert [*Pauses(state, runtime).tend()[0].pauses] == ["front"]
        assert [file.name for file in (runtime / "paused").iterdir()] == ["front"]
        with pytest.raises(PauseError, match="Read-only"):
            Pauses(state).pause("front", PauseOrigin.COMMAND)
    assert [*pauses.tend()[0].pauses] == ["front"]
    assert not list((runtime / "paused").iterdir())
    assert pauses.read().pauses["front"].origin is PauseOrigin.COMMAND
    assert pauses.resume(None).changed == ("front",)


def test_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that cannot be written after a start of the machine is a doubt; in the same start it is none."""
    state, runtime, boot = tmp_path / "state", tmp_path / "run", tmp_path / "boot_id"
    monkeypatch.setattr(state_dir, "BOOT", boot)
    boot.write_text("one\n")
    pauses = Pauses(state, runtime)
    pauses.prepare()
    assert not pauses.is_doubtful()
    with read_only(state):
        assert not pauses.is_doubtful()
        assert Pauses(state).is_doubtful()  # nothing that lasts until the next start
        boot.write_text("two\n")
        assert pauses.is_doubtful()
    assert not pauses.is_doubtful()


@pytest.mark.parametrize("act", [lambda p: p.pause("front", PauseOrigin.COMMAND), lambda p: p.resume(None)])
def test_a_state_that_is_no_folder(tmp_path: Path, act: Callable[[Pauses], object]) -> None:
    """What is no question of permission is reported without a remedy that would not help."""
    (tmp_path / "paused").touch()
    with pytest.raises(PauseError, match=r"Not a directory$") as caught:
        act(Pauses(tmp_path))
    assert not caught.value.permission


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "Front", "x" * 65, "all.new"])
def test_only_names_become_files(pauses: Pauses, name: str) -> None:
    """A name that no camera can have, out of a request, reaches no file."""
    acts: list[Callable[[], object]] = [
        lambda: pauses.pause(name, PauseOrigin.REQUEST),
        lambda: pauses.resume(name),
        lambda: pauses.resume_level(name),
    ]
    for act in acts:
        with pytest.raises(PauseError, match="no name of a camera"):
            act()
    assert [path.name for path in pauses.folder.parent.iterdir()] == ["paused"]


def test_a_full_disk_pauses_all_the_same(pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there before anything is written to it, so a pause needs no room for its content."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    assert pauses.pause("front", PauseOrigin.COMMAND).in_force == ("front",)
    assert holds(pauses, "front")
