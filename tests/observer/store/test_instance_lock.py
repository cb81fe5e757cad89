"""One observer per folder."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from observer.kit.errors import UsageError
from observer.store.instance_lock import LOCK, InstanceLock


def test_a_second_observer_is_told_who_records_here(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from observer.store.instance_lock import InstanceLock\n"
        "lock = InstanceLock(Path(sys.argv[1])); lock.take(); print('taken', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "taken\n"

    with pytest.raises(UsageError, match=rf"already recorded into by process {other.pid}\. Stop that one"):
        InstanceLock(tmp_path).take()

    other.kill()  # and its lock goes with it
    other.wait()
    with InstanceLock(tmp_path):
        assert (tmp_path / LOCK).read_text().strip() != str(other.pid)
    other.stdin.close()  # type: ignore[union-attr]
    other.stdout.close()


def test_a_lock_given_back_can_be_taken_again(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "new" / "folder")
    lock.take()
    lock.release()
    lock.release()

    with InstanceLock(tmp_path / "new" / "folder"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot hold a recording"):
        InstanceLock(tmp_path / "file" / "data").take()


def test_a_holder_that_left_no_id_is_still_refused(tmp_path: Path) -> None:
    with InstanceLock(tmp_path):
        (tmp_path / LOCK).write_text("")

        with pytest.raises(UsageError, match="by another process"):
            InstanceLock(tmp_path).take()


def test_one_who_only_looks_whether_it_is_taken_turns_nobody_away(tmp_path: Path) -> None:
    with InstanceLock(tmp_path):
        pass
    fd = os.open(tmp_path / LOCK, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_SH)  # `observer.compact.runs.is_recorded_into`, and `mlx-rl compact`
    threading.Timer(0.1, os.close, [fd]).start()

    with InstanceLock(tmp_path):
        pass
