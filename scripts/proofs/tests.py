"""A stranger's fresh clone passes every check and test in twelve minutes.

The repository is cloned into an empty folder and `make test` is run there, environment included.
"""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from scripts.proofs import Measurement

ROOT = Path(__file__).resolve().parents[2]
BAR_S = 720.0

BROKEN = '''"""A law that does not hold."""


def test_two_and_two_make_five() -> None:
    assert 2 + 2 == 5
'''


def measure() -> Measurement:
    """Seconds of `make test` in a fresh clone; green, and every skip names the absent data or hardware."""
    return _run(["make", "test"], planted=False)


def control() -> Measurement:
    """A test that fails is planted among the contracts: `make test`, cut down to that folder, must be red."""
    return _run(["make", "test", "PYTHON=python3"], planted=True)


def _run(command: list[str], *, planted: bool) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        if planted:
            (clone / "tests/observer/kit/test_planted.py").write_text(BROKEN)
            # The same recipe; only the folder that pytest walks by default is smaller, and the environment is ours.
            settings = clone / "pyproject.toml"
            settings.write_text(
                settings.read_text().replace('testpaths = ["tests"]', 'testpaths = ["tests/observer/kit"]')
            )
            (clone / ".venv").symlink_to(ROOT / ".venv")
            (clone / "Makefile").write_text(
                (clone / "Makefile").read_text().replace("$(STAMP): pyproject.toml constraints.txt", "$(STAMP):")
            )
        environment = {**os.environ, "PYTEST_ADDOPTS": "-rs"}
        started = time.monotonic()
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
    skipped = re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE)
    unexplained = [line for line in skipped if not re.search(r"absent|Metal|Apple|network|not installed", line)]
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    holds = done.returncode == 0 and took <= BAR_S and not unexplained and " passed" in last
    return Measurement(took, BAR_S, "s", holds, {"exit": done.returncode, "last_line": last, "skipped": skipped})
