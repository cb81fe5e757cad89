"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording, UsageError
from observer.store.filesystem import REAL

_BLOCK_BYTES = 1 << 20
_FLUSH_THREADS = 8


def sha256_of(path: Path) -> str:
    """Hash a file's bytes, block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def to_json_bytes(value: Any) -> bytes:
    """The one way a recording's JSON is laid out, so that equal content is equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def from_json_bytes(raw: bytes, path: Path) -> dict[str, Any]:
    """Parse a recording's JSON file.

    Raises:
        BadRecording: the bytes are not a JSON object.
    """
    try:
        value = json.loads(raw)
    except ValueError as error:  # a JSONDecodeError or a UnicodeDecodeError
        raise BadRecording(
            f"{path} is damaged: not JSON ({error}). Restore it, or import the recording again."
        ) from error
    if not isinstance(value, dict):
        raise BadRecording(f"{path} is damaged: a JSON {type(value).__name__}, expected an object.")
    return value


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries (new names, renames), to the disk, out of a Mac's drive cache too."""
    REAL.sync_folder(path)


def flush_all(paths: Iterable[Path]) -> None:
    """Force many files, or folders' entries, to the disk; a journal flushes waiting callers together."""
    with ThreadPoolExecutor(_FLUSH_THREADS) as pool:
        list(pool.map(flush, paths))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)


class FolderLock:
    """One writer per recording: an advisory lock that dies with its process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fd = -1

    def take(self) -> None:
        """Take the lock.

        Raises:
            UsageError: another process is writing to the same recording.
        """
        fd = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise UsageError(
                f"{self.root} is being written by another process. Wait for it to end, or use another --data-dir."
            ) from None
        self._fd = fd

    def release(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
