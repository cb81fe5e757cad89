"""One observer per folder: a lock that dies with its process, and says whose it is."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from observer.kit.errors import UsageError

LOCK = ".observer.lock"
_LOOKING_S = 0.3


class InstanceLock:
    """An advisory lock on `DIR/.observer.lock`; the file stays, the lock goes with the process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fd = -1

    def take(self) -> None:
        """Take the lock and write this process's id into it.

        Raises:
            UsageError: another observer records into this folder, or the folder cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"{self.root} cannot hold a recording ({error.strerror}). Make it writable or pass another."
            ) from error
        if not _locked(fd):
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise UsageError(
                f"{self.root} is already recorded into by {f'process {holder}' if holder else 'another process'}. "
                "Stop that one first, or pass another --local-dir."
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "InstanceLock":
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _locked(fd: int) -> bool:
    """Whether the lock is ours now; somebody who only looks whether it is taken holds it for a moment."""
    until_s = time.monotonic() + _LOOKING_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
            time.sleep(0.02)
        else:
            return True
