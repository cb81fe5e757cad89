"""A disk that is full, fails, takes half a write or takes 300 ms to sync costs no acknowledged row and delays no tick.

Full and back: a small file system (tmpfs as root, otherwise a file system of the log's own that counts bytes) is filled
past each watermark and then to the last byte, twice given back. Failing sync, short write and slow sync are made by
strace in the kernel where it is installed, otherwise by the log's own file system.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from observer.store.batch import Batch, Dropped, GapSeen
from observer.store.filesystem import REAL, FileSystem, RealFileSystem, Space
from observer.store.recovery import recover
from observer.store.segment import read_segment
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.spool import Spool
from observer.store.watermarks import Level, Watermarks
from scripts.capture_writer import ALIVE, EVENTS, RAWS, TICKS, FaultyFileSystem, made_up_batch, rows_of
from scripts.proofs import Measurement

ROOT = Path(__file__).resolve().parents[2]
DISK_BYTES = 128 << 20
PUT_BAR_MS = 10.0
STRACE = {
    "failing-sync": "fdatasync:error=EIO:when=10",
    "short-write": "write:retval=4:when=5+5",
    "slow-sync": "fdatasync:delay_enter=300000",
}


class SmallFileSystem(RealFileSystem):
    """The real one, as if its disk held `DISK_BYTES`: for machines where a small one cannot be mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def space(self, path: Path) -> Space:
        """See `FileSystem`."""
        used = sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
        return Space(DISK_BYTES, max(0, DISK_BYTES - used))

    def write(self, fd: int, data: bytes) -> int:
        """See `FileSystem`."""
        free = self.space(self._folder).free_bytes
        if not free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data[:free])


def measure() -> Measurement:
    """Longest 1 % of `put` while every sync takes 300 ms; and nothing may be amiss in the other trials."""
    amiss: list[str] = []
    full = _full_and_back(amiss)
    failing = _trial("failing-sync", amiss, "--durability", "tick", "--batches", "200")
    short = _trial("short-write", amiss, "--batches", "300", "--quiet")
    slow = _trial("slow-sync", amiss, "--batches", "300", "--every-ms", "20", "--quiet")
    _expect(amiss, failing["exit"] == 1, "the writer went on after a failed sync")
    _expect(amiss, failing["acknowledged"] > 0, "the failing sync came before anything was acknowledged")
    _expect(amiss, short["exit"] == 0 and short["write_errors"] > 0, "no short write was survived")
    _expect(amiss, short["recovered"] == 300, "a batch was lost to a short write")
    _expect(amiss, slow["exit"] == 0 and slow["fsync_p99_ms"] >= 300, "no sync took 300 ms")
    put_ms = slow.get("put_p99_ms", float("inf"))
    detail = {"amiss": amiss, "full": full, "failing_sync": failing, "short_write": short, "slow_sync": slow}
    return Measurement(put_ms, PUT_BAR_MS, "ms to put a batch, p99", put_ms <= PUT_BAR_MS and not amiss, detail)


def control() -> Measurement:
    """The same disk with 300 ms syncs, written by the thread that takes the ticks: they must be held up."""
    with tempfile.TemporaryDirectory() as folder:
        rules = LogRules(0.0, 64 << 20, 900, replace(Watermarks(), stop_bytes=0))
        log = SegmentLog(Path(folder), "run", rules, FaultyFileSystem("slow-sync"))
        took_ms = []
        for index in range(5):
            started_s = time.perf_counter()
            log.write(made_up_batch(index, time.time_ns()), ALIVE, time.monotonic())
            took_ms.append((time.perf_counter() - started_s) * 1e3)
        log.close()
    return Measurement(max(took_ms), PUT_BAR_MS, "ms to put a batch, p99", max(took_ms) <= PUT_BAR_MS, {})


@dataclass
class _Run:
    """A recording under way on the small disk, one batch after the other."""

    spool: Spool
    put: int = 0
    levels: list[str] = field(default_factory=list)

    def until(self, is_so: Callable[[], bool], at_most_s: float = 12.0) -> bool:
        """Go on recording until it is so."""
        end_s = time.monotonic() + at_most_s
        while time.monotonic() < end_s:
            self.spool.put(made_up_batch(self.put, time.time_ns()))
            self.put += 1
            time.sleep(0.005)
            level = self.spool.state().log.level.name
            if self.levels[-1:] != [level]:
                self.levels.append(level)
            if is_so():
                return True
        return False


def _full_and_back(amiss: list[str]) -> dict:
    """Fill the disk to each mark and to the end, give space back, and account for every row."""
    with _small_disk() as (folder, fs, kind):
        spool_root, ballast = folder / "spool", folder / "ballast"
        run = _Run(Spool(spool_root, "foreseen", lambda: ALIVE, watermarks=replace(Watermarks(), stop_bytes=0), fs=fs))
        run.until(lambda: run.spool.state().log.written_number > 5)
        for used, level in ((0.5, Level.OK), (0.85, Level.WARN), (0.92, Level.NO_RAW), (0.985, Level.STOPPED)):
            _fill(ballast, used, fs)
            _expect(amiss, run.until(lambda: run.spool.state().log.level is level), f"{level.name} was not reached")  # noqa: B023
        ballast.unlink()
        _expect(amiss, run.until(_resumed(run)), "recording did not resume when space came back")
        run.spool.close()
        foreseen = _account(spool_root / "foreseen", run, amiss)

        blind = Watermarks(0, 0, 0, 0)
        run = _Run(Spool(spool_root, "unforeseen", lambda: ALIVE, watermarks=blind, segment_bytes=64 << 10, fs=fs))
        run.until(lambda: run.spool.state().log.written_number > 50)
        _fill(ballast, 1.0, fs)
        _expect(amiss, run.until(lambda: run.spool.state().log.level is Level.STOPPED), "no write met the full disk")
        run.until(lambda: False, at_most_s=1.0)
        ballast.unlink()
        _expect(amiss, run.until(_resumed(run)), "recording did not resume after a write had failed")
        run.spool.close()
        return {"disk": kind, "foreseen": foreseen, "unforeseen": _account(spool_root / "unforeseen", run, amiss)}


