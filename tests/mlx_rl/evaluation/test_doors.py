"""evaluate and compare, from model folders and a recording on disk to table, JSON and page."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlx_rl.artifact.folder import save
from mlx_rl.artifact.golden import golden_inputs
from mlx_rl.artifact.manifest import preset
from mlx_rl.cli import compare, evaluate
from mlx_rl.datasets.build import build
from mlx_rl.datasets.splits import OPENINGS, SplitSettings
from mlx_rl.market.law import COST_LAW, LawSettings
from mlx_rl.models.network import Network
from mlx_rl.models.policy import MlxPolicy
from observer.cli.synthetic import main as synthetic

WINDOWS, TICKS = 24, 60
LAW = LawSettings(size_shares=20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording and two untrained model folders that say what they have seen."""
    root = tmp_path_factory.mktemp("judge")
    args = [
        "--data-dir",
        str(root / "data"),
        "--windows",
        str(WINDOWS),
        "--ticks-per-window",
        str(TICKS),
        "--tick-s",
        "15",
    ]
    assert synthetic(["null", *args]) == 0
    splits = SplitSettings(valid_frac=0.1, test_frac=0.5)
    for kind in ("base", "transformer"):
        shape = preset(kind, "small")
        data = build(root / "data", schema_name="state18", seq_len=shape.seq_len, law=LAW, splits=splits)
        policy = MlxPolicy(kind, Network(shape), data.schema, data.scaler)
        save(
            root / "models" / kind, policy, golden_inputs(data, shape.seq_len, 0), cost_law=COST_LAW,
            law=LAW.model_dump(mode="json"), dataset_id=data.dataset_id, code_version="test", seed=0, method="none",
            created="2026-01-01T00:00:00Z", metrics={"trained_until_ns": data.trained_until_ns},
        )  # fmt: skip
    return root


def flags(place: Path, *more: str) -> list[str]:
    models = place / "models"
    return [
        "--base-model", str(models / "base"), "--transformer-model", str(models / "transformer"),
        "--data-dir", str(place / "data"), "--random-traders", "2", *more,
    ]  # fmt: skip


def test_comparing_judges_only_unseen_windows_and_writes_a_page_that_stands_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = place / "report" / "compare.html"

    assert compare.main(flags(place, "--html", str(page), "--json")) == 0
    found = json.loads(capsys.readouterr().out)

    # 24 windows: 12 to test, 2 to validate, the rest to learn; one more is embargoed at each border.
    assert found["windows"]["judged"] == 12
    assert found["comparison"]["verdict"]["word"] in ("INCONCLUSIVE", "NOT WORSE", "WORSE", "BETTER")
    assert found["law"]["size_shares"] == 20
    assert any("windows are not judged" in text for text in found["warnings"])
    assert found["models"]["base"]["attention_by_lag"] is None
    assert np.sum(found["models"]["transformer"]["attention_by_lag"]) == pytest.approx(1, abs=1e-4)
    text = page.read_text()
    assert len(text) < 6_000_000
    assert "offers no attention weights" in text
    assert "<script src" not in text
    assert "<link" not in text


def test_evaluating_logs_every_opening_and_says_which_one_it_was(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--model", str(place / "models" / "base"), "--test-data", str(place / "data"), "--random-traders", "2"]
    log = place / "data" / OPENINGS
    before = len(log.read_text().splitlines()) if log.exists() else 0

    assert evaluate.main([*args, "--compare-with", str(place / "models" / "transformer")]) == 0
    assert evaluate.main(args) == 0
    out = capsys.readouterr().out

    assert len(log.read_text().splitlines()) == before + 2
    assert f"this is opening {before + 2} of this recording's test windows" in out
    for word in ("HOLD (do nothing)", "market price", "fair_value", "oracle (hindsight)", "break-even", "log-loss"):
        assert word in out
    assert "base, against transformer:" in out


def test_a_look_at_seen_windows_is_invalid(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--model", str(place / "models" / "base"), "--test-data", str(place / "data"), "--random-traders", "2"]

    assert evaluate.main([*args, "--include-seen", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["windows"]["judged"] == WINDOWS
    assert found["verdict"]["word"] == "INVALID"
    assert found["verdict"]["reason"].startswith("overlap: 12 of 24 windows opened before")


def test_nothing_unseen_is_misuse_and_says_the_way_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "models" / "base" / "manifest.json"
    kept = path.read_text()
    manifest = json.loads(kept)
    manifest["metrics"]["trained_until_ns"] = 2**62
    path.write_text(json.dumps(manifest))
    try:
        assert evaluate.main(["--model", str(path.parent), "--test-data", str(place / "data")]) == 2
    finally:
        path.write_text(kept)
    assert "all 24 windows asked for opened before the model's training ended" in capsys.readouterr().err


def test_a_model_cannot_be_compared_with_itself_or_with_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, data = str(place / "models" / "base"), str(place / "data")

    assert compare.main(["--base-model", base, "--transformer-model", base, "--data-dir", data]) == 2
    assert "is named twice" in capsys.readouterr().err
    assert evaluate.main(["--model", str(place / "nowhere"), "--test-data", data]) == 1
    assert "no such model folder" in capsys.readouterr().err
