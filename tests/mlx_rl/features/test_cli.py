"""The door `mlx-rl features`: what it prints and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlx_rl.cli.features import main
from mlx_rl.features import lookahead
from mlx_rl.features.kernel import batch_features
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with RecordingWriter(tmp_path / "data") as writer:
        for index in range(3):
            writer.write_tape(make_tape(1, 150, index=index))
    return tmp_path / "data"


def test_list_names_formulas_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out

    assert "returns_1m" in text
    assert "quoted_down_ask" in text
    assert "USD/share" in text


def test_list_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--schema-name", "state18", "--json"]) == 0
    schemas = json.loads(capsys.readouterr().out)["schemas"]

    assert [len(s["columns"]) for s in schemas] == [18]
    assert set(schemas[0]["columns"][0]) == {"index", "name", "formula", "unit", "missing"}


def test_check_passes_on_a_recording(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "edge", "--data-dir", str(recording), "--cuts", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)

    assert result["clean"] is True
    assert [c["reference"] for c in result["checked"]] == ["underlying", "own_mid"]
    assert result["windows"] == 3


def test_check_fails_and_names_the_column_that_looks_ahead(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(schema, tapes):
        return [np.concatenate([x[1:], x[-1:]]) * (np.arange(18) == 7) for x in batch_features(schema, tapes)]

    monkeypatch.setattr(lookahead, "batch_features", leaky)

    assert main(["check", "state18", "--data-dir", str(recording)]) == 1
    said = capsys.readouterr().err
    assert "spread_pct (own_mid) moved when the future was" in said
    assert "Do not train" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["check", "state19", "--data-dir", "."], 2, "no feature schema is called 'state19'"),
        (["check", "state18", "--data-dir", "/nowhere"], 1, "nowhere"),
        (["polish"], 2, "usage: mlx-rl features"),
        ([], 2, "usage: mlx-rl features"),
    ],
)
def test_misuse_says_what_is_wrong(args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == code
    assert said in capsys.readouterr().err


def test_help_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main(["check", "--help"]) == 0
    assert "moments at which the future is changed" in " ".join(capsys.readouterr().out.split())
