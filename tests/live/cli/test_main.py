"""The installed command: a list that answers at once, doors that hand over, honest exit codes."""

import subprocess
import sys

import pytest

from live.cli import main as command
from live.cli.main import ABOUT, DOORS, main


def test_help_lists_every_door_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out

    assert set(ABOUT) == set(DOORS)
    assert all(any(line.split()[:1] == [name] for line in shown.splitlines()) for name in DOORS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from live.cli.main import main; main(['--help']);"
        "heavy = {'numpy', 'pydantic', 'tyro', 'rich', 'pandas', 'numba', 'mlx', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_nothing_asked_shows_the_help_and_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: mlx-rl" in capsys.readouterr().err


def test_an_unknown_name_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["moon"]) == 2
    assert "no command is called 'moon'" in capsys.readouterr().err


def test_the_dashboard_says_that_it_is_not_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard"]) == 2
    assert "dashboard is not built yet" in capsys.readouterr().err


def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def door(argv: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'mlx.core'", name="mlx.core")

    monkeypatch.setattr(command, "DOORS", {"train": door})

    assert main(["train"]) == 1
    assert "needs mlx, which is not installed. From the checkout: pip install -e '.[train]'" in capsys.readouterr().err
