"""What becomes of files that another version of the program wrote."""

from pathlib import Path

from interhuman2mqtt.runtime import format_versions


def test_what_is_set_aside_is_found_by_who_can_read_it(tmp_path: Path) -> None:
    """Each with its format and when it was set aside, oldest first; and no other file, whatever it is called."""
    file = tmp_path / "budget.json"
    for name in ("newer-x", "newer-9", "newer-2-20261128T110000Z.damaged-1", "damaged-1", "new", "format-1"):
        (tmp_path / f"budget.json.{name}").touch()
    (tmp_path / "budget.json2.newer-2-20261101Z").touch()
    for version, stamp in ((3, "20261103Z"), (2, "20261102Z"), (4, "20261101Z")):
        file.write_text(stamp)
        assert format_versions.set_aside(file, version, stamp).read_text() == stamp
        assert not file.exists()
    found = format_versions.all_set_aside(file, 3)
    assert [(each.version, each.stamp) for each in found] == [(2, "20261102Z"), (3, "20261103Z")]
    format_versions.remove(found[0])
    assert [each.version for each in format_versions.all_set_aside(file, 4)] == [4, 3]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Two files that are set aside in the same moment, or on the same day, both stay, with what belongs to each."""
    file = tmp_path / "outbox.sqlite"
    for content in ("a", "b", "c"):
        file.write_text(content)
        Path(f"{file}-wal").write_text(content)
        format_versions.set_aside(file, 2, "2026-11-28", ("", "-wal"))
    found = format_versions.all_set_aside(file, 2)
    assert [each.path.read_text() for each in found] == ["a", "b", "c"]
    assert [Path(f"{each.path}-wal").read_text() for each in found] == ["a", "b", "c"]
    assert len([*tmp_path.iterdir()]) == 6


def test_the_copy_is_closed_to_others(tmp_path: Path) -> None:
    """The copy before a migration has the content that there was, and is as private as the file; the newest stays."""
    file = tmp_path / "coverage.json"
    for content in (b"first", b"second"):
        file.write_bytes(content)
        file.chmod(0o644)
        copy = format_versions.copy_before_migration(file, 1)
        assert (copy.name, copy.read_bytes()) == ("coverage.json.format-1", content)
    assert (tmp_path / "coverage.json.format-1").stat().st_mode & 0o777 == 0o600
