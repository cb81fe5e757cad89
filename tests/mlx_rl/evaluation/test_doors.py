"""evaluate and compare, from model folders and a recording on disk to table, JSON and page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlx_rl.artifact.manifest import read_manifest, write_manifest
from mlx_rl.cli import compare, evaluate
from mlx_rl.datasets.splits import OPENINGS
from mlx_rl.evaluation.exam import Exam
from mlx_rl.evaluation.runs import Candidate, Runs, run_all
from observer.cli.synthetic import main as synthetic
from tests.mlx_rl.evaluation.judged import untrained

WINDOWS, TICKS = 24, 60


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
    for kind in ("base", "transformer"):
        untrained(root, root / "models" / kind, kind)
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
    folder, kept = place / "models" / "base", read_manifest(place / "models" / "base")
    assert kept.folds is not None
    write_manifest(folder, kept.model_copy(update={"folds": kept.folds.model_copy(update={"unseen_from_ns": 2**62})}))
    try:
        assert evaluate.main(["--model", str(folder), "--test-data", str(place / "data")]) == 2
    finally:
        write_manifest(folder, kept)
    assert "all 24 windows asked for opened before the model's training ended" in capsys.readouterr().err


def test_a_model_cannot_be_compared_with_itself_or_with_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, data = str(place / "models" / "base"), str(place / "data")

    assert compare.main(["--base-model", base, "--transformer-model", base, "--data-dir", data]) == 2
    assert "is named twice" in capsys.readouterr().err
    assert evaluate.main(["--model", str(place / "nowhere"), "--test-data", data]) == 1
    assert "no such model folder" in capsys.readouterr().err


def test_a_longer_embargo_is_kept_in_judging_and_is_not_compared_with_a_shorter_one(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untrained(place, tmp_path / "patient", embargo=4)
    args = ["--model", str(tmp_path / "patient"), "--test-data", str(place / "data"), "--random-traders", "2"]

    assert evaluate.main(args) == 0
    out = capsys.readouterr().out
    assert "patient learnt from 2 windows, 2 chose its epoch" in out  # 24 less 12 to test, 2 to validate, 2 x 4
    assert "after an embargo of 4 clock windows" in out
    assert "12 windows in 12 clock windows" in out

    assert evaluate.main([*args, "--compare-with", str(place / "models" / "base")]) == 2
    refusal = capsys.readouterr().err
    assert "patient and base were not trained on the same folds: --embargo-windows 4 and 1" in refusal
    assert "Train both with the same flags" in refusal


def test_a_walk_forward_is_judged_as_one_each_window_by_the_latest_model_that_has_not_seen_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (1, 2, 3):
        untrained(place, tmp_path / "wf" / f"fold_{fold}", fold=fold, n_folds=3)
    judged: list[tuple[int, int]] = []

    def spy(exam: Exam, candidates: list[Candidate], **more: Any) -> Runs:
        judged.append((len(exam), int(exam.open_ns.min())))
        return run_all(exam, candidates, **more)

    monkeypatch.setattr("mlx_rl.evaluation.runs.run_all", spy)
    code = evaluate.main(
        ["--model", str(tmp_path / "wf"), "--test-data", str(place / "data"), "--random-traders", "2", "--json"]
    )
    found = json.loads(capsys.readouterr().out)

    assert code == 0
    assert found["windows"]["judged"] == 12  # three folds of four
    assert [folds["fold"] for folds in found["trained_on"]["wf"]] == [1, 2, 3]
    assert judged == [(4, folds["unseen_from_ns"]) for folds in found["trained_on"]["wf"]]

    assert evaluate.main(
        ["--model", str(tmp_path / "wf"), "--test-data", str(place / "data"), "--compare-with",
         str(place / "models" / "base")]
    ) == 2  # fmt: skip
    assert "not trained on the same folds: --walk-forward 3 and 1" in capsys.readouterr().err
