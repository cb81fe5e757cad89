"""The writer's system calls, one by one, when they fail."""

import errno
import os
from pathlib import Path

import pytest

from observer.kit.errors import StorageFailed
from observer.store.segment import SegmentHeader, frame, read_segment, scan_segment, seed_of
from observer.store.segment_writer import RESERVE_BYTES, DiskFull, SegmentWriter
from tests.observer.store.test_segment import payload
from tests.samples.crash_disk import CrashDisk

WAL = Path("/spool/run/wal")
HEADER = SegmentHeader("0000000000000000007-aa", "run", "boot", "0.1", 7, 8, 40)


class Faults:
    """Does to the n-th call of a name from now on what it was told, once."""

    def __init__(self, disk: CrashDisk) -> None:
        self._planned: list[tuple[str, OSError | int]] = []
        disk.fault = self

    def __call__(self, call: str) -> int | None:
        if self._planned and self._planned[0][0] == call:
            _, what = self._planned.pop(0)
            if isinstance(what, OSError):
                raise what
            return what
        return None

    def plan(self, call: str, what: int) -> None:
        """An errno, or for write a number of bytes taken (negative)."""
        self._planned.append((call, -what if what <= 0 else OSError(what, os.strerror(what))))


def opened() -> tuple[CrashDisk, SegmentWriter, Faults]:
    disk = CrashDisk()
    writer = SegmentWriter.create(WAL, HEADER, disk)
    writer.append(payload(40))
    disk.calls.clear()
    return disk, writer, Faults(disk)


def numbers(disk: CrashDisk, path: Path) -> list[int]:
    return [batch.number for batch in read_segment(path, disk)]


def test_a_batch_is_one_write() -> None:
    disk, writer, _ = opened()

    writer.append(payload(41))

    assert disk.calls == ["write"]
    assert disk.data(writer.path).endswith(frame(payload(41), seed_of(HEADER.segment_id)))


def test_sealing_syncs_before_the_name_changes_and_the_name_after() -> None:
    disk, writer, _ = opened()

    sealed = writer.seal()

    assert disk.calls == ["write", "truncate", "sync", "rename", "sync_folder", "close"]
    assert sealed.suffix == ".wal"
    assert numbers(disk, sealed) == [40]


def test_a_short_write_is_cut_back_at_once_and_done_again() -> None:
    disk, writer, faults = opened()
    faults.plan("write", -4)

    writer.append(payload(41))

    assert disk.calls == ["write", "truncate", "write"]
    assert writer.short_writes == 1
    assert numbers(disk, writer.seal()) == [40, 41]


def test_a_disk_that_takes_only_parts_and_gives_no_reason_has_failed() -> None:
    disk, writer, faults = opened()
    for _ in range(3):
        faults.plan("write", -4)

    with pytest.raises(StorageFailed, match="taken in part only"):
        writer.append(payload(41))
    assert scan_segment(writer.path, disk).flaw == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_a_valid_file_that_goes_on(number: int) -> None:
    disk, writer, faults = opened()
    faults.plan("write", -4)
    faults.plan("write", number)

    with pytest.raises(DiskFull, match=r"no room on the disk .* resumes by itself"):
        writer.append(payload(41))
    assert disk.calls == ["write", "truncate", "write", "truncate"]
    assert scan_segment(writer.path, disk).flaw == ""
    writer.append(payload(41))

    assert numbers(disk, writer.seal()) == [40, 41]


def test_room_is_found_missing_before_the_batch_that_needs_it() -> None:
    disk, writer, faults = opened()
    writer._reserved = writer.size
    faults.plan("reserve", errno.ENOSPC)

    with pytest.raises(DiskFull, match="no room"):
        writer.append(payload(41))

    assert disk.calls == ["reserve"]


def test_a_segment_that_finds_no_room_at_its_start_leaves_no_file() -> None:
    disk = CrashDisk(capacity_bytes=RESERVE_BYTES - 1)

    with pytest.raises(DiskFull, match="no room"):
        SegmentWriter.create(WAL, HEADER, disk)
    assert disk.paths() == []


@pytest.mark.parametrize("call", ["write", "sync", "truncate", "rename", "sync_folder", "reserve"])
def test_an_io_error_is_final(call: str) -> None:
    disk, writer, faults = opened()
    writer._reserved = writer.size  # so that the next batch asks for room
    if call == "truncate":
        faults.plan("write", -4)
    faults.plan(call, errno.EIO)

    def go_on() -> None:
        writer.append(payload(41))
        writer.seal()

    with pytest.raises(StorageFailed, match="the disk failed"):
        go_on()
    seen = len(disk.calls)
    for again in (lambda: writer.append(payload(41)), writer.sync, writer.seal):
        with pytest.raises(StorageFailed, match="the disk failed"):
            again()
    assert len(disk.calls) == seen  # the file was not touched again


def test_a_full_disk_at_a_sync_is_final_too() -> None:
    _, writer, faults = opened()
    faults.plan("sync", errno.ENOSPC)

    with pytest.raises(StorageFailed, match="the disk failed"):
        writer.sync()


def test_a_file_that_cannot_be_opened_is_named() -> None:
    disk = CrashDisk()
    faults = Faults(disk)
    faults.plan("create", errno.EROFS)
    faults.plan("reopen", errno.EIO)
    path = WAL / f"{HEADER.segment_id}.open"

    with pytest.raises(StorageFailed, match=rf"{path}: the disk failed \(Read-only"):
        SegmentWriter.create(WAL, HEADER, disk)
    with pytest.raises(StorageFailed, match=rf"{path}: the disk failed \(Input"):
        SegmentWriter.reopen(path, HEADER.segment_id, 0, 0, disk)


def test_sealing_can_be_tried_again_when_the_disk_was_full() -> None:
    disk, writer, faults = opened()
    faults.plan("rename", errno.ENOSPC)
    with pytest.raises(DiskFull, match="no room"):
        writer.seal()

    sealed = writer.seal()

    assert numbers(disk, sealed) == [40]


def test_on_a_real_disk_room_is_set_aside_and_given_back(tmp_path: Path) -> None:
    writer = SegmentWriter.create(tmp_path, HEADER)
    writer.append(payload(40))
    open_stat = writer.path.stat()

    sealed = writer.seal().stat()

    assert open_stat.st_size == sealed.st_size - 17  # the reader of a live file sees no zeros, only frames
    assert sealed.st_blocks * 512 < RESERVE_BYTES
    assert open_stat.st_blocks * 512 >= RESERVE_BYTES or os.uname().sysname != "Linux"
