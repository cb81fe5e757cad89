"""The loop beside the recorder: it works, it steps aside, and it does not outlive who started it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from observer.compact.standing import REPORT
from observer.store.files import FolderLock
from observer.store.reader import Recording
from tests.observer.compact.scripted import ScriptedRecorder, two_books, window
from tests.observer.compact.test_compactor import RUN_A, play

ROOT = Path(__file__).resolve().parents[3]
LOOP = [sys.executable, "-m", "observer.compact", "--every", "0.2", "--local-dir"]


def until(said, what: str) -> None:
    for _ in range(600):
        if said():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within 30 s")


def told(folder: Path) -> dict[str, Any]:
    """What the compactor says of itself."""
    path = folder / "spool" / REPORT
    return json.loads(path.read_text()) if path.exists() else {"failing_since_ns": -1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recorder = ScriptedRecorder(tmp_path, RUN_A)
    play(recorder, 30, two_books(window("m", 0, 20)))
    recorder.stop()
    return tmp_path


def test_it_compacts_goes_on_after_a_failure_yields_and_ends_at_once_on_sigterm(folder: Path) -> None:
    lock = FolderLock(folder)
    lock.take()  # somebody imports into the recording
    process = subprocess.Popen([*LOOP, str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    sealed = sum(path.stat().st_size for path in folder.glob("spool/*/wal/*.wal"))
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        until(lambda: told(folder)["failing_since_ns"] > 0, "the report of it")
        waits = told(folder)["waiting_bytes"]
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        lock.release()
        until(lambda: not list(folder.glob("spool/*/wal/*")), "compaction")
        until(lambda: told(folder)["failing_since_ns"] == 0, "the report that all is well")
        left = told(folder)["waiting_bytes"]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=10)
        took_s = time.monotonic() - began
    finally:
        process.kill()

    assert "compaction failed, next try in 0.2 s: " in first
    assert "is being written by another process" in first
    assert (code, nice) == (0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10))
    assert took_s < 5
    assert len(Recording(folder).markets()) == 1
    assert (waits, left) == (sealed, 0)
    assert sealed > 0
    assert "is being written by another process" in told(folder)["last_error"]["text"]


@pytest.mark.parametrize("lives_s", [-0.3, 0.0, 3.0])
def test_it_ends_when_the_process_that_started_it_is_killed(folder: Path, lives_s: float) -> None:
    program = (
        "import subprocess, time; from observer.capture.children import helper_environment; "
        f"child = subprocess.Popen({[*LOOP, str(folder)]!r}, env=helper_environment()); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3 + lives_s)  # before its first line; while it imports its libraries; at work
    parent.kill()
    parent.wait()
    parent.stdout.close()

    try:
        until(lambda: not _runs(child), "its end")
    finally:
        if _runs(child):
            os.kill(child, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


def test_wrong_flags_are_misuse() -> None:
    from observer.compact.__main__ import main

    assert main(["--every", "0"]) == 2
    assert main(["--help"]) == 0
    assert main(["--local-dir", "/none"]) == 2