def _resumed(run: _Run) -> Callable[[], bool]:
    before = run.spool.state().log.written_number
    return lambda: run.spool.state().log.written_number > before + 50


def _account(folder: Path, run: _Run, amiss: list[str]) -> dict:
    """Read every closed file of a run and compare what is there and what is said to be missing with what was put."""
    batches = [batch for path in sorted((folder / "wal").glob("*.wal")) for batch in read_segment(path)]
    dropped = [note for batch in batches for note in batch.notes if isinstance(note, Dropped)]
    gaps = sum(isinstance(note, GapSeen) for batch in batches for note in batch.notes)
    there = [batch.number for batch in batches] == list(range(len(batches)))
    _expect(amiss, there, f"{folder.name}: batch numbers have a hole")
    _expect(amiss, all(_is_whole(batch) for batch in batches), f"{folder.name}: a batch is not as it was put")
    rows = {
        "raw": (sum(len(b.raws) for b in batches), RAWS),
        "events": (sum(len(b.events) for b in batches), EVENTS),
        "ticks": (sum(len(b.ticks) for b in batches), TICKS),
    }
    missing = {}
    for kind, (found, each) in rows.items():
        told = sum(note.rows for note in dropped if note.what == kind)
        missing[kind] = run.put * each - found - told
    _expect(amiss, not any(missing.values()), f"{folder.name}: rows neither there nor told missing: {missing}")
    _expect(amiss, gaps > 0, f"{folder.name}: no gap row")
    _expect(amiss, not list((folder / "wal").glob("*.open")), f"{folder.name}: a segment was left open")
    return {"put": run.put, "recorded": len(batches), "levels": run.levels, "gap_rows": gaps, "unaccounted": missing}


def _is_whole(batch: Batch) -> bool:
    """A batch's rows are those put; raw frames may have been left out."""
    raws, events, ticks = rows_of(made_up_batch(batch.mono_ns, 0))
    return rows_of(batch) in ((raws, events, ticks), ([], events, ticks))


def _trial(fault: str, amiss: list[str], *flags: str) -> dict:
    """Run a writer that meets the fault, recover what it left, and compare it with what it acknowledged."""
    with tempfile.TemporaryDirectory() as name:
        spool = Path(name) / "spool"
        command = [sys.executable, str(ROOT / "scripts" / "capture_writer.py"), str(spool), "run", *flags]
        by_kernel = _has_strace()
        if by_kernel:
            call = STRACE[fault].split(":")[0]
            trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={STRACE[fault]}"]
            done = subprocess.run([*trace, *command], capture_output=True, text=True, check=False, timeout=120)
        else:
            done = subprocess.run(
                [*command, "--fault", fault], capture_output=True, text=True, check=False, timeout=120
            )  # fmt: skip
        recover(spool)
        batches = [batch for path in sorted(spool.rglob("*.wal")) for batch in read_segment(path)]
    said = done.stdout.splitlines()
    last = [line.split() for line in said if not line.startswith("{")][-1:] or [["-1", "-1"]]
    acknowledged = int(last[0][1]) + 1
    _expect(amiss, len(batches) >= acknowledged, f"{fault}: acknowledged {acknowledged}, recovered {len(batches)}")
    _expect(amiss, [b.number for b in batches] == list(range(len(batches))), f"{fault}: batch numbers have a hole")
    _expect(amiss, all(_is_whole(batch) for batch in batches), f"{fault}: a batch is not as it was put")
    found = {
        "by": "strace" if by_kernel else "the log's file system", "exit": done.returncode,
        "acknowledged": acknowledged, "recovered": len(batches), "said": done.stderr.strip()[-300:],
    }  # fmt: skip
    if said and said[-1].startswith("{"):
        found |= json.loads(said[-1])
    return found


def _has_strace() -> bool:
    """Whether strace is there and allowed to look at processes."""
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=none", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _fill(ballast: Path, used_frac: float, fs: FileSystem) -> None:
    """Have somebody else's file take the disk up to `used_frac` of it."""
    space = fs.space(ballast.parent)
    more = space.free_bytes - int((1 - used_frac) * space.total_bytes)
    with ballast.open("ab") as file:
        while more > 0:
            try:
                more -= os.write(file.fileno(), bytes(min(more, 1 << 16)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


@contextmanager
def _small_disk() -> Iterator[tuple[Path, FileSystem, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", name]
        is_mounted = sys.platform.startswith("linux") and os.geteuid() == 0
        is_mounted = is_mounted and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield (folder, REAL, "tmpfs") if is_mounted else (folder, SmallFileSystem(folder), "counted bytes")
        finally:
            if is_mounted:
                subprocess.run(["umount", name], check=True)


def _expect(amiss: list[str], is_so: bool, otherwise: str) -> None:
    if not is_so:
        amiss.append(otherwise)
