"""Samples to learn from, as one array that windows are views of.

The states of all market windows lie one after the other in `features`, with L−1 zero rows before each window, so
the window of sample s is `features[row[s] − L + 1 : row[s] + 1]`: a view, never a copy. States are scaled; their
position entries are zero, because one encoding serves every position.

Shapes: N rows, S samples (one per tick), W market windows, F features, L window length, B batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_rl.datasets.splits import Folds
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema
from mlx_rl.market.law import LawSettings

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """The training and validation samples of one recording, and what they came from.

    Attributes:
        features: (N, F) float32 scaled states.
        row, first_row: (S,) int64 rows of the sample's newest state and of its window's first one.
        q: (S, 3, 3), value: (S, 3), payoff: (S,), market_mid: (S,) float32 labels, USD per share of size.
        entry, exit: (S, 2) float32 cash of opening / closing Up and Down, USD per share of size.
        train, valid: (n,) int64 sample ids of each fold.
        markets_train, markets_valid: market ids of each fold, in time order.
        left_out: market id -> why it holds no sample.
        folds: what the model's manifest will say of the folds.
    """

    features: F32
    row: I64
    first_row: I64
    q: F32
    value: F32
    payoff: F32
    market_mid: F32
    entry: F32
    exit: F32
    train: I64
    valid: I64
    markets_train: tuple[str, ...]
    markets_valid: tuple[str, ...]
    left_out: dict[str, str]
    schema: FeatureSchema
    scaler: Scaler
    law: LawSettings
    dataset_id: str
    outcomes_id: str
    folds: Folds

    def pnl(self, ids: I64, draw: int) -> F32:
        """Profit of imagined Up and Down positions, (B,) -> (B, 2) USD per share of size.

        Each position was entered at a tick between the window's first and the sample's, drawn from (id, draw) alone;
        0 where nothing had been quoted to enter at.
        """
        age = (self.row[ids] - self.first_row[ids])[:, None]
        u = _uniform(ids[:, None] * 2 + np.arange(2), draw)
        entered = ids[:, None] - np.minimum((u * (age + 1)).astype(np.int64), age)
        profit = self.exit[ids] + self.entry[entered, np.arange(2)]
        return np.where(np.isnan(profit), np.float32(0), profit)

    def window(self, sample: int, seq_len: int) -> F32:
        """The (L, F) window that ends at one sample, as a view; rows before the market's first state are zero."""
        row = int(self.row[sample])
        return self.features[row - seq_len + 1 : row + 1]


def _uniform(counter: I64, draw: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that depend on (counter, draw) only (the SplitMix64 finaliser; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = counter.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64((draw + 1) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
