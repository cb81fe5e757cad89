"""A disk in memory that can lose power, run full and fail.

Bytes count only after `sync`, names only after `sync_folder`. At a power cut each unsynced write is kept, lost or torn
at sectors, each on its own, so later ones may survive earlier ones; a file may have grown over sectors that never
arrived, which then hold zeros or what another file left there.
"""

import errno
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from observer.store.filesystem import Space

SECTOR = 512


class PowerCut(BaseException):
    """The machine is off; nothing in the process may catch this."""


class _File:
    def __init__(self) -> None:
        self.data = b""  # what processes see
        self.platter = b""  # what is there after a power cut
        self.unsynced: list[tuple[int, bytes] | int] = []  # (offset, bytes) written, or a size it was cut to
        self.reserved = 0


class CrashDisk:
    """A `FileSystem` with one disk.

    Attributes:
        ops_left: calls until the power goes; None: it stays.
        capacity_bytes: of the disk.
        fault: called with the name of each call; may raise OSError, or return how many bytes a write takes.
        keeps_syncs: False makes every sync a lie.
    """

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        self.ops_left: int | None = None
        self.capacity_bytes = capacity_bytes
        self.fault: Callable[[str], int | None] = lambda call: None
        self.keeps_syncs = True
        self.calls: list[str] = []
        self._live: dict[Path, _File] = {}
        self._platter: dict[Path, _File] = {}
        self._unsynced: list[tuple[Path, Callable[[dict[Path, _File]], None]]] = []  # folder, what happens to names
        self._folders: set[Path] = set()
        self._open: dict[int, _File] = {}
        self._next_fd = 100

    # What the log calls.

    def make_folder(self, path: Path) -> None:
        self._op("make_folder")
        self._folders |= {path, *path.parents}

    def create(self, path: Path) -> int:
        self._op("create")
        if path in self._live:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        file = _File()
        self._names(path.parent, lambda names: names.__setitem__(path, file))
        return self._opened(file)

    def reopen(self, path: Path) -> int:
        self._op("reopen")
        return self._opened(self._live[path])

    def reserve(self, fd: int, start: int, length: int) -> None:
        self._op("reserve")
        file = self._open[fd]
        more = start + length - max(file.reserved, len(file.data))
        if more > self._free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.reserved = max(file.reserved, start + length)

    def write(self, fd: int, data: bytes) -> int:
        taken = self._op("write")
        file = self._open[fd]
        fresh = len(file.data) + len(data) - max(file.reserved, len(file.data))  # not set aside before
        room = len(data) - max(0, fresh - self._free())
        data = data[: max(0, room) if taken is None else taken]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.unsynced.append((len(file.data), data))
        file.data += data
        return len(data)

    def truncate(self, fd: int, size: int) -> None:
        self._op("truncate")
        file = self._open[fd]
        file.data = file.data[:size]
        file.reserved = 0
        file.unsynced.append(size)

    def sync(self, fd: int) -> None:
        self._op("sync")
        if self.keeps_syncs:
            file = self._open[fd]
            file.platter, file.unsynced = file.data, []

    def close(self, fd: int) -> None:
        self._op("close")
        del self._open[fd]

    def rename(self, old: Path, new: Path) -> None:
        self._op("rename")

        def apply(names: dict[Path, _File]) -> None:
            if old in names:
                names[new] = names.pop(old)

        self._names(old.parent, apply)

    def unlink(self, path: Path) -> None:
        self._op("unlink")
        self._names(path.parent, lambda names: names.pop(path, None))

    def remove_folder(self, path: Path) -> None:
        self._op("remove_folder")
        if path not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        if any(path in other.parents for other in (*self._live, *self._folders)):
            raise OSError(errno.ENOTEMPTY, "not empty", str(path))
        self._folders.remove(path)

    def sync_folder(self, path: Path) -> None:
        self._op("sync_folder")
        if self.keeps_syncs:
            for folder, apply in self._unsynced:
                if folder == path:
                    apply(self._platter)
            self._unsynced = [entry for entry in self._unsynced if entry[0] != path]

    def names(self, folder: Path) -> list[str]:
        self._op("names")
        return sorted({p.name for p in (*self._live, *self._folders) if p.parent == folder})

    def open_read(self, path: Path) -> BinaryIO:
        self._op("open_read")
        return io.BytesIO(self._live[path].data)

    def space(self, path: Path) -> Space:
        self._op("space")
        return Space(self.capacity_bytes, self._free())

    # What the test calls.

    def paths(self) -> list[Path]:
        """Every file, sorted."""
        return sorted(self._live)

    def data(self, path: Path) -> bytes:
        """What a process would read."""
        return self._live[path].data

    def damage(self, path: Path, data: bytes) -> None:
        """Replace a file's bytes."""
        self._live[path].data = self._live[path].platter = data

    def power_back(self, rng: random.Random) -> None:
        """Lose what was not synced, each piece by its own luck, and start again."""
        for folder, apply in self._unsynced:
            if rng.random() < 0.5 and folder:
                apply(self._platter)
        stale = b"".join(file.data for file in self._live.values())
        for file in self._platter.values():
            file.data = file.platter = _after_cut(file, stale, rng)
            file.unsynced, file.reserved = [], 0
        self._live = dict(self._platter)
        self._unsynced, self._open, self.ops_left = [], {}, None

    def _op(self, call: str) -> int | None:
        self.calls.append(call)
        if self.ops_left is not None:
            self.ops_left -= 1
            if self.ops_left < 0:
                raise PowerCut
        return self.fault(call)

    def _names(self, folder: Path, apply: Callable[[dict[Path, _File]], object]) -> None:
        apply(self._live)
        self._unsynced.append((folder, apply))  # type: ignore[arg-type]

    def _opened(self, file: _File) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = file
        return self._next_fd

    def _free(self) -> int:
        used = sum(max(len(file.data), file.reserved) for file in self._live.values())
        return max(0, self.capacity_bytes - used)


def _after_cut(file: _File, stale: bytes, rng: random.Random) -> bytes:
    content = bytearray(file.platter)
    filler = stale if rng.random() < 0.3 else b""
    for piece in file.unsynced:
        if isinstance(piece, int):
            if rng.random() < 0.5:
                del content[piece:]
            continue
        offset, data = piece
        luck = rng.random()
        if luck < 0.3:  # lost without a trace
            continue
        hole = range(len(content), offset + len(data))
        content += bytes(filler[i] if i < len(filler) else 0 for i in hole)  # the file grew
        if luck < 0.5:  # and that is all
            continue
        for start in range(offset - offset % SECTOR, offset + len(data), SECTOR):
            if luck > 0.75 or rng.random() < 0.6:
                first, last = max(start, offset), min(start + SECTOR, offset + len(data))
                content[first:last] = data[first - offset : last - offset]
    return bytes(content)
