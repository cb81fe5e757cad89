"""Numbers, segments, syncs and pauses."""

import errno
import os
from pathlib import Path

import pytest

from observer.kit.errors import StorageFailed
from observer.store.batch import Batch, Dropped, GapSeen, Lateness, OutcomeSeen, Quarantined
from observer.store.pause import MAX_CARRIED, Pause
from observer.store.segment import SEALED, read_header, read_segment
from observer.store.segment_log import GROUP_S, RETRY_S, LogRules, SegmentLog
from observer.store.segment_writer import RESERVE_BYTES
from observer.store.watermarks import Level, Watermarks
from tests.samples.batches import ALIVE, QUARTER_NS, make_batch
from tests.samples.crash_disk import CrashDisk

SPOOL = Path("/spool")
MB = 1 << 20
NEVER_FULL = Watermarks(0, 0, 0, 0)


def make_log(disk: CrashDisk, sync_s: float | None = 1.0, watermarks: Watermarks = NEVER_FULL, size: int = 64 * MB):
    return SegmentLog(SPOOL, "run", LogRules(sync_s, size, 900, watermarks), disk)


def sealed(disk: CrashDisk) -> list[Path]:
    return [path for path in disk.paths() if path.suffix == SEALED]


def read_all(disk: CrashDisk) -> list[Batch]:
    return [batch for path in sealed(disk) for batch in read_segment(path, disk)]


def test_a_segment_ends_five_seconds_after_the_quarter_so_that_the_last_tick_is_in_it() -> None:
    disk = CrashDisk()
    log = make_log(disk)
    for index, second in enumerate([10, 899, 900, 904.5, 905, 1804, 1805]):
        batch = make_batch(index)
        batch.wall_ns = QUARTER_NS + int(second * 1e9)
        log.write(batch, ALIVE, second)
    log.close()

    starts = [(read_header(path, disk).wall_ns - QUARTER_NS) / 1e9 for path in sealed(disk)]

    assert starts == [10, 905, 1805]
    assert [batch.number for batch in read_all(disk)] == list(range(7))


def test_a_segment_ends_at_its_size_and_each_begins_with_what_is_alive() -> None:
    disk = CrashDisk()
    log = make_log(disk, size=2_000)
    for index in range(30):
        log.write(make_batch(index), ALIVE, index / 2)
    log.close()

    firsts = [next(read_segment(path, disk)) for path in sealed(disk)]

    assert len(firsts) > 2
    assert all(tuple(batch.notes[: len(ALIVE)]) == ALIVE for batch in firsts)
    assert [read_header(path, disk).first_batch for path in sealed(disk)] == [batch.number for batch in firsts]
    others = [batch for batch in read_all(disk) if batch.number not in {first.number for first in firsts}]
    assert all(len(batch.notes) == 1 for batch in others)


def test_names_sort_though_the_wall_clock_went_back() -> None:
    disk = CrashDisk()
    log = make_log(disk, size=1)
    for index in (5, 4, 3, 9, 0):
        log.write(make_batch(index), ALIVE, index / 2)
    log.close()

    assert [batch.number for batch in read_all(disk)] == list(range(5))
    assert log.state.segments_sealed == 5


@pytest.mark.parametrize(("sync_s", "syncs", "durable"), [(0.0, 8, 7), (1.0, 2, 5), (None, 0, -1)])
def test_durability_decides_when_batches_are_forced_to_the_disk(sync_s: float | None, syncs: int, durable: int) -> None:
    disk = CrashDisk()
    log = make_log(disk, sync_s)
    for index in range(8):
        log.write(make_batch(index), ALIVE, index / 2)

    assert disk.calls.count("sync") == 1 + syncs  # one for the new segment's header
    assert (log.state.written_number, log.state.durable_number) == (7, durable)


def test_batches_that_wait_are_forced_to_the_disk_together_but_never_late() -> None:
    disk = CrashDisk()
    log = make_log(disk, 0.0)
    durable: list[int] = []
    for index, at_s in enumerate([0.0, 0.1, 0.2, GROUP_S, GROUP_S + 0.1, GROUP_S + 0.2]):
        log.write(make_batch(index), ALIVE, at_s, is_last=index == 5)
        durable.append(log.state.durable_number)

    assert durable == [-1, -1, -1, 3, 3, 5]


def test_without_a_new_batch_the_last_one_is_synced_in_time() -> None:
    disk = CrashDisk()
    log = make_log(disk)
    log.write(make_batch(0), ALIVE, 100.0)
    due = log.due_in_s(100.25)

    log.maintain(100.0 + 0.25 + due)

    assert due == 0.75
    assert (log.state.durable_number, log.state.durable_wall_ns) == (0, make_batch(0).wall_ns)


def test_a_filling_disk_loses_raw_frames_first_and_says_so() -> None:
    disk = CrashDisk(100 * MB)
    log = make_log(disk, watermarks=Watermarks(0.2, 0.1, 0.01, 0))
    log.write(make_batch(0), ALIVE, 0)
    disk.capacity_bytes = 100 * MB
    fill(disk, 91 * MB)

    log.write(make_batch(1), ALIVE, 1)
    log.close()

    _, second = read_all(disk)
    assert log.state.level is Level.NO_RAW
    assert second.raws == []
    assert len(second.events) == 2
    assert [note.what for note in second.notes if isinstance(note, Dropped)] == ["raw"]


