"""What a network earns on the validation markets, between two epochs of training.

The windows are priced once; each call encodes them, lets the network trade them in lock step and settles.
Payoffs come with the dataset. The yardstick is the oracle: the best that hindsight could have earned.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlx_rl.datasets.dataset import Dataset
from mlx_rl.evaluation.rollout import encode_windows, play_policy
from mlx_rl.features.scaler import Scaler
from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.models.network import Network
from mlx_rl.models.policy import MlxPolicy
from observer.records import FLAT, Tape

WINDOWS = 100  # at most, spread evenly over the fold: enough to see a trend, too few for a verdict


class ValidationMoney:
    """Callable: a network -> what it earned.

    Args:
        dataset: holds the fold, its scaled states, payoffs and exact values.
        tape: reads a market window.
    """

    def __init__(self, dataset: Dataset, tape: Callable[[str], Tape]) -> None:
        self.dataset = dataset
        ids, first_row = dataset.valid, dataset.first_row[dataset.valid]
        starts = np.flatnonzero(np.diff(first_row, prepend=-1))  # where each window begins within the fold
        ends = np.append(starts[1:], len(ids))
        names = dataset.markets_valid
        chosen = np.unique(np.linspace(0, len(names) - 1, min(WINDOWS, len(names))).astype(np.int64))
        self.states: list[NDArray[np.float32]] = []
        self.payoffs: list[float] = []
        self.fills: list[Fills] = []
        self.best_usd = 0.0
        for w in chosen:
            window = ids[starts[w] : ends[w]]
            rows = dataset.row[window]
            self.states.append(dataset.features[rows[0] : rows[-1] + 1])
            self.payoffs.append(float(dataset.payoff[window[0]]))
            self.fills.append(price_fills(tape(names[w]), dataset.law))
            self.best_usd += float(dataset.value[window[0], FLAT]) * dataset.law.size_shares

    def __call__(self, network: Network) -> dict[str, float]:
        """Net USD after costs, its share of the oracle's (NaN where hindsight earns nothing), orders filled."""
        schema = self.dataset.schema
        policy = MlxPolicy("validation", network, schema, Scaler.identity(len(schema)))  # the states are scaled already
        play = play_policy(policy, encode_windows(policy, self.states), self.fills, self.payoffs)
        net = float(play.net.sum())
        return {
            "net_usd": net,
            "oracle_share": net / self.best_usd if self.best_usd > 0 else float("nan"),
            "trades": float(play.ledger["trades"].astype(np.float64).sum()),
            "windows": float(len(self.fills)),
        }
