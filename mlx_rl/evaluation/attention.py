"""Where a policy looks: its attention weights, averaged over recorded states and sorted by lag.

A policy may offer `attention(window, is_real)`: how its newest state spreads its attention, weights of shape
(B, …, L) that sum to one over the last axis, oldest state first. Whatever lies between (layers, heads) is averaged.
Policies without it are left out, and the report says so.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlx_rl.policy import Policy
from observer.kit.errors import ToolkitError

SAMPLES = 512


def attention_by_lag(policy: Policy, features: Sequence[NDArray[np.float32]]) -> list[float] | None:
    """Mean attention weight by lag, (L,), lag 0 (the present state) first; None where the policy has none.

    Args:
        policy: the policy.
        features: one (T, F) array per window; only ticks with a full window behind them are used.

    Raises:
        ToolkitError: weights that do not end in the window's length.
    """
    attend = getattr(policy, "attention", None)
    reach = policy.seq_len
    rows = [(i, t) for i, x in enumerate(features) for t in range(reach - 1, len(x))]
    if attend is None or not rows:
        return None
    chosen = rows[:: max(1, len(rows) // SAMPLES)][:SAMPLES]
    scaled: dict[int, NDArray[np.float32]] = {i: policy.scaler.apply(features[i]) for i in {i for i, _ in chosen}}
    window = np.stack([scaled[i][t - reach + 1 : t + 1] for i, t in chosen])
    weights = np.asarray(attend(window, np.ones(window.shape[:2], dtype=np.bool_)))
    if weights.shape[0] != len(window) or weights.shape[-1] != reach:
        raise ToolkitError(f"{policy.name}.attention gave shape {weights.shape}; wanted ({len(window)}, …, {reach}).")
    mean = weights.reshape(len(window), -1, reach).mean(axis=(0, 1))
    return [float(v) for v in mean[::-1]]
