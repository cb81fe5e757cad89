"""From a batch to what the loss reads: masks, odds and positions are those of the samples."""

import numpy as np

from mlx_rl.algos.bc import BCSettings, BehaviourCloning
from mlx_rl.training.data import Gather
from mlx_rl.training.inputs import SURE, loss_inputs
from tests.mlx_rl.training.toy import ToyData


def inputs(data: ToyData, draw: int = 0) -> dict[str, np.ndarray]:
    batch = Gather(data, 5, 20)(np.arange(20), draw)
    return loss_inputs(batch, BehaviourCloning(BCSettings()).targets(batch.q))


def test_an_action_is_allowed_where_the_law_gives_it_a_value() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)

    assert inputs(data)["is_allowed"].tolist() == [[[True, True, True], [True, False, True], [True, True, False]]] * 20


def test_prices_of_nought_and_one_are_nearly_so() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)
    data.market_mid[:4] = [0.0, 1.0, 0.25, np.nan]
    odds, known = inputs(data)["odds"], inputs(data)["known"]
    largest = np.log((1 - SURE) / SURE)

    assert np.allclose(odds[:4], [-largest, largest, np.log(1 / 3), 0.0], atol=1e-3)
    assert known[:4].tolist() == [1, 1, 1, 0]


def test_imagined_profits_are_those_of_the_draw() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)
    one, two = inputs(data, 1), inputs(data, 2)

    assert np.array_equal(one["states"][:, 1:, 14], data.pnl(np.arange(20), 1))
    assert not np.array_equal(one["states"], two["states"])
