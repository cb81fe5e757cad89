"""What a crash left open, made whole: called once at start, before this run writes anything.

The folder itself says what there is to do; there is no list of open files that could disagree with it. For each
`.open` segment of an earlier run the whole batches are found by their checksums, what follows them is kept in `bad/`,
the file is cut, ended, forced to the disk and given its final name. Doing it twice, or being stopped in the middle and
doing it again, ends in the same.
"""

import errno
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from observer.kit.errors import StorageFailed
from observer.store.filesystem import REAL, FileSystem
from observer.store.segment import OPEN, Scan, scan_segment
from observer.store.segment_writer import FULL, DiskFull, SegmentWriter

WAL, BAD = "wal", "bad"
_TAIL, _TEMPORARY = ".tail", ".tmp"
_BLOCK_BYTES = 1 << 20
_IN_USE_OR_GONE = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class RecoveredSegment:
    """One segment that a crash had left open.

    Attributes:
        path: the sealed file, or None where it held no batch and was removed.
        batches: whole ones.
        torn_bytes: set aside in `bad/`.
        flaw: what stood behind the last whole batch; "" where nothing did.
    """

    path: Path | None
    batches: int
    torn_bytes: int
    flaw: str


@dataclass(slots=True)
class Recovery:
    """What was done.

    Attributes:
        segments: those that had been left open.
        postponed: left open again because the disk is full; their batches are whole and the next start seals them.
        removed: names of temporary files that were deleted.
        seconds: how long it took.
    """

    segments: list[RecoveredSegment] = field(default_factory=list)
    postponed: list[Path] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    seconds: float = 0.0


def recover(spool_root: Path, fs: FileSystem = REAL) -> Recovery:
    """Seal every segment that an earlier run left open. The caller holds the folder's lock.

    Raises:
        StorageFailed: the disk does not work.
    """
    started_s = time.monotonic()
    done = Recovery()
    try:
        for run in fs.names(spool_root):
            _recover_run(spool_root / run, done, fs)
    except OSError as error:
        raise StorageFailed(
            f"{spool_root} cannot be recovered ({error}). Check the disk and its permissions, then start again."
        ) from error
    done.seconds = time.monotonic() - started_s
    return done


def _recover_run(run: Path, done: Recovery, fs: FileSystem) -> None:
    for folder in (run / WAL, run / BAD):
        for name in fs.names(folder):
            if name.endswith(_TEMPORARY):
                fs.unlink(folder / name)
                done.removed.append(name)
    for name in fs.names(run / WAL):
        if name.endswith(OPEN):
            path = run / WAL / name
            try:
                done.segments.append(_recover_segment(path, fs))
            except (DiskFull, OSError) as error:
                if isinstance(error, OSError) and error.errno not in FULL:
                    raise
                done.postponed.append(path)
    for folder in (run / BAD, run / WAL, run):
        _remove_if_empty(folder, fs)


def _recover_segment(path: Path, fs: FileSystem) -> RecoveredSegment:
    scan = scan_segment(path, fs)
    torn = scan.total_bytes - scan.valid_bytes
    if torn:
        _keep_tail(path, scan, fs)
    if scan.header is None or not scan.batches:
        fs.unlink(path)
        fs.sync_folder(path.parent)
        return RecoveredSegment(None, 0, torn, scan.flaw)
    writer = SegmentWriter.reopen(path, scan.header.segment_id, scan.valid_bytes, scan.batches, fs)
    sealed = writer.seal(is_ended=scan.is_ended)
    return RecoveredSegment(sealed, scan.batches, torn, scan.flaw)


def _keep_tail(path: Path, scan: Scan, fs: FileSystem) -> None:
    """Copy what is not whole into `bad/`, named by its content: done again it is the same file, never another's."""
    bad = path.parent.parent / BAD
    fs.make_folder(bad)
    temporary = bad / f"{path.stem}{_TEMPORARY}"
    fd = fs.create(temporary)
    try:
        crc = 0
        with fs.open_read(path) as file:
            file.seek(scan.valid_bytes)
            while block := file.read(_BLOCK_BYTES):
                crc = zlib.crc32(block, crc)
                while block:
                    block = block[fs.write(fd, block) :]
        fs.sync(fd)
    finally:
        fs.close(fd)
    fs.rename(temporary, bad / f"{path.stem}-{crc:08x}{_TAIL}")
    fs.sync_folder(bad)


def _remove_if_empty(folder: Path, fs: FileSystem) -> None:
    try:
        fs.remove_folder(folder)
    except OSError as error:
        if error.errno not in _IN_USE_OR_GONE:
            raise
