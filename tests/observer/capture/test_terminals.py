"""A terminal stopped by Ctrl-S, or a pipe that nobody reads, stops neither the recording nor its end."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from observer.store.segment import read_segment
from tests.deploy.rendered import ROOT

Ends = tuple[int, int]  # what we hold, what the recorder writes to


def stopped_terminal() -> Ends:
    """A terminal after Ctrl-S."""
    ours, its = pty.openpty()
    tty.setraw(its)
    termios.tcflow(its, termios.TCOOFF)
    return ours, its


def full_pipe() -> Ends:
    """A pipe that is full."""
    ours, its = os.pipe()
    os.set_blocking(its, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(its, b"x" * 4096)
    os.set_blocking(its, True)
    return ours, its


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status(port: int) -> dict[str, Any]:
    """What `/health` says; {} where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())
    except OSError:
        return {}


@contextlib.contextmanager
def recorder(folder: Path, exchange_url: str, port: int, its: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real one, which writes everything it says to `its`."""
    command = [sys.executable, "-m", "observer.cli.observe", "--venues", "coinbase", "--exchange", exchange_url]
    process = subprocess.Popen(
        [*command, "--local-dir", str(folder), "--json", "--health-port", str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=its, stderr=its,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("blocked", [full_pipe, stopped_terminal])
def test_nobody_who_reads_holds_up_neither_the_recording_nor_its_end(
    blocked: Callable[[], Ends], tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp", reason="the loopback exchange is not installed")
    from observer.exchange.child import running

    ours, its = blocked()
    port, data = free_port(), tmp_path / "data"
    with running("--venues", "coinbase") as exchange, recorder(data, exchange.url, port, its) as process:
        until_s = time.monotonic() + 20.0
        while status(port).get("ticks", 0) < 8 and time.monotonic() < until_s:
            time.sleep(0.1)
        seen = status(port)
        told_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        took_s = time.monotonic() - told_s
    os.close(ours)
    os.close(its)

    assert seen.get("ticks", 0) >= 8
    assert (code, took_s < 5) == (0, True)
    (segment,) = (data / "spool").glob("*/wal/*.wal")
    assert len(list(read_segment(segment))) >= 8
