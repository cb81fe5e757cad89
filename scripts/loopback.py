"""A loopback exchange and the real observer beside it, as processes: what the recorder's proofs are run on.

with exchange("--venues", "polymarket") as served, observer(folder, served.url, "--markets", "crypto") as running:
    running.wait(20)
batches = logged(folder)
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observer.store.batch import Batch
from observer.store.segment import read_segment

ROOT = Path(__file__).resolve().parent.parent
START_S, STOP_S = 20.0, 10.0


@dataclass
class Exchange:
    """A running exchange."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str) -> Any:
        """Ask the control API."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Tell the control API something."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@dataclass
class Observer:
    """A running observer."""

    folder: Path
    process: subprocess.Popen[str]
    health: str

    def status(self) -> dict[str, Any]:
        """What `/health` says, well or not; {} before the first."""
        try:
            with urllib.request.urlopen(self.health, timeout=5) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def stop(self) -> dict[str, Any]:
        """SIGTERM, and the result it prints."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=STOP_S)
        if self.process.returncode != 0:
            raise RuntimeError(f"the observer ended with {self.process.returncode}")
        return json.loads(out)


@contextmanager
def exchange(*flags: str, core: int | None = None) -> Iterator[Exchange]:
    """A loopback exchange, ready; stopped at the end."""
    command = [*_pinned(core), sys.executable, "-m", "observer.cli.exchange", "--with-parent", *flags]
    process = _start(command, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Exchange(ready["url"], process)
    finally:
        _end(process)


@contextmanager
def observer(
    folder: Path,
    exchange_url: str,
    *flags: str,
    core: int | None = None,
    env: dict[str, str] | None = None,
    module: str = "observer.cli.observe",
) -> Iterator[Observer]:
    """The real observer (or a module that changes it first), recording an exchange into `folder`.

    Its words go to a file beside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = (folder.parent / f"{folder.name}.err").open("a+")
    begin = words.tell()
    command = [
        *_pinned(core), sys.executable, "-m", module, "--local-dir", str(folder), "--json",
        "--exchange", exchange_url, "--health-port", "0", *flags,
    ]  # fmt: skip
    process = _start(command, stderr=words, env=env)
    try:
        yield Observer(folder, process, _health_url(process, Path(words.name), begin))
    finally:
        _end(process)
        words.close()


def logged(folder: Path) -> list[Batch]:
    """Every batch of the sealed segments of all runs, in order."""
    paths = sorted((folder / "spool").glob("*/wal/*.wal"))
    return [batch for path in paths for batch in read_segment(path)]


def _start(command: list[str], stderr: Any, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)


def _health_url(process: subprocess.Popen[str], words: Path, begin: int) -> str:
    """Wait until the observer says where its health is."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        said = words.read_text()[begin:]
        for line in said.splitlines():
            if line.startswith("health and metrics on "):
                return line.split()[4]
        time.sleep(0.02)
    raise RuntimeError(f"the observer did not start: {words.read_text()[begin:][-2000:]}")


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a process that still runs, by its own id."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "--cpu-list", str(core)]
