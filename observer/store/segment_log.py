"""The log of one run, written by one thread: numbers batches, rolls segments, syncs, and pauses on a full disk.

    segment rolls   at `segment_bytes`, and `ROLL_DELAY_S` after each multiple of `segment_s` UTC, so that the last
                    tick of a quarter-hour market lies in the segment with the rest of it
    disk filling    raw frames are left out, then everything; whatever is left out is counted
    space again     recording goes on in a new segment, whose first batch says what is missing (GapSeen, Dropped)

Batch numbers have no hole: a batch that was not written gets none.
"""

import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from observer.kit.clock import NS_PER_S
from observer.kit.code_version import code_version
from observer.store.batch import Batch, Note
from observer.store.filesystem import REAL, FileSystem
from observer.store.pause import Pause
from observer.store.segment import SegmentHeader, pack
from observer.store.segment_writer import DiskFull, SegmentWriter
from observer.store.shedding import shed_raw
from observer.store.watermarks import Level, Watermarks

DISK_FILLING = "disk filling"
ROLL_DELAY_S = 5
CHECK_S = 1.0  # between looks at the free space
GROUP_S = 0.5  # batches that wait for the disk are forced to it together, after so long at the latest
RETRY_S = 5.0  # after a write found the disk full though it seemed to have room (a quota)
_SYNCS_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class LogRules:
    """How the log behaves.

    Attributes:
        sync_s: written batches are forced to the disk after so long; 0: each at once; None: when a segment is sealed.
        segment_bytes, segment_s: when a segment is sealed.
        watermarks: what a filling disk means.
    """

    sync_s: float | None
    segment_bytes: int
    segment_s: int
    watermarks: Watermarks


@dataclass(frozen=True, slots=True)
class LogState:
    """What the log has done so far.

    Attributes:
        segment: name of the open segment, "" if none is.
        written_number, written_wall_ns: of the last batch that survives `kill -9`; -1 and 0 before the first.
        durable_number, durable_wall_ns: of the last batch that survives a power cut.
        bytes_written: by this run.
        segments_sealed: by this run.
        level: of the disk.
        free_bytes: on the disk; -1 before the first look.
        fsync_ms_p99, fsync_ms_max: over the last thousand.
        write_errors: writes that took a part only, and times that the disk was full.
        skipped_rows: rows not written because the disk was full or filling, by kind.
    """

    segment: str = ""
    written_number: int = -1
    written_wall_ns: int = 0
    durable_number: int = -1
    durable_wall_ns: int = 0
    bytes_written: int = 0
    segments_sealed: int = 0
    level: Level = Level.OK
    free_bytes: int = -1
    fsync_ms_p99: float = 0.0
    fsync_ms_max: float = 0.0
    write_errors: int = 0
    skipped_rows: tuple[tuple[str, int], ...] = ()


