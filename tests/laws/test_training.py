"""Laws of training: a killed run ends where an unbroken one ends, and the seed decides everything."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
N_STEPS = {"one-stream": 27, "two-streams": 6}


def run(folder: Path, plan: str, die_at: int = 0, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mlx_rl.training.killed", str(folder), plan, str(die_at), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("plan", ["one-stream", "two-streams"])
def test_a_run_killed_at_any_step_and_resumed_ends_with_the_same_bits(plan: str, tmp_path: Path) -> None:
    die_at = random.randint(1, N_STEPS[plan])
    unbroken = run(tmp_path / "unbroken", plan)
    killed = run(tmp_path / "killed", plan, die_at)
    resumed = run(tmp_path / "killed", plan, 0, "resume")

    assert unbroken.returncode == 0, unbroken.stderr
    assert killed.returncode == -signal.SIGKILL
    assert resumed.returncode == 0, resumed.stderr
    assert die_at == 1 or f", step {die_at - 1} of {N_STEPS[plan]}" in resumed.stderr  # no step is done twice
    assert resumed.stdout == unbroken.stdout, f"killed at step {die_at}"
    for name in ("metrics.jsonl", "best.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
