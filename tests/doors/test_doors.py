"""Every door answers --help at once, without heavy libraries, and says plainly when it is not built."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from observer.kit.cli import BASE

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "mlx", "pandas", "matplotlib", "plotly", "boto3", "numba")
DOORS = {
    "observer.py": "observer.cli.observe",
    "offline_trainer.py": "mlx_rl.cli.train",
    "evaluate_model.py": "mlx_rl.cli.evaluate",
    "compare_models.py": "mlx_rl.cli.compare",
    "run.py": "live.cli.run",
    "scripts/export_mlx_to_pytorch.py": "export.cli",
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("door", DOORS)
def test_help_tells_what_happens_and_what_does_not(door: str) -> None:
    done = run(door, "--help")

    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert "No " in done.stdout or "Nothing" in done.stdout or "not" in done.stdout


@pytest.mark.parametrize("door", DOORS)
def test_a_python_without_the_installed_libraries_is_told_how_to_get_them(door: str) -> None:
    done = run("-S", door, "--help")  # -S: without site-packages

    assert done.returncode == 1
    assert re.fullmatch(
        r"error: this needs (pydantic|tyro|numpy), which .* does not have\. In the checkout: run `make install`, "
        r"then `\. \.venv/bin/activate`, and start it again\.\n",
        done.stderr,
    ), done.stderr


def test_every_library_of_the_base_install_is_known_by_name() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert {line.partition(">")[0].replace("-", "_") for line in named} == set(BASE)


@pytest.mark.parametrize("module", DOORS.values())
def test_help_loads_no_heavy_library(module: str) -> None:
    code = (
        f"import sys, io, contextlib; from {module} import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = run("-c", code)

    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_flag_is_misuse(door: str) -> None:
    done = run(door, "--no-such-flag")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


SETTINGS = {
    "offline_trainer.py": ("mlx_rl.cli.train", "TrainCommand", []),
    "evaluate_model.py": ("mlx_rl.cli.evaluate", "EvaluateSettings", ["--model", "m", "--test-data", "d"]),
    "compare_models.py": (
        "mlx_rl.cli.compare", "CompareSettings", ["--base-model", "a", "--transformer-model", "b", "--data-dir", "d"],
    ),
    "run.py": ("live.cli.run", "RunSettings", ["random"]),
}  # fmt: skip


@pytest.mark.parametrize("door", SETTINGS)
def test_a_number_that_cannot_be_meant_is_misuse(door: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not finite, too large to count lots or nanoseconds with, or a seed below zero: never a traceback."""
    module, name, needed = SETTINGS[door]
    at = import_module(module)
    fields = getattr(at, name).model_fields
    numbers = [field for field, info in fields.items() if float in (info.annotation, *get_args(info.annotation))]
    asked = [(field, value) for field in numbers for value in ("inf", "nan")]
    for field, value in [*asked, ("size", "1e30"), ("latency_s", "1e30"), ("seed", "-1")]:
        code = at.main([*needed, f"--{field.replace('_', '-')}", value])
        said = " ".join(capsys.readouterr().err.split())

        assert code == 2, f"{field} {value}: {said}"
        assert re.search("should be (a finite number|less than or equal to|greater than or equal to)", said), said
        assert field in said, said


@pytest.mark.parametrize(
    "args",
    [
        ("run.py", "random", "--live"),
        ("run.py", "rl-transformer", "--train"),
        ("run.py", "random", "--dashboard"),
    ],
)
def test_what_is_not_built_says_so_and_exits_2(args: tuple[str, ...]) -> None:
    done = run(*args)

    assert done.returncode == 2, done.stderr
    assert "not built" in done.stderr
    assert done.stdout == ""


def test_the_installed_command_lists_every_command() -> None:
    done = run("-m", "live.cli.main", "--help")

    assert done.returncode == 0, done.stderr
    words = (
        "observe exchange compact sync train evaluate compare export run replay import data features synthetic "
        "dashboard doctor demo prove"
    )
    for word in words.split():
        assert f"\n  {word}" in done.stdout, word


def test_an_unknown_command_is_misuse() -> None:
    assert run("-m", "live.cli.main", "fly").returncode == 2
