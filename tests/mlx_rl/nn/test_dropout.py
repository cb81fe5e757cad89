"""Dropout: a share of numbers goes, the mean stays, and every place where it happens draws for itself."""

from typing import Any

import numpy as np
import pytest

from mlx_rl.algos.cloning import cloning_loss
from mlx_rl.algos.wbc import WBCSettings, WeightedCloning
from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.models.network import build
from mlx_rl.nn import attention, layers
from mlx_rl.nn.backend import mx
from mlx_rl.nn.layers import drop, split_key
from mlx_rl.training.data import Gather
from mlx_rl.training.inputs import loss_inputs
from mlx_rl.training.settings import TrainSettings
from mlx_rl.training.step import Stepper
from tests.mlx_rl.training.toy import ToyData

SIZES = {"head_dim": 8, "value_dim": 8, "temporal_dim": 8, "dropout": 0.3}
BASE = BaseArchitecture(hidden_dim=16, **SIZES)
TRANSFORMER = TransformerArchitecture(seq_len=6, d_model=16, n_heads=2, n_layers=2, d_ff=16, **SIZES)


def batch(a: BaseArchitecture | TransformerArchitecture) -> dict[str, np.ndarray]:
    data, wbc = ToyData.random(4, 40, 18, a.seq_len, seed=0), WeightedCloning(WBCSettings())
    made = Gather(data, a.seq_len, 64)(np.arange(64), 0)
    return loss_inputs(made, wbc.targets(made.q))


def test_a_share_of_numbers_goes_and_the_mean_stays() -> None:
    out = np.array(drop(mx.ones((200, 200)), 0.3, mx.random.key(0)))

    assert set(np.unique(out).tolist()) == {0.0, np.float32(1 / 0.7)}
    assert np.mean(out == 0) == pytest.approx(0.3, abs=0.02)  # 40,000 draws, standard deviation 0.0023


def test_without_a_key_nothing_is_dropped() -> None:
    x = mx.arange(5.0)

    assert drop(x, 0.3, None) is x
    assert split_key(None, 3) == [None, None, None]


@pytest.mark.parametrize(
    # A transformer layer drops after attention, inside the feed-forward part and after it; the base encoder once;
    # the policy and the value head once each.
    ("architecture", "places"), [(BASE, 1 + 2), (TRANSFORMER, 2 * 3 + 2)], ids=["base", "transformer"]
)  # fmt: skip
def test_every_place_draws_for_itself(
    architecture: BaseArchitecture | TransformerArchitecture, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[tuple[int, ...]] = []

    def spy(x: mx.array, rate: float, key: mx.array | None) -> mx.array:
        if key is not None and rate > 0:
            keys.append(tuple(np.array(key).tolist()))
        return drop(x, rate, key)

    monkeypatch.setattr(attention, "drop", spy)
    monkeypatch.setattr(layers, "drop", spy)
    x = {name: mx.array(value) for name, value in batch(architecture).items()}
    cloning_loss(build(architecture), x, 0.1, 0.1, mx.random.key(7))

    assert len(keys) == len(set(keys)) == places


def test_the_key_of_a_step_comes_from_seed_and_step() -> None:
    def key(seed: int, step: int) -> list[int]:
        made = Stepper(build(BASE), TrainSettings(dropout=0.3, seed=seed), 1).dropout_key(step)
        assert made is not None
        return np.array(made).tolist()

    assert key(0, 5) == key(0, 5)
    assert len({tuple(key(seed, step)) for seed in (0, 1) for step in (5, 6)}) == 4


def test_the_halves_of_a_batch_draw_differently() -> None:
    stepper = Stepper(build(TRANSFORMER), TrainSettings(dropout=0.3), 2)
    keys: list[list[int]] = []

    def half(weights: mx.array, x: Any, key: mx.array | None) -> tuple[mx.array, mx.array]:
        keys.append(np.array(key).tolist())
        return mx.zeros(5), mx.zeros_like(weights)

    stepper._gradients = [half, half]
    stepper._in_halves(stepper.layout.join(stepper.network.flat()), batch(TRANSFORMER), mx.random.key(3))

    assert len(keys) == 2
    assert keys[0] != keys[1]