class SegmentLog:
    """Writes the batches of one run below `folder/run_id`; times called `now_s` are of the monotonic clock.

    Attributes:
        state: what was done so far; replaced as a whole, so another thread may read it.
    """

    def __init__(self, folder: Path, run_id: str, rules: LogRules, fs: FileSystem = REAL) -> None:
        self.state = LogState()
        self._run_id = run_id
        self._rules = rules
        self._fs = fs
        self._wal = folder / run_id / "wal"
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._segment: SegmentWriter | None = None
        self._period = 0  # which multiple of segment_s the open segment belongs to
        self._last_ns = 0  # in the name of the last segment
        self._written = self._durable = (-1, 0)  # number, wall_ns
        self._unsynced_since_s: float | None = None
        self._sync_ms: list[float] = []
        self._sync_ms_p99 = self._sync_ms_max = 0.0
        self._n_syncs = self._sealed = self._errors = self._sealed_bytes = 0
        self._space_level, self._free_bytes = Level.OK, -1
        self._next_check_s = float("-inf")
        self._full_until_s = float("-inf")
        self._is_paused = False
        self._pause = Pause()
        fs.make_folder(self._wal)

    def write(self, batch: Batch, preamble: Sequence[Note], now_s: float, *, is_last: bool = True) -> None:
        """Write a batch, or count it where the disk has no room; it is changed on the way.

        Args:
            batch: its number is given here.
            preamble: what a reader must know before it, if it is the first of its segment.
            now_s: the time.
            is_last: no other batch waits to be written.

        Raises:
            StorageFailed: the disk does not work; nothing more may be written.
        """
        self._look(now_s)
        if self._is_paused:
            self._pause.skip(batch, self._written[1])
        else:
            self._write_or_pause(batch, preamble, now_s)
        self._sync_if_due(now_s, at_least_s=0.0 if is_last else GROUP_S)
        self._publish()

    def maintain(self, now_s: float) -> None:
        """Do what is due without a batch: force to the disk, look at the free space.

        Raises:
            StorageFailed: the disk does not work.
        """
        self._look(now_s)
        self._sync_if_due(now_s)
        self._publish()

    def due_in_s(self, now_s: float) -> float:
        """After how long `maintain` has something to do."""
        due_s = self._next_check_s
        if self._rules.sync_s is not None and self._unsynced_since_s is not None:
            due_s = min(due_s, self._unsynced_since_s + self._rules.sync_s)
        return max(0.0, due_s - now_s)

    def close(self) -> None:
        """Seal; where the disk has no room for that, the next start does it.

        Raises:
            StorageFailed: the disk does not work.
        """
        self._seal_if_room()
        self._publish()

    def _write_or_pause(self, batch: Batch, preamble: Sequence[Note], now_s: float) -> None:
        if self._space_level >= Level.NO_RAW:
            self._pause.rows["raw"] += len(batch.raws)
            shed_raw(batch, DISK_FILLING)
        notes = batch.notes
        try:
            self._append(batch, preamble, now_s)
        except DiskFull:
            batch.notes = notes
            self._errors += 1
            self._full_until_s = now_s + RETRY_S
            self._stop()
            self._pause.skip(batch, self._written[1])
        else:
            self._pause.clear()

    def _append(self, batch: Batch, preamble: Sequence[Note], now_s: float) -> None:
        segment = self._segment
        if segment is not None and (
            segment.size >= self._rules.segment_bytes or self._period_of(batch.wall_ns) != self._period
        ):
            self._seal(segment)
            segment = None
        if segment is None:
            segment = self._segment = self._open(batch)
        batch.number = self._written[0] + 1
        before = preamble if segment.batches == 0 else ()
        batch.notes = [*self._pause.notes(), *before, *batch.notes]
        segment.append(pack(batch, self._compressor))
        self._written = batch.number, batch.wall_ns
        if self._unsynced_since_s is None:
            self._unsynced_since_s = now_s

    def _period_of(self, wall_ns: int) -> int:
        return (wall_ns - ROLL_DELAY_S * NS_PER_S) // (self._rules.segment_s * NS_PER_S)

    def _open(self, batch: Batch) -> SegmentWriter:
        self._last_ns = max(batch.wall_ns, self._last_ns + 1)  # names sort, whatever the wall clock does
        self._period = self._period_of(batch.wall_ns)
        header = SegmentHeader(
            segment_id=f"{self._last_ns:019d}-{secrets.token_hex(4)}",
            run_id=self._run_id,
            boot_id=_boot_id(),
            code_version=code_version(),
            wall_ns=batch.wall_ns,
            mono_ns=batch.mono_ns,
            first_batch=self._written[0] + 1,
        )
        return SegmentWriter.create(self._wal, header, self._fs)

    def _seal(self, segment: SegmentWriter) -> None:
        """Seal the open segment; one without a batch is removed."""
        if segment.batches:
            self._timed(segment.seal)
            self._sealed += 1
        else:
            segment.discard()
        self._sealed_bytes += segment.size
        self._errors += segment.short_writes
        self._segment = None
        self._mark_durable()

    def _seal_if_room(self) -> None:
        """Seal; without room for it the segment stays open and is tried again."""
        if self._segment is not None:
            try:
                self._seal(self._segment)
            except DiskFull:
                self._errors += 1

    def _stop(self) -> None:
        """Record nothing more for now; what is sealed can be compacted and uploaded, which makes room."""
        self._is_paused = True
        self._seal_if_room()

    def _look(self, now_s: float) -> None:
        """Look at the free space, if it is time, and stop or go on."""
        if now_s < self._next_check_s:
            return
        self._next_check_s = now_s + CHECK_S
        space = self._fs.space(self._wal)
        self._free_bytes = space.free_bytes
        self._space_level = self._rules.watermarks.level(space, self._space_level)
        is_full = self._space_level is Level.STOPPED or now_s < self._full_until_s
        if is_full:
            self._stop()
        elif self._is_paused:
            self._seal_if_room()  # may have got its end mark: nothing can follow in it
            self._is_paused = self._segment is not None

    def _sync_if_due(self, now_s: float, *, at_least_s: float = 0.0) -> None:
        if self._rules.sync_s is None or self._segment is None or self._unsynced_since_s is None:
            return
        if now_s - self._unsynced_since_s >= max(self._rules.sync_s, at_least_s):
            self._timed(self._segment.sync)
            self._mark_durable()

    def _mark_durable(self) -> None:
        self._durable = self._written
        self._unsynced_since_s = None

    def _timed(self, action) -> None:
        started_ns = time.perf_counter_ns()
        action()
        took_ms = (time.perf_counter_ns() - started_ns) / 1e6
        if len(self._sync_ms) < _SYNCS_KEPT:
            self._sync_ms.append(took_ms)
        else:
            self._sync_ms[self._n_syncs % _SYNCS_KEPT] = took_ms
        self._n_syncs += 1
        in_order = sorted(self._sync_ms)
        self._sync_ms_p99, self._sync_ms_max = in_order[int(0.99 * len(in_order))], in_order[-1]

    def _publish(self) -> None:
        segment = self._segment
        self.state = LogState(
            segment="" if segment is None else segment.path.name,
            written_number=self._written[0],
            written_wall_ns=self._written[1],
            durable_number=self._durable[0],
            durable_wall_ns=self._durable[1],
            bytes_written=self._sealed_bytes + (0 if segment is None else segment.size),
            segments_sealed=self._sealed,
            level=Level.STOPPED if self._is_paused else self._space_level,
            free_bytes=self._free_bytes,
            fsync_ms_p99=self._sync_ms_p99,
            fsync_ms_max=self._sync_ms_max,
            write_errors=self._errors + (0 if segment is None else segment.short_writes),
            skipped_rows=tuple(self._pause.rows.items()),
        )


def _boot_id() -> str:
    """The kernel's name for this boot; "" where it has none to tell (macOS)."""
    source = Path("/proc/sys/kernel/random/boot_id")
    return source.read_text().strip() if sys.platform.startswith("linux") and source.exists() else ""
