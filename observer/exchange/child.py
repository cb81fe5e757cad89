"""An exchange in a process of its own, for tests, proofs and the demo.

with running("--seed", "1", "--venues", "polymarket") as child:
    child.url                                          # for `--exchange`
    child.post("/control/faults", {"kind": "freeze", "venue": "polymarket", "duration_s": 30})
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import observer
from observer.kit.errors import ToolkitError

_STOP_WITHIN_S = 10.0


class Child:
    """A running exchange and its control door.

    Attributes:
        ready: what its first line said: url, pid, venues, clock.
        url: its base address.
    """

    def __init__(self, ready: dict[str, Any]) -> None:
        self.ready = ready
        self.url: str = ready["url"]
        self._http = httpx.Client(base_url=self.url, timeout=10.0)

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON that an address answers; raises `httpx.HTTPStatusError` for a refusal."""
        return self._http.get(path, params=query).raise_for_status().json()

    def post(self, path: str, value: Any) -> Any:
        """Post JSON and return the JSON answer; raises `httpx.HTTPStatusError` for a refusal."""
        return self._http.post(path, json=value).raise_for_status().json()

    def delete(self, path: str) -> Any:
        """Delete and return the JSON answer; raises `httpx.HTTPStatusError` for a refusal."""
        return self._http.delete(path).raise_for_status().json()

    def close(self) -> None:
        """Close the control door."""
        self._http.close()


@contextmanager
def running(*flags: str) -> Iterator[Child]:
    """Start `mlx-rl exchange` with these flags, and stop it at the end; it also stops if this process is killed.

    Raises:
        ToolkitError: it did not start; the text says what it printed.
    """
    root = str(Path(observer.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "observer.cli.exchange", "--with-parent", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            said = process.communicate(timeout=_STOP_WITHIN_S)[1]
            raise ToolkitError(f"the exchange did not start: {said.strip() or 'it said nothing'}")
        child = Child(json.loads(line))
        try:
            yield child
        finally:
            child.close()
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
