"""The recorder tells systemd that it is ready, and once a tick that it is alive: what the unit's watchdog waits for."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observer.kit.notify import SOCKET
from tests.deploy.rendered import ROOT


def test_systemd_hears_ready_then_a_sign_of_life_a_tick_then_stopping(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the loopback exchange is not installed")
    from observer.exchange.child import running

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, running("--venues", "coinbase") as exchange:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20.0)
        environment = {**os.environ, SOCKET: str(tmp_path / "notify"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "observer.cli.observe", "--venues", "coinbase", "--exchange", exchange.url]
        recorder = subprocess.Popen(
            [*command, "--local-dir", str(tmp_path / "data"), "--json"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            heard = [systemd.recv(100).decode() for _ in range(4)]
            recorder.send_signal(signal.SIGTERM)
            while heard[-1] != "STOPPING=1":
                heard.append(systemd.recv(100).decode())
            code = recorder.wait(20)
        finally:
            recorder.kill()
            recorder.wait()

    assert heard[:4] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert set(heard[4:-1]) <= {"WATCHDOG=1"}
    assert code == 0
