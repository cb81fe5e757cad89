"""The real file system behind the seam."""

import errno
import os
import sys
from pathlib import Path

import pytest

from observer.store import filesystem
from observer.store.filesystem import REAL


def test_room_is_set_aside_without_moving_the_end_of_the_file(tmp_path: Path) -> None:
    fd = REAL.create(tmp_path / "file")
    REAL.write(fd, b"abc")

    REAL.reserve(fd, 3, 1 << 20)

    assert REAL.write(fd, b"def") == 3
    REAL.close(fd)
    assert (tmp_path / "file").read_bytes() == b"abcdef"


def test_a_full_disk_is_told_when_room_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = REAL.create(tmp_path / "file")

    def refuse(*_: int) -> int:
        filesystem.ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(filesystem, "_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        REAL.reserve(fd, 0, 10)
    monkeypatch.setattr(filesystem, "_fallocate", lambda *_: filesystem.ctypes.set_errno(errno.EOPNOTSUPP) or -1)
    REAL.reserve(fd, 0, 10)  # a file system that does not offer it is no error
    REAL.close(fd)


def test_a_signal_while_room_is_set_aside_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [errno.EINTR, errno.EINTR, 0]

    def interrupted(*_: int) -> int:
        filesystem.ctypes.set_errno(answer := answers.pop(0))
        return -1 if answer else 0

    monkeypatch.setattr(filesystem, "_fallocate", interrupted)
    REAL.reserve(-1, 0, 10)

    assert answers == []


def test_on_a_mac_the_drives_cache_is_emptied_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    answer = 0

    def fcntl(fd: int, command: int) -> int:
        asked.append(command)
        if answer:
            raise OSError(answer, os.strerror(answer))
        return 0

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(filesystem.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(filesystem.fcntl, "fcntl", fcntl)
    fd = REAL.create(tmp_path / "file")
    REAL.sync(fd)
    REAL.sync_folder(tmp_path)
    answer = errno.ENOTSUP  # a network share
    REAL.sync(fd)
    answer = errno.EIO

    with pytest.raises(OSError, match="Input/output"):
        REAL.sync(fd)
    assert asked == [51] * 4
    REAL.close(fd)


def test_there_is_no_early_reservation_off_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert filesystem._load_fallocate() is None


def test_free_space_is_what_this_user_may_fill(tmp_path: Path) -> None:
    space = REAL.space(tmp_path)

    assert 0 < space.free_bytes <= space.total_bytes


def test_a_file_is_never_overwritten_by_a_new_one(tmp_path: Path) -> None:
    REAL.close(REAL.create(tmp_path / "file"))

    with pytest.raises(FileExistsError):
        REAL.create(tmp_path / "file")
