"""What a crash left is made whole, once."""

import errno
import os
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording, StorageFailed
from observer.store.recovery import recover
from observer.store.segment import SegmentHeader, header_bytes, read_segment
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.watermarks import Watermarks
from tests.samples.batches import ALIVE, make_batch
from tests.samples.crash_disk import CrashDisk


def crash(folder: Path, run_id: str = "run", n: int = 5, tail: bytes = b"") -> Path:
    """Leave an open segment of `n` batches and a tail; return its path."""
    log = SegmentLog(folder, run_id, LogRules(1.0, 1 << 30, 900, Watermarks(0, 0, 0, 0)))
    for index in range(n):
        log.write(make_batch(index), ALIVE, index / 2)
    path = folder / run_id / "wal" / log.state.segment
    with path.open("ab") as file:
        file.write(tail)
    return path


def test_an_open_segment_is_sealed_and_its_torn_tail_set_aside(tmp_path: Path) -> None:
    path = crash(tmp_path, tail=b"half a frame")

    done = recover(tmp_path)

    (segment,) = done.segments
    assert segment.path == path.with_suffix(".wal")
    assert (segment.batches, segment.torn_bytes) == (5, 12)
    assert [batch.number for batch in read_segment(path.with_suffix(".wal"))] == list(range(5))
    (tail,) = (tmp_path / "run" / "bad").iterdir()
    assert tail.read_bytes() == b"half a frame"
    assert tail.name.startswith(path.stem)
    assert not path.exists()


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    crash(tmp_path, tail=b"x")
    recover(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    done = recover(tmp_path)

    assert done.segments == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_segment_that_had_its_end_mark_only_gets_its_name(tmp_path: Path) -> None:
    path = crash(tmp_path)
    sealed = recover(tmp_path).segments[0].path
    assert sealed is not None
    content = sealed.read_bytes()
    sealed.rename(path)

    done = recover(tmp_path)

    assert done.segments[0].batches == 5
    assert sealed.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"MLXRL", b"\0" * 4096, b"no segment at all, whatever wrote it here"])
def test_a_file_without_a_whole_header_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run" / "wal" / "7-aa.open"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    done = recover(tmp_path)

    assert (done.segments[0].path, done.segments[0].torn_bytes) == (None, len(content))
    kept = [file.read_bytes() for file in tmp_path.rglob("*.tail")]
    assert kept == ([content] if content else [])
    assert not path.exists()


def test_a_segment_without_a_batch_goes_and_so_does_its_empty_run(tmp_path: Path) -> None:
    header = SegmentHeader("7-aa", "run", "", "0", 7, 8, 0)
    path = tmp_path / "run" / "wal" / "7-aa.open"
    path.parent.mkdir(parents=True)
    path.write_bytes(header_bytes(header))

    recover(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_runs_with_segments_for_the_compactor_are_left_alone(tmp_path: Path) -> None:
    crash(tmp_path, "one")
    recover(tmp_path)
    crash(tmp_path, "two")
    (tmp_path / "stray").write_text("not ours")

    done = recover(tmp_path)

    assert len(done.segments) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "stray", "two"]


def test_half_written_files_are_deleted_and_named(tmp_path: Path) -> None:
    path = crash(tmp_path)
    (path.parent / "7-aa.tmp").write_text("half")

    assert recover(tmp_path).removed == ["7-aa.tmp"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_bad_frame_in_the_middle_ends_what_is_whole_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = crash(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    (segment,) = recover(tmp_path).segments

    assert 0 < segment.batches < 5
    assert "checksum" in segment.flaw
    tail = next(tmp_path.rglob("*.tail")).read_bytes()
    assert content.endswith(tail)
    assert len(tail) == segment.torn_bytes


def test_no_spool_at_all_is_no_trouble(tmp_path: Path) -> None:
    assert recover(tmp_path / "spool").segments == []


def test_a_segment_of_another_format_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.store.segment.VERSION", 2)
    crash(tmp_path)
    monkeypatch.undo()

    with pytest.raises(BadRecording, match="of format 2"):
        recover(tmp_path)


def full_disk(call_that_fails: str, number: int) -> tuple[CrashDisk, Path]:
    disk, spool = CrashDisk(), Path("/spool")
    log = SegmentLog(spool, "run", LogRules(1.0, 1 << 30, 900, Watermarks(0, 0, 0, 0)), disk)
    log.write(make_batch(0), ALIVE, 0)
    (path,) = disk.paths()
    disk.damage(path, disk.data(path) + b"torn")

    def fault(call: str) -> None:
        if call == call_that_fails:
            raise OSError(number, os.strerror(number))

    disk.fault = fault
    return disk, spool


@pytest.mark.parametrize("call", ["create", "write", "reserve", "rename"])
def test_without_room_to_seal_the_segment_waits_whole_for_the_next_start(call: str) -> None:
    disk, spool = full_disk(call, errno.ENOSPC)
    first = recover(spool, disk)
    disk.fault = lambda call: None

    second = recover(spool, disk)

    assert [path.suffix for path in first.postponed] == [".open"]
    assert (second.postponed, len(second.segments), second.segments[0].batches) == ([], 1, 1)


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "open_read", "unlink", "remove_folder"])
def test_a_disk_that_fails_stops_the_start(call: str) -> None:
    disk, spool = full_disk(call, errno.EIO)
    if call == "unlink":
        disk.create(spool / "run" / "wal" / "7.tmp")

    with pytest.raises(StorageFailed, match="start again"):
        recover(spool, disk)
