"""The doors of training: from a recording to a model folder, and back out with an error one can act on."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_rl.artifact.folder import load
from mlx_rl.cli import doctor, train
from mlx_rl.nn.backend import mx
from observer.cli.synthetic import main as synthetic


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spike") / "data"
    assert synthetic(["spike", "--data-dir", str(folder), "--windows", "12", "--ticks-per-window", "120"]) == 0
    return folder


def flags(recording: Path, folder: Path, *more: str) -> list[str]:
    common = ["--data-dir", str(recording), "--output", str(folder / "m"), "--runs-dir", str(folder / "runs")]
    return [*common, "--preset", "small", "--epochs", "2", "--money-every", "1", *more]


@pytest.mark.parametrize(("model", "method"), [("base", "bc"), ("transformer", "wbc")])
def test_a_recording_becomes_a_model_that_opens(
    recording: Path, tmp_path: Path, model: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = train.main(flags(recording, tmp_path, "--model", model, "--method", method, "--json"))
    result = json.loads(capsys.readouterr().out)
    policy, manifest = load(tmp_path / "m")

    assert code == 0
    assert manifest.dataset_id == result["dataset_id"]
    assert (manifest.method, manifest.architecture.kind, policy.name) == (method, model, "m")
    assert manifest.law["size_shares"] == 50
    assert manifest.folds is not None
    assert (manifest.folds.train_windows, manifest.folds.valid_windows) == (6, 2)  # of 12: two embargoed, two to test
    assert set(result["metrics"]["last"]["money"]) == {"net_usd", "oracle_share", "trades", "windows"}
    assert [sum(shares.values()) for shares in result["labels"].values()] == pytest.approx([1, 1, 1])
    assert result["labels"]["up"]["BUY"] == 0  # masked


def test_a_second_run_of_the_same_name_asks_for_resume(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = flags(recording, tmp_path, "--model", "base")
    assert train.main(once) == 0
    first = load(tmp_path / "m")[1].weights_sha256
    again, resumed = train.main(once), train.main([*once, "--resume"])

    assert (again, resumed) == (2, 0)
    assert "Pass --resume to go on" in capsys.readouterr().err
    assert load(tmp_path / "m")[1].weights_sha256 == first


def test_a_walk_forward_trains_a_model_before_each_fold_of_test_windows(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = flags(recording, tmp_path, "--model", "base", "--walk-forward", "2", "--test-frac", "0.5", "--json")
    assert train.main(asked) == 0
    made = json.loads(capsys.readouterr().out)["walk_forward"]
    models = [load(tmp_path / "m" / f"fold_{k}")[1] for k in (1, 2)]

    # 12 windows, the last 6 in two folds of 3; before each: 1 embargoed, 2 to validate, 1 embargoed, the rest.
    assert [one["windows"] for one in made] == [{"train": 2, "valid": 2}, {"train": 5, "valid": 2}]
    assert [(m.folds.fold, m.folds.n_folds) for m in models if m.folds] == [(1, 2), (2, 2)]
    assert models[0].weights_sha256 != models[1].weights_sha256
    assert train.main([*asked, "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)["walk_forward"]
    assert [one["weights_sha256"] for one in again] == [one["weights_sha256"] for one in made]


def test_an_unknown_market_is_a_misuse(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(flags(recording, tmp_path, "--market", "DOGE")) == 2
    assert "no market" in capsys.readouterr().err


def test_the_doctor_measures_what_it_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "best_of", lambda job, budget_s=0.0: (job(), 0.01)[1])
    code = doctor.main(["--model", "base", "--preset", "small", "--json"])
    result = json.loads(capsys.readouterr().out)

    assert code == 0
    assert result["timings"]["cpu"]["samples_per_s"] == pytest.approx(25_600)  # 256 samples in 0.01 s
    assert result["versions"]["mlx"] != "not installed"
    assert result["fastest_to_train"] in result["timings"]


@pytest.mark.parametrize(("to_train", "to_decide"), [("gpu", "cpu"), ("cpu", "gpu")])
def test_the_doctor_names_the_device_that_takes_less_time(
    to_train: str, to_decide: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine with two devices, each faster at one of the two jobs; whatever is timed runs on the default device.
    now: list[Any] = [mx.default_device()]
    monkeypatch.setattr(mx, "is_available", lambda device: True)
    monkeypatch.setattr(mx, "default_device", lambda: now[-1])
    monkeypatch.setattr(mx, "set_default_device", now.append)
    monkeypatch.setattr(doctor, "memory_gb", lambda: {"machine": 8.0})

    def time_device(command: doctor.DoctorCommand) -> dict[str, float]:
        device = now[-1].name
        train_ms, decide_ms = 2.0 if device == to_train else 5.0, 0.25 if device == to_decide else 1.0
        return {"gflops": 100.0, "train_step_ms": train_ms, "samples_per_s": 1.0, "decide_ms": decide_ms}

    monkeypatch.setattr(doctor, "time_device", time_device)
    assert doctor.main(["--model", "base", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert doctor.main(["--model", "base"]) == 0
    shown = capsys.readouterr().out

    assert set(found["timings"]) == {"cpu", "gpu"}
    assert (found["fastest_to_train"], found["fastest_to_decide"]) == (to_train, to_decide)
    assert f"Fastest for base default: {to_train} to train, {to_decide} to decide." in shown
    assert ("One decision is faster on the CPU" in shown) == (to_decide == "cpu")
    assert now[-1] is now[0]  # whoever runs next computes where it did before


def test_the_doctor_says_what_to_install_where_the_product_is_slow() -> None:
    slow = {
        "timings": {"cpu": {"gflops": 5.7}},
        "blas": {"source": "reference", "detail": "no C compiler"},
        "kernels": {"compiled": False, "why_not": "no C++ compiler"},
        "fastest_to_decide": "cpu",
        "cores": 2,
    }

    assert "Install gcc and NumPy's PyPI wheel" in doctor.advice(slow)[0]
    assert "no fused kernels (no C++ compiler)" in doctor.advice(slow)[1]
    fast = {"timings": {"cpu": {"gflops": 140.0}}, "blas": {"source": "numpy"}, "kernels": {"compiled": True}}
    assert doctor.advice({**slow, **fast}) == []
