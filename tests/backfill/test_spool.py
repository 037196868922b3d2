"""The spool on the disk: within its bounds, in order, private, and gone when it is to be."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backfill.helpers import Bench, ago, put_segment
from cameras.helpers import CLOCK
from interhuman2mqtt.backfill.segment import Moment, moment, parse
from interhuman2mqtt.backfill.spool import HEADROOM, SpoolBounds
from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.backfill.store import KnownGap, SpoolStore
from interhuman2mqtt.cli import main
from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.runtime.clock import Instant
from interhuman2mqtt.upload.client import UploadClient
from upload.helpers import FAR, KEY

NOW = Instant(wall=1_790_000_000.0, synced=True, boot="11111111-2222", uptime=5000.0)


def a_bench(folder: Path) -> Bench:
    return Bench(folder, UploadClient(FAR, ApiKey(KEY)))


def files(folder: Path, pattern: str) -> list[Path]:
    """What there is."""
    return list(folder.rglob(pattern))


class Worker:
    """A capture process that only remembers where it is to spool."""

    def __init__(self) -> None:
        self.folders: list[str | None] = []

    def spool(self, folder: str | None) -> None:
        self.folders.append(folder)


def test_when_a_segment_was_captured() -> None:
    """Within a boot BOOTTIME says it, whatever was done to the clock; across boots the date that it was given."""
    same = Moment("11111111", 4000.0, 5.0, synced=False)
    assert same.on(NOW) == 4000
    assert same.is_certain(NOW)
    earlier = Moment("99999999", 4000.0, 1_789_990_000.0, synced=True)
    assert earlier.on(NOW) == -5000
    assert earlier.is_certain(NOW)
    assert not Moment("99999999", 4000.0, 5.0, synced=False).is_certain(NOW)


@pytest.mark.parametrize("name", ["a.mp4", "1-2-3s.mp4", "1-2-3x-4.mp4", "1-2-3s-4.part", "..-1-1s-1.mp4"])
def test_what_is_no_segment(name: str) -> None:
    """Files of other names are none of ours."""
    assert parse(Path(name), 1) is None


async def test_the_oldest_goes_first(tmp_path: Path) -> None:
    """Beyond the size the oldest segments are deleted, beyond the age all that are older, and both are counted."""
    paths = [put_segment(tmp_path, seconds_ago, content=b"x" * 1000) for seconds_ago in (500, 400, 300, 200)]
    bench = a_bench(tmp_path)
    await bench.tend(lambda: bench.counters.spool_segments == 2, SpoolBounds(HEADROOM + 2500, 3600))
    assert bench.names() == [path.name for path in paths[2:]]
    await bench.tend(lambda: bench.counters.spool_segments == 1, SpoolBounds(1 << 30, 250))
    assert bench.names() == [paths[3].name]
    assert bench.counters.spool_dropped_seconds == 12
    assert (bench.counters.spool_segments, bench.counters.spool_bytes) == (1, 1000)


async def test_what_is_uploaded_is_not_dropped(tmp_path: Path) -> None:
    """The bounds leave the segment alone that is just being uploaded."""
    path = put_segment(tmp_path, 500)
    put_segment(tmp_path, 400)
    bench = a_bench(tmp_path)
    await bench.spool.open()
    segment = bench.spool.oldest()
    assert segment is not None
    with bench.spool.processing(segment):
        await bench.tend(lambda: len(bench.names()) == 1, SpoolBounds(1 << 30, 100))
    assert bench.names() == [path.name]


async def test_what_is_no_file_in_a_spool(tmp_path: Path) -> None:
    """A link, a pipe, a folder and what has just gone are no segments, and hide none that is."""
    path = put_segment(tmp_path, 400)
    secret = tmp_path / "secret"
    secret.write_bytes(b"of somebody else")
    names = [path.with_name(f"abcd1234-{number}-{number}s-4000.mp4") for number in range(1, 5)]
    names[0].symlink_to(secret)
    names[1].symlink_to(tmp_path / "nowhere")
    os.mkfifo(names[2])
    names[3].mkdir()
    bench = a_bench(tmp_path)
    await bench.spool.open()
    await bench.tend(lambda: bench.counters.spool_segments)
    assert bench.counters.spool_segments == 1
    found = bench.spool.oldest()
    assert found is not None
    assert found.path == path
    await bench.spool.forget()
    assert secret.read_bytes() == b"of somebody else"


async def test_a_range_that_is_forgotten_has_all_that_may_be_of_it(tmp_path: Path) -> None:
    """A segment from before a start of the machine, by a clock that nothing had set, may be from any time, and goes."""
    media = put_segment(tmp_path, 400).parent
    for name in ("abcd1234-1000-1000u-4000.mp4", "abcd1234-1000-1000s-4000.mp4"):
        (media / name).write_bytes(b"x")
    bench = a_bench(tmp_path)
    await bench.spool.open()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert (await bench.spool.forget(hour_ago, hour_ago + timedelta(minutes=1))).segments == 1
    assert next(iter(bench.names())).split("-")[2] == "1000s"


async def test_a_spool_on_another_disk(tmp_path: Path) -> None:
    """Where the folder is a link, what was spooled goes with the camera, and nothing else that is there."""
    disk = tmp_path / "disk"
    path = put_segment(disk, 400)
    (disk / "front" / "mine").touch()
    link = tmp_path / "spool" / "front"
    link.parent.mkdir()
    link.symlink_to(disk / "front")
    await Spools(link.parent, CLOCK).keep_only([])
    assert not path.exists()
    assert (disk / "front" / "mine").exists()
    assert not link.is_symlink()


async def test_forgetting_a_range(tmp_path: Path) -> None:
    """What was captured in it is gone, the rest is there; the capture process writes elsewhere from then on."""
    paths = [put_segment(tmp_path, seconds_ago) for seconds_ago in (500, 400, 300)]
    half = paths[2].with_suffix(".part")
    half.touch()
    bench, worker = a_bench(tmp_path), Worker()
    await bench.spool.open()
    bench.spool.attach(worker)
    now = datetime.now(UTC).timestamp()
    start, end = (datetime.fromtimestamp(now - seconds, UTC) for seconds in (450, 350))
    assert (await bench.spool.forget(start, end)).segments == 1
    assert bench.names() == [paths[0].name, paths[2].name]
    assert worker.folders[0] != worker.folders[1]
    assert not half.parent.exists()
    assert files(tmp_path, "*.part") == []
    assert (await bench.spool.forget()).segments == 2
    assert bench.names() == []


def test_forgetting_without_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command deletes what a daemon that does not run has spooled, of that camera alone."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    path = put_segment(tmp_path / "spool", 300)
    (tmp_path / "outbox.sqlite").touch()
    for nobody in ("other", "..", "."):
        assert main(["forget", nobody]) == 69
    assert path.exists()
    assert main(["forget", "front"]) == 0
    assert "1 files of 4 s were spooled, and are gone" in capsys.readouterr().out
    assert files(tmp_path, "*.mp4") == []


async def test_a_later_life_finds_what_an_earlier_one_left(tmp_path: Path) -> None:
    """Segments and gaps outlive the daemon; what was never whole is removed; nobody else may read any of it."""
    put_segment(tmp_path, 300)
    (tmp_path / "front" / "segments-1" / "x.part").touch()
    first = a_bench(tmp_path)
    gap = KnownGap("gap/1", moment(ago(300), CLOCK.instant()), 12.0, Reason.CONNECTION_LOST)
    first.spool.add_gap(gap)
    await first.tend((tmp_path / "front" / "spool.json").exists)
    second = a_bench(tmp_path)
    await second.spool.open()
    assert second.spool.gaps == (gap,)
    assert len(second.names()) == 1
    assert files(tmp_path, "*.part") == []
    assert (tmp_path / "front" / "spool.json").stat().st_mode & 0o077 == 0


NESTED = b'{"schema": 1, "more": ' + b"[" * 100_000


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 99}', b'{"schema": 1, "gaps": 5}', NESTED])
async def test_state_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    """It is moved away, and the segments are uploaded all the same."""
    put_segment(tmp_path, 300)
    (tmp_path / "front" / "spool.json").write_bytes(content)
    bench = a_bench(tmp_path)
    await bench.spool.open()
    assert bench.spool.oldest() is not None
    assert bench.spool.kept.gaps == ()
    assert len(list((tmp_path / "front").glob("spool.json.*"))) == 1


async def test_a_camera_that_is_gone_takes_its_spool_with_it(tmp_path: Path) -> None:
    """What is configured keeps its spool; the folder of every other camera is deleted."""
    put_segment(tmp_path, 300)
    (tmp_path / "other" / "segments-1").mkdir(parents=True)
    spools = Spools(tmp_path, CLOCK)
    await spools.keep_only({"front"})
    assert [path.name for path in files(tmp_path, "*") if path.parent == tmp_path] == ["front"]
    assert spools.of("front") is spools.of("front")
    await spools.keep_only(set())
    assert files(tmp_path, "*") == []


def test_segments_are_found_in_the_newest_folder(tmp_path: Path) -> None:
    """A crash in the middle of forgetting leaves one folder that counts."""
    for number in (2, 10):
        (tmp_path / f"segments-{number}").mkdir()
    assert SpoolStore(tmp_path).media().name == "segments-10"
