"""The thread between `put` and the disk."""

import errno
import os
import threading
from pathlib import Path

import pytest

from observer.kit.errors import StorageFailed, UsageError
from observer.store.batch import Connected, Note
from observer.store.segment import read_segment
from observer.store.spool import PROMISE, Spool
from tests.samples.batches import ALIVE, make_batch
from tests.samples.crash_disk import CrashDisk

SPOOL = Path("/spool")


def wait_until(said) -> None:
    for _ in range(2_000):
        if said():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not happen within 10 s")


def test_batches_put_are_on_the_real_disk_after_closing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "data" / "spool", "run", lambda: ALIVE)
    for index in range(20):
        spool.put(make_batch(index))
    spool.close()

    (path,) = (tmp_path / "data" / "spool" / "run" / "wal").iterdir()
    back = list(read_segment(path))
    state = spool.state()
    assert [batch.number for batch in back] == list(range(20))
    assert [batch.raws for batch in back] == [make_batch(i).raws for i in range(20)]
    assert (state.log.written_number, state.log.durable_number, state.failure) == (19, 19, "")
    assert state.log.bytes_written == path.stat().st_size
    assert (state.queued_batches, state.queued_bytes) == (0, 0)


def test_a_segment_names_what_was_alive_when_its_first_batch_began() -> None:
    disk = CrashDisk()
    alive: tuple[Note, ...] = (Connected(1, "v", "one", "u", 0),)
    spool = Spool(SPOOL, "run", lambda: alive, segment_bytes=1, fs=disk)
    alive = (Connected(2, "v", "two", "u", 0),)  # connection 1 ended within the first batch
    spool.put(make_batch(0))
    alive = (Connected(3, "v", "three", "u", 0),)
    spool.put(make_batch(1))
    spool.close()

    firsts = [next(read_segment(path, disk)).notes[0] for path in disk.paths()]

    assert [note.conn for note in firsts if isinstance(note, Connected)] == [1, 2]


def test_a_slow_disk_takes_what_waits_with_one_sync() -> None:
    disk, slow = CrashDisk(), threading.Event()
    spool = Spool(SPOOL, "run", lambda: ALIVE, durability="tick", fs=disk)
    spool.put(make_batch(0))
    wait_until(lambda: spool.state().log.durable_number == 0)
    synced = disk.calls.count("sync")
    disk.fault = lambda call: None if call != "sync" else slow.wait(10) and None
    spool.put(make_batch(1))
    wait_until(lambda: disk.calls.count("sync") == synced + 1)
    for index in range(2, 12):
        spool.put(make_batch(index))
    slow.set()
    wait_until(lambda: spool.state().log.durable_number == 11)

    assert disk.calls.count("sync") == synced + 2
    spool.close()


def test_an_io_error_reaches_the_next_put_and_nothing_is_written_again() -> None:
    disk = CrashDisk()
    spool = Spool(SPOOL, "run", lambda: ALIVE, durability="tick", fs=disk)
    spool.put(make_batch(0))
    wait_until(lambda: spool.state().log.durable_number == 0)

    def fault(call: str) -> None:
        if call == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.fault = fault
    spool.put(make_batch(1))
    wait_until(lambda: spool.state().failure)
    calls = len(disk.calls)

    with pytest.raises(StorageFailed, match="the disk failed .*Input/output error"):
        spool.put(make_batch(2))
    with pytest.raises(StorageFailed, match="the disk failed"):
        spool.close()
    assert len(disk.calls) == calls
    assert "the disk failed" in spool.state().failure


def test_a_mistake_in_the_code_stops_the_recording_too() -> None:
    spool = Spool(SPOOL, "run", lambda: ALIVE, fs=CrashDisk())
    broken = make_batch(0)
    broken.events = [object()]
    broken.raws = []
    broken.ticks = []
    with pytest.raises(TypeError):
        spool.put(broken)  # not even its size can be told
    broken.events = [(3, object())]
    spool.put(broken)
    wait_until(lambda: spool.state().failure)

    with pytest.raises(StorageFailed, match="Writing the log stopped with"):
        spool.put(make_batch(1))


def test_a_disk_that_hangs_holds_up_neither_put_nor_the_end() -> None:
    disk = CrashDisk()
    hangs = threading.Event()

    def fault(call: str) -> None:
        if call == "write":
            hangs.wait(10)

    disk.fault = fault
    spool = Spool(SPOOL, "run", lambda: ALIVE, fs=disk, queue_bytes=10_000)
    for index in range(30):
        spool.put(make_batch(index))
    queued = spool.state()

    with pytest.raises(StorageFailed, match=r"did not take the last \d+ batches within 0 s"):
        spool.close(timeout_s=0.05)

    hangs.set()
    spool.close()
    assert queued.queued_batches >= 29
    assert queued.shed_raw > 0
    assert [batch.number for path in disk.paths() for batch in read_segment(path, disk)] == list(range(30))


def test_a_disk_that_hangs_for_too_long_has_failed_and_health_says_so() -> None:
    disk = CrashDisk()
    hangs = threading.Event()
    disk.fault = lambda call: hangs.wait(10) and None if call == "write" else None
    spool = Spool(SPOOL, "run", lambda: ALIVE, fs=disk, stall_s=0.02)

    def put_for_ever() -> None:
        for index in range(1_000):
            spool.put(make_batch(index))
            threading.Event().wait(0.005)

    with pytest.raises(StorageFailed, match="not taken a batch"):
        put_for_ever()
    hangs.set()
    assert "not taken a batch" in spool.state().failure


def test_without_a_new_batch_the_thread_syncs_within_the_promised_second(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "run", lambda: ALIVE, durability="1s")
    spool.put(make_batch(0))

    wait_until(lambda: spool.state().log.durable_number == 0)

    spool.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot hold a recording .*--local-dir"):
        Spool(tmp_path / "file" / "spool", "run", lambda: ALIVE)


def test_every_durability_says_what_it_promises() -> None:
    assert set(PROMISE) == {"tick", "1s", "os"}
    assert all("kill -9" in text and "power cut" in text and "full disk" in text for text in PROMISE.values())
