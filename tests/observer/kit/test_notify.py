"""What systemd hears: held against a socket of our own, and against systemd's own program."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observer.kit import notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(2.0)
        monkeypatch.setenv(notify.SOCKET, str(tmp_path / "notify"))
        yield listener


@pytest.mark.parametrize(
    ("tell", "message"),
    [(notify.ready, b"READY=1"), (notify.alive, b"WATCHDOG=1"), (notify.stopping, b"STOPPING=1")],
)
def test_systemd_hears_each_message_once(systemd: socket.socket, tell: Callable[[], bool], message: bytes) -> None:
    assert tell() is True
    assert systemd.recv(100) == message
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="systemd-notify is not installed")
def test_systemds_own_program_says_the_same(systemd: socket.socket) -> None:
    subprocess.run(["systemd-notify", "--no-block", "--ready"], check=True, timeout=10)
    theirs = systemd.recv(1000).decode().split("\n")
    notify.ready()
    ours = systemd.recv(1000).decode().split("\n")

    assert set(ours) <= set(theirs)


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"mlx-rl-test{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(2.0)
        monkeypatch.setenv(notify.SOCKET, "@" + name)

        assert notify.alive() is True
        assert listener.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(notify.SOCKET, raising=False)

    assert notify.ready() is False


def test_a_deaf_systemd_neither_stops_nor_delays_the_recorder(
    systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    heard = [notify.alive() for _ in range(10_000)]

    assert heard[0] is True
    assert heard[-1] is False  # its queue is full, and nobody waited for it
    assert "WATCHDOG=1" in caplog.text


def test_a_vanished_socket_is_said_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(notify.SOCKET, str(tmp_path / "gone"))

    assert notify.alive() is False
    assert "systemd did not take WATCHDOG=1" in caplog.text
