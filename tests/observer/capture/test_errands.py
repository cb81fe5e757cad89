"""What follows a recording that ended by itself can be stopped, and is gone on with later."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.capture.errands import run_errands
from observer.store.files import FolderLock
from observer.store.reader import Recording
from tests.deploy.rendered import ROOT


@pytest.fixture
def errands(tmp_path: Path) -> dict[str, str]:
    """An environment in which `-m quick` writes a file, `-m slow` waits, `-m deaf` does too and will not be told."""
    waits = "import pathlib, time\npathlib.Path('{0}').write_text('')\ntime.sleep(60)\n"
    (tmp_path / "quick.py").write_text(f"import pathlib\npathlib.Path('{tmp_path / 'quick'}').write_text('')\n")
    (tmp_path / "slow.py").write_text(waits.format(tmp_path / "slow"))
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    (tmp_path / "deaf.py").write_text(deaf + waits.format(tmp_path / "deaf"))
    (tmp_path / "bad.py").write_text("raise SystemExit(3)\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def tell_once_there(path: Path) -> None:
    """SIGTERM to this process as soon as a file is there."""

    def wait() -> None:
        while not path.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("name", ["slow", "deaf"])
def test_one_that_runs_is_ended_and_no_other_begun(
    name: str, errands: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    tell_once_there(tmp_path / name)

    began_s = time.monotonic()
    assert run_errands([(name,), ("quick",)], errands) == []

    assert time.monotonic() - began_s < 10
    assert not (tmp_path / "quick").exists()
    assert "the next start goes on with it" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_that_fails_is_said_and_the_next_begun(errands: dict[str, str], tmp_path: Path) -> None:
    failed = run_errands([("bad",), ("quick",)], errands)

    assert (tmp_path / "quick").exists()
    assert failed == ["`python -m bad` ended with 3; run it again: nothing is lost"]


@contextlib.contextmanager
def recorder(folder: Path, exchange_url: str, duration: str) -> Iterator[subprocess.Popen[str]]:
    """The real one."""
    command = [sys.executable, "-m", "observer.cli.observe", "--venues", "coinbase", "--exchange", exchange_url]
    process = subprocess.Popen(
        [*command, "--local-dir", str(folder), "--json", "--duration", duration],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the helper in /proc")
def test_a_recorder_told_to_stop_while_it_brings_its_recording_home_ends_well(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the loopback exchange is not installed")
    from observer.exchange.child import running

    data = tmp_path / "data"
    with running("--venues", "coinbase") as exchange:
        with recorder(data, exchange.url, "1.5") as process:
            until_s = time.monotonic() + 30
            while not _is_compacting(process.pid) and time.monotonic() < until_s:
                time.sleep(0.005)
            child = _is_compacting(process.pid)
            process.send_signal(signal.SIGTERM)
            told_s = time.monotonic()
            code = process.wait(10)
            took_s = time.monotonic() - told_s
            assert process.stderr is not None
            said = process.stderr.read()
        assert child
        assert "the next start goes on with it" in said
        assert (code, took_s < 5) == (0, True)
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        lock = FolderLock(data / ".compact") if (data / ".compact").exists() else None
        if lock is not None:
            lock.take()  # nobody holds it any more
            lock.release()

        with recorder(data, exchange.url, "1") as process:
            assert process.wait(30) == 0
    assert not list((data / "spool").glob("*/wal/*"))
    assert Recording(data).manifests


def _is_compacting(parent: int) -> int:
    """The process id of its `observer.cli.compact`; 0 where there is none."""
    for found in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"observer.cli.compact" in Path(f"/proc/{found}/cmdline").read_bytes():
                return int(found)
    return 0
