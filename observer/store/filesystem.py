"""The few things the log asks of a file system, so that a test can be one that loses power.

Every call maps to one system call and raises plain `OSError`; what an error means is decided by the caller
(`observer.store.segment_writer`). Names are durable only after `sync_folder`, bytes only after `sync`.
"""

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: blocks are set aside past the end of the file, which stays where it is
_NOT_OFFERED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY})


@dataclass(frozen=True, slots=True)
class Space:
    """Room on the disk: the whole of it, and what this user may still fill."""

    total_bytes: int
    free_bytes: int


class FileSystem(Protocol):
    """What the log needs; `fd` is an open file that is only ever appended to."""

    def make_folder(self, path: Path) -> None:
        """Create a folder and those above it; one that is there is left alone."""
        ...

    def create(self, path: Path) -> int:
        """Create a file that is not there yet, open for appending."""
        ...

    def reopen(self, path: Path) -> int:
        """Open a file for appending at its end."""
        ...

    def reserve(self, fd: int, start: int, length: int) -> None:
        """Set blocks aside for bytes to come, the file's size unchanged; nothing where that is not offered."""
        ...

    def write(self, fd: int, data: bytes) -> int:
        """Append with one system call; return how many bytes were taken, which may be fewer."""
        ...

    def truncate(self, fd: int, size: int) -> None:
        """Cut to `size` bytes and give back what was set aside behind them."""
        ...

    def sync(self, fd: int) -> None:
        """Return once the file's bytes would survive a power cut."""
        ...

    def close(self, fd: int) -> None:
        """Close the file."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, at once."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return once the folder's names would survive a power cut."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Names in a folder, sorted; none where there is no such folder."""
        ...

    def open_read(self, path: Path) -> BinaryIO:
        """Open a file for reading."""
        ...

    def space(self, path: Path) -> Space:
        """Room on the disk that holds `path`."""
        ...


class RealFileSystem:
    """The operating system's."""

    def make_folder(self, path: Path) -> None:
        """See `FileSystem`; the new names are made durable as well."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def create(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def reopen(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def reserve(self, fd: int, start: int, length: int) -> None:
        """See `FileSystem`: Linux only, and there not on every file system."""
        while _fallocate is not None and _fallocate(fd, _KEEP_SIZE, start, length) != 0:
            number = ctypes.get_errno()
            if number in _NOT_OFFERED:
                return
            if number != errno.EINTR:  # a signal came: ask again
                raise OSError(number, os.strerror(number))

    def write(self, fd: int, data: bytes) -> int:
        """See `FileSystem`."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """See `FileSystem`."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """See `FileSystem`: on a Mac plain fsync leaves the bytes in the drive's cache, F_FULLFSYNC empties it."""
        if sys.platform == "darwin":
            _full_sync(fd)
        else:
            os.fdatasync(fd)

    def close(self, fd: int) -> None:
        """See `FileSystem`."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """See `FileSystem`."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """See `FileSystem`."""
        os.unlink(path)

    def remove_folder(self, path: Path) -> None:
        """See `FileSystem`."""
        os.rmdir(path)

    def sync_folder(self, path: Path) -> None:
        """See `FileSystem`."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _full_sync(fd)
        finally:
            os.close(fd)

    def names(self, folder: Path) -> list[str]:
        """See `FileSystem`."""
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def open_read(self, path: Path) -> BinaryIO:
        """See `FileSystem`."""
        return path.open("rb")

    def space(self, path: Path) -> Space:
        """See `FileSystem`."""
        found = os.statvfs(path)
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def _full_sync(fd: int) -> None:
    """Force a file or folder out of the drive's own cache too.

    On a Mac that is F_FULLFSYNC; the file systems that do not know it (network shares) get plain fsync.
    """
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _NOT_OFFERED:
                raise
    os.fsync(fd)


def _load_fallocate() -> Callable[[int, int, int, int], int] | None:
    """The C library's fallocate: Python offers only the form that moves the end of the file. None off Linux."""
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


_fallocate = _load_fallocate()
REAL = RealFileSystem()