def test_a_full_disk_stops_recording_and_it_resumes_with_a_gap_in_a_new_segment() -> None:
    disk = CrashDisk(100 * MB)
    log = make_log(disk, watermarks=Watermarks(0.2, 0.1, 0.05, 0))
    log.write(make_batch(0), ALIVE, 0)
    ballast = fill(disk, 96 * MB)
    skipped = [make_batch(i) for i in range(1, 5)]
    skipped[2].notes.append(OutcomeSeen("m", 1.0, "venue", 5))
    for index, batch in enumerate(skipped, start=1):
        log.write(batch, ALIVE, index)
    during = log.state
    disk.unlink(ballast)

    log.write(make_batch(5), ALIVE, 9)
    log.close()

    assert (during.level, during.segment, during.segments_sealed) == (Level.STOPPED, "", 1)
    assert log.state.level is Level.OK
    first, second = read_all(disk)
    gap, *counts, outcome = second.notes[:5]
    assert (first.number, second.number) == (0, 1)
    assert gap == GapSeen(-1, "", make_batch(0).wall_ns, make_batch(4).wall_ns, "disk full")
    assert {(note.what, note.rows) for note in counts if isinstance(note, Dropped)} == {
        ("raw", 12), ("events", 8), ("ticks", 4),
    }  # fmt: skip
    assert outcome == OutcomeSeen("m", 1.0, "venue", 5)
    assert tuple(second.notes[5:7]) == ALIVE
    assert dict(log.state.skipped_rows) == {"raw": 12, "events": 8, "ticks": 4, "notes": 0}


def test_a_disk_that_says_full_though_it_shows_room_is_asked_again_later() -> None:
    disk = CrashDisk()
    log = make_log(disk, size=1)
    log.write(make_batch(0), ALIVE, 0)
    quota_is_full = True

    def fault(call: str) -> None:
        if quota_is_full and call in ("create", "reserve"):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    disk.fault = fault
    log.write(make_batch(1), ALIVE, 1)
    disk.calls.clear()
    log.write(make_batch(2), ALIVE, 2)
    asked = disk.calls.count("create")
    quota_is_full = False
    log.write(make_batch(3), ALIVE, 2 + RETRY_S)
    log.close()

    assert asked == 0
    assert [batch.wall_ns for batch in read_all(disk)] == [make_batch(0).wall_ns, make_batch(3).wall_ns]
    assert log.state.write_errors == 1


def test_a_segment_that_finds_no_room_to_be_sealed_is_sealed_before_anything_else_is_written() -> None:
    disk = CrashDisk()
    log = make_log(disk, size=1)
    log.write(make_batch(0), ALIVE, 0)
    is_full = True

    def fault(call: str) -> None:
        if is_full and call == "rename":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.fault = fault
    for index in range(1, 12):
        log.write(make_batch(index), ALIVE, index)
    during = log.state
    is_full = False
    log.write(make_batch(12), ALIVE, 30)
    log.close()

    assert (during.level, during.segments_sealed, during.written_number) == (Level.STOPPED, 0, 0)
    assert [batch.wall_ns for batch in read_all(disk)] == [make_batch(0).wall_ns, make_batch(12).wall_ns]


def test_a_pause_at_the_very_start_leaves_no_empty_segment() -> None:
    disk = CrashDisk(RESERVE_BYTES // 2)
    log = make_log(disk)
    log.write(make_batch(0), ALIVE, 0)
    log.close()

    assert disk.paths() == []
    assert log.state.level is Level.STOPPED


def test_an_io_error_comes_out_and_seals_nothing() -> None:
    disk = CrashDisk()
    log = make_log(disk, 0.0)
    log.write(make_batch(0), ALIVE, 0)

    def fault(call: str) -> None:
        if call == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.fault = fault

    with pytest.raises(StorageFailed, match="the disk failed"):
        log.write(make_batch(1), ALIVE, 0.5)
    assert log.state.durable_number == 0
    assert sealed(disk) == []


def test_a_long_pause_keeps_so_many_notes_and_counts_the_rest() -> None:
    pause = Pause()
    batch = make_batch(0)
    batch.notes = [*[OutcomeSeen("m", 1.0, "v", 1)] * (MAX_CARRIED + 3), Lateness(1, 2), Quarantined(0, 0, "r")]

    pause.skip(batch, 0)

    notes = pause.notes()
    assert sum(isinstance(note, OutcomeSeen) for note in notes) == MAX_CARRIED
    assert [(n.what, n.rows) for n in notes if isinstance(n, Dropped) and n.what == "notes"] == [("notes", 3)]
    pause.clear()
    assert pause.notes() == []


def fill(disk: CrashDisk, size: int) -> Path:
    """Have somebody else take space."""
    path = Path("/somebody/else")
    fd = disk.create(path)
    disk.reserve(fd, 0, size)
    return path
