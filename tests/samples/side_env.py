"""Virtual environments beside the project's own, for programs whose pins clash with ours: rivals, official clients.

Each is built once under `.side/` (which Git ignores) and named by what it holds.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def side_env(name: str, *requirements: str) -> Path:
    """Python of an environment that holds exactly these pinned requirements; the test skips where pip has none."""
    digest = hashlib.sha256("\n".join([sys.version, *sorted(requirements)]).encode()).hexdigest()[:12]
    folder = ROOT / ".side" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            done = subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(f"{name} not installed: {done.stderr.strip().splitlines()[-1]}")
            (folder / ".ready").touch()
    return python
