"""The runs in the spool, and up to which time each of them is sealed."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from observer.store.instance_lock import LOCK
from observer.store.recovery import WAL
from observer.store.segment import OPEN, SEALED

SPOOL = "spool"


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the recorder, as its folder shows it.

    Attributes:
        run_id: also its folder's name; names sort in order of time.
        segments: the sealed ones, in order.
        open: how many are open (being written, or left by a crash).
        is_recording: whether the recorder that writes it is alive.
    """

    run_id: str
    segments: tuple[Path, ...]
    open: int
    is_recording: bool


def read_runs(root: Path) -> list[Run]:
    """Every run below `root`, oldest first."""
    folders = sorted(folder for folder in (root / SPOOL).glob("*") if (folder / WAL).is_dir())
    runs: list[Run] = []
    is_recording = bool(folders) and is_recorded_into(root)
    for folder in folders:
        # Open ones first: a segment sealed in between is then seen twice, never missed.
        n_open = sum(1 for _ in (folder / WAL).glob(f"*{OPEN}"))
        sealed = tuple(sorted((folder / WAL).glob(f"*{SEALED}")))
        runs.append(Run(folder.name, sealed, n_open, is_recording and folder == folders[-1]))
    return runs


def is_recorded_into(root: Path) -> bool:
    """Whether a recorder holds the folder's lock."""
    try:
        fd = os.open(root / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _is_alive(os.pread(fd, 32, 0)):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _is_alive(pid: bytes) -> bool:
    """Whether the process that wrote its id into the lock is there, so that the lock of a dead one is never touched."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
