"""A stranger's fresh clone goes from nothing to the demo's report in five minutes.

The repository is cloned into an empty folder and `make demo` is run there: environment, recordings, four models, two
comparisons, four certificates, paper trading, replay, report. Packages may come from pip's cache.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.proofs import Measurement

ROOT = Path(__file__).resolve().parents[2]
BAR_S = 300.0


def measure() -> Measurement:
    """Seconds of `make demo` in a fresh clone, and what its summary must hold."""
    return _run(damage=False)


def control() -> Measurement:
    """One byte of the bundled ticks is changed: the demo must stop, not report."""
    return _run(damage=True)


def _run(*, damage: bool) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        if damage:
            (clone / ".venv").symlink_to(ROOT / ".venv")
            _flip_a_byte(clone / "observer/samples/polymarket_btc15m_6_windows/ticks.parquet")
        started = time.monotonic()
        command = ["make", "demo"] if not damage else [str(ROOT / ".venv/bin/python"), "-m", "live.cli.main", "demo"]
        environment = {**os.environ, "PYTHONPATH": str(clone)}
        done = subprocess.run(
            command,
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        took = time.monotonic() - started
        summary = clone / "demo" / "summary.json"
        found = json.loads(summary.read_text()) if summary.exists() else {}
        page = clone / "demo" / "report.html"
        holds = done.returncode == 0 and took <= BAR_S and page.exists() and _is_whole(found)
    return Measurement(took, BAR_S, "s", holds, {"exit": done.returncode, "summary": found, "end": done.stdout[-500:]})


def _is_whole(s: dict[str, Any]) -> bool:
    return bool(
        s
        and s["spike"]["share"]["transformer"] >= 0.8
        and s["spike"]["share"]["base"] <= 0.2
        and s["spike"]["verdict"] == "BETTER"
        and s["real"]["verdict"] == "INCONCLUSIVE"
        and (s["real"]["windows_needed"] or 0) > s["real"]["windows"]
        and s["parity"]["max_abs"] <= 1e-5
        and s["parity"]["flips"] == 0
        and s["paper"]["replay_equal"]
    )


def _flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x01
    path.write_bytes(raw)
