"""The rules of the house: imports point upstream, doors stay thin, Git hides nothing, words stay clean."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOORS = ("observer.py", "offline_trainer.py", "evaluate_model.py", "compare_models.py", "run.py")
PACKAGES = ("observer", "mlx_rl", "export", "live")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the copy of the packages in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; c()"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages that a test may break."""
    import shutil

    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "samples"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_imports_point_upstream(house: Path) -> None:
    done = lint_imports(house)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("observer/records.py", "import mlx_rl.policy", "The line"),
        ("mlx_rl/policy.py", "import export.load", "The line"),
        ("mlx_rl/evaluation/__init__.py", "import mlx.core", "MLX lives in"),
        ("live/runner.py", "import torch", "Torch lives in"),
        ("mlx_rl/features/__init__.py", "import observer.store.outcomes", "may open the outcomes"),
    ],
)
def test_a_broken_import_rule_is_caught(house: Path, file: str, line: str, broken: str) -> None:
    path = house / file
    before = path.read_text()
    path.write_text(before + f"\n{line}\n")
    try:
        done = lint_imports(house)
    finally:
        path.write_text(before)

    assert done.returncode != 0
    assert re.search(rf"{broken}.*BROKEN", done.stdout), done.stdout


@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_thin_and_guarded(door: str) -> None:
    text = (ROOT / door).read_text()

    assert len(text.splitlines()) <= 7
    assert 'if __name__ == "__main__":' in text


def test_git_ignores_no_source() -> None:
    done = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *PACKAGES, "scripts", "docs", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    hidden = [line for line in done.stdout.splitlines() if "__pycache__" not in line]

    assert hidden == []


def test_folders_with_secrets_or_recordings_are_ignored_at_the_root_only() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert {"/data/", "/models/", "/runs/", "/journals/"} <= set(ignored)
    assert not {"data/", "models/", "runs/"} & set(ignored)
