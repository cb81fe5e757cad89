"""The recorder and its helpers make no system call that the unit's sandbox refuses; strace watches a real run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.rendered import DEPLOY, ROOT, tool

UNIT = (DEPLOY / "systemd/mlx-rl-observer.service").read_text()
AS_ROOT_ONLY = {"fchown"}  # SQLite, so that root's files beside a database belong to its owner; the unit is not root


def members(group: str) -> set[str]:
    """The system calls of one of systemd's groups, its subgroups resolved."""
    program = tool("systemd-analyze", "apt-get install systemd")
    said = subprocess.run([program, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    found: set[str] = set()
    for word in re.findall(r"^    (@?\w[\w-]*)", said, re.MULTILINE):
        found |= members(word) if word.startswith("@") else {word}
    return found


def allowed(unit: str) -> set[str]:
    """What a unit lets pass."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE):
        groups = line.removeprefix("~").split()
        named = set().union(*(members(group) for group in groups))
        found = found - named if line.startswith("~") else found | named
    return found


def traced(folder: Path, *command: str) -> set[tuple[str, str]]:
    """The system calls of a command and its children, with their arguments, without those before it was loaded."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed; apt-get install strace")
    log = folder / "trace"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = subprocess.run(
        [program, "-f", "-qq", "-o", str(log), *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "Operation not permitted" in done.stderr and not log.exists():
        pytest.skip("strace may not watch processes here")
    assert done.returncode == 1, done.stderr[-2000:]  # everything went well but the upload: no bucket answers
    return {(call, rest) for call, rest in re.findall(r"^\d+ +(\w+)\((.*)$", log.read_text(), re.MULTILINE)}


@pytest.mark.slow
def test_a_run_stays_inside_the_sandbox(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the loopback exchange is not installed")
    from observer.exchange.child import running

    with running("--speed", "60", "--venues", "polymarket", "coinbase") as exchange:
        calls = traced(
            tmp_path, sys.executable, "-m", "observer.cli.observe", "--markets", "BTC", "--exchange", exchange.url,
            "--venues", "polymarket", "coinbase", "--local-dir", "data", "--duration", "1200", "--health-port", "0",
            "--s3-bucket", "recordings", "--s3-endpoint-url", "http://127.0.0.1:9", "--json",
        )  # fmt: skip
    made = {call for call, _ in calls} - AS_ROOT_ONLY
    families = {family for call, rest in calls if call == "socket" for family in re.findall(r"AF_\w+", rest)}
    unsafe = [rest for call, rest in calls if call in ("mmap", "mprotect") and "PROT_WRITE|PROT_EXEC" in rest]
    (families_line,) = re.findall(r"^RestrictAddressFamilies=(.+)$", UNIT, re.MULTILINE)

    assert list(tmp_path.rglob("*.parquet"))  # the compactor was at work
    assert list(tmp_path.rglob("ledger-*.sqlite"))  # and so was the uploader
    assert made - allowed(UNIT) == set()
    assert families <= set(families_line.split())
    assert unsafe == []  # MemoryDenyWriteExecute=
    # A sandbox without these would have been noticed: the compactor asks for a lower priority.
    assert made - allowed(f"{UNIT}\nSystemCallFilter=~@resources\n")
