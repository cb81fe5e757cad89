"""The uploader as the process that the recorder starts: flags, exit codes, one at a time, ends when told to."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.s3 import __main__ as door
from observer.s3.__main__ import main
from tests.observer.s3.test_folder import files_below
from tests.samples.fault_proxy import FaultProxy
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_recording(tmp_path / "data", windows=2)


def flags(root: Path, endpoint: str) -> list[str]:
    return ["--local-dir", str(root), "--bucket", "recordings", "--prefix", "p", "--endpoint-url", endpoint]


@pytest.fixture
def frozen(root: Path, quirky: QuirkServer) -> Iterator[subprocess.Popen[bytes]]:
    """An uploader whose store has fallen silent."""
    with FaultProxy(quirky.port) as proxy:
        proxy.set("blackhole")
        command = [sys.executable, "-m", "observer.s3", *flags(root, f"http://127.0.0.1:{proxy.port}")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 20
            while not (root / "spool" / "upload.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)  # into the probe, which gets no answer
            yield process
        finally:
            process.kill()
            process.wait()


def test_once_brings_everything_up_and_ends(
    root: Path, quirky: QuirkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*flags(root, quirky.endpoint), "--once", "--json"])

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["uploaded_files"] == len(files_below(root))
    assert result["dataset_id"] == json.loads((root / "dataset.json").read_text())["dataset_id"]
    assert json.loads((root / "spool" / "upload.json").read_text())["state"] == "stopped"


def test_once_ends_with_an_error_where_a_file_is_damaged(
    root: Path, quirky: QuirkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hurt = next((root / "ticks").rglob("part-*.parquet"))
    hurt.write_bytes(b"")

    code = main([*flags(root, quirky.endpoint), "--once"])

    assert code == 1
    assert "1 files of" in capsys.readouterr().err


def test_once_ends_with_an_error_where_the_store_is_down(
    root: Path, quirky: QuirkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    quirky.quirks.add("503")

    assert main([*flags(root, quirky.endpoint), "--once"]) == 1
    assert "SlowDown" in capsys.readouterr().err


def test_once_gives_up_where_the_folder_is_being_written_to(
    root: Path, quirky: QuirkServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_ONCE_PASSES", 2)
    monkeypatch.setattr(door, "_ONCE_WAIT_S", 0.01)
    monkeypatch.setattr(door.Uploader, "step", lambda self: False)

    assert main([*flags(root, quirky.endpoint), "--once"]) == 2
    assert "is being written to, or a writer was cut short there" in capsys.readouterr().err


def test_an_endpoint_that_is_no_address_is_a_misuse(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags(root, "no address"), "--once"]) == 2
    assert "the S3 client cannot be made" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_a_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags(tmp_path / "nowhere", "http://127.0.0.1:9")) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_bucket_that_is_none_is_a_misuse(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--local-dir", str(root), "--bucket", "NO BUCKET"]) == 2
    assert "no place in a bucket" in capsys.readouterr().err


def test_it_ends_at_once_though_the_store_is_silent(frozen: subprocess.Popen[bytes], root: Path) -> None:
    assert frozen.poll() is None
    started = time.monotonic()

    frozen.send_signal(signal.SIGTERM)

    assert frozen.wait(10) == 0
    assert time.monotonic() - started < 2.0  # the recorder kills what takes longer
    assert json.loads((root / "spool" / "upload.json").read_text())["state"] == "stopped"


def test_a_second_uploader_of_the_same_folder_is_refused(
    frozen: subprocess.Popen[bytes], root: Path, quirky: QuirkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frozen.poll() is None

    assert main([*flags(root, quirky.endpoint), "--once"]) == 2
    assert "written by another process" in capsys.readouterr().err


def test_it_does_not_outlive_the_process_that_started_it(root: Path, quirky: QuirkServer) -> None:
    command = [sys.executable, "-m", "observer.s3", *flags(root, quirky.endpoint), "--every", "0.1"]
    status = root / "spool" / "upload.json"
    recorder = f"import subprocess, sys, time; subprocess.Popen({command!r}, stderr=subprocess.DEVNULL); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", recorder])
    try:
        _await(status, "idle")

        parent.kill()
        parent.wait()

        _await(status, "stopped")
    finally:
        parent.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(status.read_text())["pid"], signal.SIGKILL)


@pytest.mark.parametrize("lives_s", [0.0, 0.3])
def test_it_ends_though_the_recorder_was_killed_before_its_first_line(
    root: Path, quirky: QuirkServer, lives_s: float
) -> None:
    args = ("observer.s3", *flags(root, quirky.endpoint), "--every", "0.1")
    recorder = f"""
import subprocess, sys, time
from observer.capture.children import helper_environment
child = subprocess.Popen([sys.executable, "-m", *{args!r}], env=helper_environment(), stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", recorder], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(lives_s)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 20
    try:
        while _runs(child):
            assert time.monotonic() < deadline, "it goes on for ever"
            time.sleep(0.05)
    finally:
        if _runs(child):
            os.kill(child, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


def _await(status: Path, state: str) -> None:
    """Wait until the uploader says so."""
    deadline = time.monotonic() + 20
    while not status.exists() or json.loads(status.read_text())["state"] != state:
        assert time.monotonic() < deadline, status.read_text() if status.exists() else "no status"
        time.sleep(0.05)


def test_killed_in_the_middle_it_goes_on_from_there(root: Path, quirky: QuirkServer) -> None:
    make_recording(root, windows=30)
    command = [sys.executable, "-m", "observer.s3", *flags(root, quirky.endpoint)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while len(quirky.objects) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    first = dict(quirky.objects)

    assert main([*flags(root, quirky.endpoint), "--once"]) == 0

    assert 10 <= len(first) < len(quirky.objects)
    assert first.items() <= quirky.objects.items()
    files = {path for path in quirky.objects if not any(f"/p/{own}/" in path for own in ("index", "lists", "_probe"))}
    assert len(files) == len(files_below(root))
