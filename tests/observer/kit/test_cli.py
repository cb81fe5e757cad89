"""The frame of every door: flags over file over default, one JSON object, honest exit codes."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.errors import BadRecording, UsageError


class Settings(BaseModel):
    """A made-up command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="who")
    epochs: int = Field(default=100, ge=1, description="passes")
    fast: bool = Field(default=False, description="hurry")
    tags: tuple[str, ...] = Field(default=(), description="labels")


def run(argv: list[str], work=lambda s: s.model_dump()) -> int:
    return run_command(
        Settings, work, argv, prog="made-up", about="Does. Does not.", show=lambda r: f"name={r['name']}"
    )


def test_flags_beat_the_file_and_the_file_beats_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text('name = "file"\nepochs = 7\nfast = true\ntags = ["a", "b"]\n')

    assert run(["--config", str(config), "--epochs", "9", "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result == {"name": "file", "epochs": 9, "fast": True, "tags": ["a", "b"]}


def test_json_stands_alone_on_stdout_and_nan_becomes_null(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--name", "x", "--json"], work=lambda s: {"name": s.name, "gain": float("nan")}) == 0

    assert json.loads(capsys.readouterr().out) == {"name": "x", "gain": None}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--name", "x", "--epochs", "0"], "greater than or equal to 1"),
        (["--epochs", "3"], "name"),
        (["--name", "x", "--colour", "red"], "colour"),
    ],
)
def test_misuse_exits_2_and_names_the_flag(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 2

    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"), [("epoch = 3\n", "unknown key 'epoch'"), ("epochs = \n", "not TOML"), (None, "no such file")]
)
def test_a_bad_config_file_exits_2(
    text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    if text is not None:
        config.write_text(text)

    assert run(["--name", "x", "--config", str(config)]) == 2

    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("no"), 2), (BadRecording("no"), 1), (KeyboardInterrupt(), 130)]
)
def test_the_exit_code_says_what_kind_of_failure_it_was(error: BaseException, code: int) -> None:
    def fail(_: Settings) -> dict[str, object]:
        raise error

    assert run(["--name", "x"], work=fail) == code


def test_an_unexpected_error_is_not_swallowed() -> None:
    def fail(_: Settings) -> dict[str, object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(["--name", "x"], work=fail)


def test_a_missing_library_names_the_extra_that_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Settings) -> dict[str, object]:
        raise ModuleNotFoundError("No module named 'numba.core'", name="numba.core")

    assert run(["--name", "x"], work=fail) == 1

    assert "needs numba, which is not installed. From the checkout: pip install -e '.[live]'" in capsys.readouterr().err


def test_a_path_that_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Settings) -> dict[str, object]:
        return {"text": (tmp_path / "absent").read_text()}

    assert run(["--name", "x"], work=fail) == 1

    assert "absent: No such file or directory. Give another path" in capsys.readouterr().err
