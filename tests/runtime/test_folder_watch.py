"""Every change in a watched folder is known, and where that cannot be, nothing is taken for unchanged."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interhuman2mqtt.runtime import folder_watch
from interhuman2mqtt.runtime.folder_watch import FolderWatch

CHANGES: dict[str, Callable[[Path], object]] = {
    "made": lambda folder: (folder / "all").touch(),
    "removed": lambda folder: (folder / "front").unlink(),
    "written": lambda folder: (folder / "front").write_text("{}"),
    "renamed": lambda folder: (folder / "front").rename(folder / "back"),
    "moved in": lambda folder: (folder.parent / "beside").rename(folder / "beside"),
    "moved out": lambda folder: (folder / "front").rename(folder.parent / "front"),
    "link": lambda folder: (folder / "all").symlink_to("nowhere"),
    "folder": lambda folder: (folder / "all").mkdir(),
    "mode": lambda folder: folder.chmod(0),
    "gone": shutil.rmtree,
    "folder moved": lambda folder: folder.rename(folder.parent / "elsewhere"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, and one beside it."""
    folder = tmp_path / "paused"
    folder.mkdir()
    (folder / "front").touch()
    (tmp_path / "beside").touch()
    return folder


@pytest.fixture
def watch(folder: Path) -> Iterator[FolderWatch]:
    """Watches the folder."""
    watch = FolderWatch([folder])
    watch.arm()
    yield watch
    watch.close()


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen_once(folder: Path, watch: FolderWatch, change: str) -> None:
    """Whatever it is, from another process or ours; reading is none."""
    list(folder.iterdir())
    (folder / "front").read_text()
    assert not watch.may_have_changed()
    CHANGES[change](folder)
    assert watch.may_have_changed()
    assert not watch.may_have_changed()


def test_more_changes_than_the_kernel_keeps(folder: Path, watch: FolderWatch) -> None:
    """What does not fit into its queue (16,384 events) is a change as well."""
    for _ in range(6000):
        (folder / "all").touch()
        (folder / "all").unlink()
    assert watch.may_have_changed()
    assert not watch.may_have_changed()


def test_a_folder_that_was_replaced(folder: Path, watch: FolderWatch) -> None:
    """It is watched once it was looked at, as before."""
    shutil.rmtree(folder)
    watch.arm()
    assert watch.may_have_changed()
    folder.mkdir()
    watch.arm()
    watch.may_have_changed()
    assert not watch.may_have_changed()
    (folder / "all").touch()
    assert watch.may_have_changed()


def test_what_cannot_be_watched_may_have_changed(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there, one of two, a file system of another machine, and one that was never looked at."""
    never = FolderWatch([folder])
    assert never.may_have_changed()
    half = FolderWatch([folder, tmp_path / "missing"])
    half.arm()
    monkeypatch.setattr(folder_watch, "LOCAL", {"nfs": 0x6969})
    remote = FolderWatch([folder])
    remote.arm()
    for watch in (half, remote):
        assert watch.may_have_changed()
        assert watch.may_have_changed()
        watch.close()
