"""What was acknowledged comes back once, in order and unchanged, whatever the machine does in between."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.kit.errors import BadRecording
from observer.store import segment_writer
from observer.store.batch import Batch, Dropped
from observer.store.recovery import recover
from observer.store.segment import SEALED, read_segment, scan_segment
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.watermarks import Watermarks
from tests.samples.batches import ALIVE, make_batch
from tests.samples.crash_disk import CrashDisk, PowerCut

SPOOL = Path("/spool")
NEVER_FULL = Watermarks(0, 0, 0, 0)
LAW = settings(max_examples=300, deadline=None)


def rules(sync_s: float | None, segment_bytes: int = 1_500, watermarks: Watermarks = NEVER_FULL) -> LogRules:
    return LogRules(sync_s, segment_bytes, 900, watermarks)


def record(disk: CrashDisk, run_id: str, batches: list[Batch], rules: LogRules) -> tuple[int, int]:
    """Write until the end or the power cut; return the last numbers (on the disk for good, survived a kill)."""
    log = None
    try:
        log = SegmentLog(SPOOL, run_id, rules, disk)
        for index, batch in enumerate(batches):
            log.write(batch, ALIVE, now_s=index * 0.5)
        log.close()
    except PowerCut:
        pass
    return (-1, -1) if log is None else (log.state.durable_number, log.state.written_number)


def recovered(disk: CrashDisk, run_id: str) -> list[Batch]:
    recover(SPOOL, disk)
    paths = [path for path in disk.paths() if path.suffix == SEALED and path.parent.parent.name == run_id]
    return [batch for path in paths for batch in read_segment(path, disk)]


def payloads(batches: list[Batch]) -> list[object]:
    return [(batch.wall_ns, batch.raws, [tuple(event) for event in batch.events]) for batch in batches]


@LAW
@given(
    n=st.integers(1, 40),
    ops=st.integers(0, 200),
    sync_s=st.sampled_from([0.0, 1.0, None]),
    ops_of_recovery=st.integers(0, 60),
    luck=st.integers(0, 10**9),
)
def test_after_any_power_cut_the_acknowledged_batches_are_there_once_and_in_order(
    n: int, ops: int, sync_s: float | None, ops_of_recovery: int, luck: int
) -> None:
    disk, rng = CrashDisk(), random.Random(luck)
    written = [make_batch(i, raws=rng.randrange(8)) for i in range(n)]
    original = payloads(written)
    disk.ops_left = ops
    durable, _ = record(disk, "first", written, rules(sync_s))
    disk.power_back(rng)
    disk.ops_left = ops_of_recovery  # the power goes again while the first run is recovered
    try:
        recover(SPOOL, disk)
    except PowerCut:
        disk.power_back(rng)
    disk.ops_left = None

    back = recovered(disk, "first")

    assert len(back) > durable
    assert [batch.number for batch in back] == list(range(len(back)))
    assert payloads(back) == original[: len(back)]


@LAW
@given(n=st.integers(1, 40), ops=st.integers(0, 200), sync_s=st.sampled_from([0.0, 1.0, None]))
def test_after_any_kill_every_batch_that_was_written_is_there(n: int, ops: int, sync_s: float | None) -> None:
    disk = CrashDisk()
    written = [make_batch(i) for i in range(n)]
    original = payloads(written)
    disk.ops_left = ops
    _, last = record(disk, "first", written, rules(sync_s))
    disk.ops_left = None  # the process is gone, the machine goes on

    back = recovered(disk, "first")

    assert len(back) - 1 in (last, last + 1)  # the batch in hand may have made it
    assert payloads(back) == original[: len(back)]


def test_a_sync_that_lies_is_caught_by_the_law_above() -> None:
    lost = 0
    for luck in range(50):
        disk, rng = CrashDisk(), random.Random(luck)
        disk.keeps_syncs = False
        disk.ops_left = 60
        durable, _ = record(disk, "first", [make_batch(i) for i in range(40)], rules(0.0))
        disk.power_back(rng)
        try:
            lost += len(recovered(disk, "first")) <= durable
        except BadRecording:  # a file has its final name and not its bytes
            lost += 1

    assert lost > 25


@LAW
@given(
    n=st.integers(1, 60),
    capacity=st.integers(0, 12_000),
    given_back=st.integers(0, 12_000),
    luck=st.integers(0, 10**9),
)
def test_a_full_disk_damages_nothing_and_every_row_is_there_or_counted(
    n: int, capacity: int, given_back: int, luck: int
) -> None:
    disk, rng = CrashDisk(capacity), random.Random(luck)
    writes = 0

    def fault(call: str) -> int | None:
        nonlocal writes
        writes += call == "write"
        return rng.randrange(1, 30) if call == "write" and writes % 2 and rng.random() < 0.2 else None

    disk.fault = fault
    marks = Watermarks(0.2, 0.1, 0.05, 0) if luck % 2 else NEVER_FULL  # half the time the disk is met unforeseen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_writer, "RESERVE_BYTES", 700)
        log = SegmentLog(SPOOL, "run", rules(1.0, watermarks=marks), disk)
        for index in range(n):
            if index == n // 2:
                disk.capacity_bytes += given_back
            log.write(make_batch(index), ALIVE, now_s=index * 3.0)
        disk.capacity_bytes = 1 << 40  # and back: the last batch says what is missing
        log.write(make_batch(n), ALIVE, now_s=1e6)
        log.close()

    back = recovered(disk, "run")

    dropped = [note for batch in back for note in batch.notes if isinstance(note, Dropped)]
    told = {kind: sum(note.rows for note in dropped if note.what == kind) for kind in ("raw", "events", "ticks")}
    assert [batch.number for batch in back] == list(range(len(back)))
    assert sum(len(batch.raws) for batch in back) + told["raw"] == 3 * (n + 1)
    assert sum(len(batch.events) for batch in back) + told["events"] == 2 * (n + 1)
    assert sum(len(batch.ticks) for batch in back) + told["ticks"] == n + 1
    assert all(batch.notes.count(note) == 1 for batch in back for note in batch.notes)
    assert all(scan_segment(path, disk).batches for path in disk.paths())


@LAW
@given(ops=st.integers(0, 40), torn=st.binary(min_size=1, max_size=3_000), luck=st.integers(0, 10**9))
def test_a_torn_tail_is_kept_though_the_power_goes_during_recovery(ops: int, torn: bytes, luck: int) -> None:
    disk, rng = CrashDisk(), random.Random(luck)
    disk.ops_left = 20
    record(disk, "run", [make_batch(i) for i in range(40)], rules(0.0, segment_bytes=1 << 20))
    disk.ops_left = None
    (path,) = disk.paths()
    disk.damage(path, disk.data(path)[: scan_segment(path, disk).valid_bytes] + torn)
    disk.sync_folder(path.parent)
    disk.ops_left = ops
    try:
        recover(SPOOL, disk)
    except PowerCut:
        disk.power_back(rng)
    disk.ops_left = None

    back = recovered(disk, "run")

    assert torn in [disk.data(path) for path in disk.paths() if path.suffix == ".tail"]
    assert back


def sealed_segment() -> tuple[CrashDisk, Path, bytes]:
    disk = CrashDisk()
    record(disk, "run", [make_batch(i, raws=1) for i in range(3)], rules(None, segment_bytes=1 << 20))
    (path,) = disk.paths()
    return disk, path, disk.data(path)


def test_every_flipped_bit_of_a_sealed_segment_is_noticed() -> None:
    disk, path, whole = sealed_segment()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        disk.damage(path, bytes(flipped))

        with pytest.raises(BadRecording, match=path.name):
            list(read_segment(path, disk))


def test_every_cut_of_a_sealed_segment_is_noticed_and_its_whole_batches_are_found() -> None:
    disk, path, whole = sealed_segment()
    found = set()
    for size in range(len(whole)):
        disk.damage(path, whole[:size])

        with pytest.raises(BadRecording, match=path.name):
            list(read_segment(path, disk))
        found.add(scan_segment(path, disk).batches)

    assert found == {0, 1, 2, 3}


@LAW
@given(zeros=st.integers(1, 5_000), of_other=st.integers(0, 400))
def test_zeros_and_blocks_of_another_segment_never_read_as_batches(zeros: int, of_other: int) -> None:
    disk, path, whole = sealed_segment()
    _, _, other = sealed_segment()
    end = scan_segment(path, disk).valid_bytes - 17  # without the end mark
    for tail in (bytes(zeros), other[end - of_other :], other[end:] + bytes(zeros)):
        disk.damage(path, whole[:end] + tail)

        scan = scan_segment(path, disk)

        assert (scan.batches, scan.valid_bytes) == (3, end)
        assert scan.flaw
