"""From a gathered batch to what the loss reads: three imagined positions per sample, and their targets.

Letters: B batch, P = 3 positions (flat, Up, Down), F features, A actions.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.algos.targets import Targets, best_action
from mlx_rl.features.schema import POSITION_COLUMNS
from mlx_rl.market.binary import position_entries
from mlx_rl.training.data import Batch
from observer.records import POSITIONS

SURE = 1e-4  # a market price this close to 0 or 1 counts as this close


def loss_inputs(batch: Batch, targets: Targets) -> dict[str, NDArray[np.generic]]:
    """Arrays for `mlx_rl.algos.cloning.cloning_loss`, by name."""
    known = np.isfinite(batch.market_mid) & np.isfinite(batch.payoff)
    price = np.clip(np.where(known, batch.market_mid, 0.5), SURE, 1 - SURE)
    return {
        "window": batch.window,
        "is_real": batch.is_real,
        "states": imagine(batch),
        "weight": targets.weight,
        "is_allowed": np.isfinite(batch.q),
        "best": best_action(batch.q),
        "value": batch.value,
        "odds": np.log(price / (1 - price)).astype(np.float32),
        "payoff": np.where(known, batch.payoff, 0.0).astype(np.float32),
        "known": known.astype(np.float32),
    }


def imagine(batch: Batch) -> NDArray[np.float32]:
    """(B, P, F): the newest state as it would look flat, holding Up and holding Down."""
    b, p = len(batch.pnl), len(POSITIONS)
    states = np.repeat(batch.window[:, -1:], p, axis=1)
    pnl = np.concatenate([np.zeros((b, 1), np.float32), batch.pnl], axis=1)
    held = np.broadcast_to(np.arange(p), (b, p))
    states[:, :, POSITION_COLUMNS] = position_entries(held, pnl, size_shares=1.0)
    return states


def made_up_inputs(n: int, seq_len: int, n_features: int, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Random numbers in the shape of `loss_inputs`, one position per sample; for timing."""
    draw = np.random.default_rng(seed)
    f32 = np.float32
    return {
        "window": draw.normal(size=(n, seq_len, n_features)).astype(f32),
        "is_real": np.ones((n, seq_len), np.bool_),
        "states": draw.normal(size=(n, 1, n_features)).astype(f32),
        "weight": draw.random((n, 1, 3)).astype(f32),
        "is_allowed": np.ones((n, 1, 3), np.bool_),
        "best": draw.integers(0, 3, (n, 1)).astype(np.int32),
        "value": draw.normal(size=(n, 1)).astype(f32),
        "odds": draw.normal(size=n).astype(f32),
        "payoff": draw.integers(0, 2, n).astype(f32),
        "known": np.ones(n, f32),
    }
