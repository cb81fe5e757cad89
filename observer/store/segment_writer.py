"""Writes one segment (`observer.store.segment`), one system call per batch, and knows what to do when one fails.

* A short or failing write is cut back to the last whole batch before anything else happens.
* A full disk (`DiskFull`) leaves a valid file that can be gone on with. Blocks are set aside ahead, so it shows here
  and not in the middle of a batch.
* Any other error is final (`StorageFailed`). After a failed sync the kernel may have thrown the bytes away and marked
  them clean, so asking again proves nothing: this writer never touches its file again.
"""

import errno
from pathlib import Path

from observer.kit.errors import StorageFailed, ToolkitError
from observer.store.filesystem import REAL, FileSystem
from observer.store.segment import OPEN, SEALED, SegmentHeader, end_payload, frame, header_bytes, seed_of

RESERVE_BYTES = 4 << 20  # set aside at a time
WRITE_ATTEMPTS = 3  # for a write that takes a part and gives no reason
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # the errors that mean "no room"
_END_ROOM = 64  # kept free in what is set aside, so that a full disk can still be sealed


class DiskFull(ToolkitError):
    """There is no room; what was written before is whole."""


class SegmentWriter:
    """An open segment.

    Attributes:
        path: its file, `.open` until sealed.
        size: bytes that are whole.
        batches: whole batches.
        short_writes: writes that took a part only.
    """

    def __init__(self, path: Path, fd: int, seed: int, fs: FileSystem, size: int = 0, batches: int = 0) -> None:
        self.path = path
        self.size = size
        self.batches = batches
        self.short_writes = 0
        self._fs = fs
        self._fd = fd
        self._seed = seed
        self._reserved = size
        self._is_ended = False
        self._failure: StorageFailed | None = None

    @classmethod
    def create(cls, folder: Path, header: SegmentHeader, fs: FileSystem = REAL) -> "SegmentWriter":
        """Start a segment; its name and header are on the disk when this returns.

        Raises:
            DiskFull: there is no room; no file is left behind.
            StorageFailed: the disk does not work.
        """
        path = folder / f"{header.segment_id}{OPEN}"
        try:
            fd = fs.create(path)
        except OSError as error:
            raise _meaning(path, error) from error
        writer = cls(path, fd, seed_of(header.segment_id), fs)
        try:
            writer._append(header_bytes(header))
            writer.sync()
            writer._call(fs.sync_folder, folder)
        except DiskFull:
            writer.discard()
            raise
        return writer

    @classmethod
    def reopen(cls, path: Path, segment_id: str, size: int, batches: int, fs: FileSystem = REAL) -> "SegmentWriter":
        """Go on with a segment that a crash left open: cut to its `size` whole bytes, which hold `batches`.

        Raises:
            StorageFailed: the disk does not work.
        """
        try:
            fd = fs.reopen(path)
        except OSError as error:
            raise _meaning(path, error) from error
        writer = cls(path, fd, seed_of(segment_id), fs, size, batches)
        writer._call(fs.truncate, fd, size)
        return writer

    def append(self, payload: bytes) -> None:
        """Write one batch; when this returns, killing the process no longer loses it.

        Raises:
            DiskFull: there is no room; the file ends after the batch before.
            StorageFailed: the disk does not work.
        """
        self._append(frame(payload, self._seed))
        self.batches += 1

    def sync(self) -> None:
        """Force everything written to the disk; when this returns, a power cut no longer loses it.

        Raises:
            StorageFailed: the disk did not take it, whatever the reason.
        """
        self._check()
        try:
            self._fs.sync(self._fd)
        except OSError as error:
            raise self._fail(error) from error

    def seal(self, *, is_ended: bool = False) -> Path:
        """End the segment, force it to the disk, and give it its final name, which is returned.

        May be called again after `DiskFull`.

        Args:
            is_ended: the end mark is there already (a crash came between it and the new name).

        Raises:
            DiskFull: there is no room for the end mark or the new name; the segment stays open.
            StorageFailed: the disk does not work.
        """
        if not (self._is_ended or is_ended):
            self._append(frame(end_payload(self.batches), self._seed))
        self._is_ended = True
        self._call(self._fs.truncate, self._fd, self.size)  # gives back the blocks set aside
        self.sync()
        sealed = self.path.with_suffix(SEALED)
        self._call(self._fs.rename, self.path, sealed)
        self._call(self._fs.sync_folder, sealed.parent)
        self.close()
        return sealed

    def discard(self) -> None:
        """Remove the segment and let go of it."""
        self._call(self._fs.unlink, self.path)
        self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _append(self, data: bytes) -> None:
        self._check()
        self._reserve(len(data))
        for _ in range(WRITE_ATTEMPTS):
            try:
                taken = self._fs.write(self._fd, data)
            except OSError as error:
                self._cut_back()
                raise self._sort_out(error) from error
            if taken == len(data):
                self.size += taken
                return
            self.short_writes += 1
            self._cut_back()
        raise self._fail(OSError(errno.EIO, f"{WRITE_ATTEMPTS} writes of {len(data)} bytes were taken in part only"))

    def _reserve(self, length: int) -> None:
        """Have blocks for `length` more bytes and the end mark."""
        if self.size + length + _END_ROOM > self._reserved:
            more = max(RESERVE_BYTES, length + _END_ROOM)
            self._call(self._fs.reserve, self._fd, self.size, more)
            self._reserved = self.size + more

    def _cut_back(self) -> None:
        """Remove a part of a frame; the blocks set aside go with it."""
        self._call(self._fs.truncate, self._fd, self.size)
        self._reserved = self.size

    def _call(self, action, *arguments) -> None:
        self._check()
        try:
            action(*arguments)
        except OSError as error:
            raise self._sort_out(error) from error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _sort_out(self, error: OSError) -> ToolkitError:
        return _meaning(self.path, error) if error.errno in FULL else self._fail(error)

    def _fail(self, error: OSError) -> StorageFailed:
        self._failure = _failed(self.path, error)
        return self._failure


def _meaning(path: Path, error: OSError) -> ToolkitError:
    if error.errno in FULL:
        return DiskFull(f"{path}: no room on the disk ({error.strerror}). Free some; recording resumes by itself.")
    return _failed(path, error)


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"{path}: the disk failed ({error.strerror or error}). Recording stops here; check the disk and start again: "
        "what is whole will be recovered."
    )
