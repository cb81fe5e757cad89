"""What an epoch does and writes down: its means, its validation, its imagined entries, its best weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlx_rl.algos.cloning import METRICS, cloning_loss
from mlx_rl.algos.wbc import WBCSettings, WeightedCloning
from mlx_rl.artifact.manifest import BaseArchitecture
from mlx_rl.models.network import build
from mlx_rl.nn.backend import mx
from mlx_rl.training.data import F32, I64, Gather
from mlx_rl.training.inputs import loss_inputs
from mlx_rl.training.loop import Trained, train
from mlx_rl.training.settings import TrainSettings
from mlx_rl.training.step import Outcome, Stepper
from tests.mlx_rl.training.toy import ToyData

BASE = BaseArchitecture(hidden_dim=16, head_dim=8, value_dim=8, temporal_dim=8)
ONE_EPOCH = TrainSettings(epochs=1, batch_size=64, value_weight=0.3, forecast_weight=0.2)
TRAIN, VALID = np.arange(300), np.arange(300, 400)


def toy() -> ToyData:
    return ToyData.random(10, 40, 18, 5, seed=0)


def go(folder: Path, settings: TrainSettings, *, clip: float = 20.0, data: ToyData | None = None) -> Trained:
    return train(data or toy(), TRAIN, VALID, BASE, WeightedCloning(WBCSettings(weight_clip=clip)), settings, folder)


def first_line(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("valid_samples", [1_000, 50])
def test_the_validation_loss_is_the_loss_of_the_fold_spread_evenly(valid_samples: int, tmp_path: Path) -> None:
    made = go(tmp_path / "r", ONE_EPOCH.model_copy(update={"valid_samples": valid_samples}))
    ids = VALID if valid_samples > 100 else VALID[np.linspace(0, 99, valid_samples).astype(int)]
    data, wbc = toy(), WeightedCloning(WBCSettings())
    wbc.fit(data, TRAIN)
    batch = Gather(data, 5, len(ids))(ids, draw=0)  # in one piece; the run cuts it into batches of 64
    x = {name: mx.array(value) for name, value in loss_inputs(batch, wbc.targets(batch.q)).items()}
    _, parts = cloning_loss(made.network, x, 0.3, 0.2)

    found = first_line(tmp_path / "r")["valid"]
    assert [found[name] for name in METRICS] == pytest.approx(np.array(parts).tolist(), abs=1e-6)


def test_the_training_line_is_the_mean_over_the_epochs_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[F32] = []
    step = Stepper.__call__

    def spy(self: Stepper, *args: Any) -> tuple[Any, Outcome]:
        after, outcome = step(self, *args)
        seen.append(outcome.parts)
        return after, outcome

    monkeypatch.setattr(Stepper, "__call__", spy)
    go(tmp_path / "r", ONE_EPOCH)

    assert len(seen) == 4  # 300 samples in batches of 64; the rest sits the epoch out
    found = first_line(tmp_path / "r")["train"]
    assert [found[name] for name in METRICS] == pytest.approx(np.mean(seen, axis=0).tolist(), rel=1e-5)


def test_the_share_of_cut_weights_is_that_of_the_whole_epoch(tmp_path: Path) -> None:
    data, wbc = toy(), WeightedCloning(WBCSettings(weight_clip=1.0))
    wbc.fit(data, TRAIN)
    made = wbc.targets(data.q[TRAIN])
    go(tmp_path / "r", ONE_EPOCH.model_copy(update={"batch_size": 60}), clip=1.0)  # 5 steps see all 300 samples

    assert 0.1 < made.n_clipped / made.n_weights < 0.9
    assert first_line(tmp_path / "r")["clipped_share"] == pytest.approx(made.n_clipped / made.n_weights)


def test_entries_are_imagined_anew_at_every_step_and_by_seed(tmp_path: Path) -> None:
    class Spied(ToyData):
        def pnl(self, ids: I64, draw: int) -> F32:
            draws.append(draw)
            return super().pnl(ids, draw)

    found: list[list[int]] = []
    for seed in (0, 0, 1):
        draws: list[int] = []
        data = Spied(**toy().__dict__)
        go(tmp_path / f"{len(found)}", ONE_EPOCH.model_copy(update={"seed": seed, "epochs": 2}), data=data)
        found.append(draws)
    training = [[draw for draw in draws if draw != 0] for draws in found]  # validation always imagines draw 0

    assert len(set(training[0])) == len(training[0]) == 8  # 2 epochs of 4 steps
    assert training[0] == training[1]
    assert not set(training[0]) & set(training[2])


def test_the_best_epochs_weights_are_given_back(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=60, batch_size=64, learning_rate=0.02, patience=3)
    made = go(tmp_path / "r", settings)
    best = load_file(tmp_path / "r" / "best.safetensors")
    last = load_file(sorted((tmp_path / "r" / "checkpoints").iterdir())[-1])["weights"]
    weights = made.network.numpy()

    assert made.metrics["best_epoch"] < made.metrics["epochs"]
    assert all(np.array_equal(weights[name], value) for name, value in best.items())
    assert not np.array_equal(np.concatenate([w.ravel() for w in weights.values()]), last)


def test_dropout_is_a_setting_of_the_run(tmp_path: Path) -> None:
    without, given = go(tmp_path / "a", ONE_EPOCH), go(tmp_path / "b", ONE_EPOCH.model_copy(update={"dropout": 0.5}))

    assert given.network.architecture.dropout == 0.5
    assert build(BASE, 0).architecture.dropout == 0
    assert first_line(tmp_path / "a")["train"]["loss"] != first_line(tmp_path / "b")["train"]["loss"]
    assert not np.array_equal(
        without.network.numpy()["encoder.fc1.weight"], given.network.numpy()["encoder.fc1.weight"]
    )
