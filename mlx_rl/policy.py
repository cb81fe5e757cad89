"""What every learned policy can do, whatever computes it (MLX, NumPy or Torch).

A decision has two halves. `encode` sees the window of market states, with the position entries as zeros, so
one encoding serves every position. `heads` sees the current state whole, position included.

Shapes: B batch, L window length, F features, Z width of the encoding, A = 3 actions.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema

F32 = NDArray[np.float32]


class Policy(Protocol):
    """A trained policy, ready to decide."""

    name: str
    schema: FeatureSchema
    scaler: Scaler
    seq_len: int
    temporal_dim: int

    def encode(self, window: F32, is_real: NDArray[np.bool_]) -> F32:
        """(B, L, F) scaled states, oldest first, and (B, L) which are real -> (B, Z). The last state is real."""
        ...

    def heads(self, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
        """(B, F) scaled state with position entries, (B, Z) -> logits (B, A), value (B,), forecast (B,).

        The value is in USD per share of position size. The forecast corrects the market's log-odds of Up.
        """
        ...


def choose(logits: F32, is_allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pick the best allowed action, (…, A) -> (…,); a tie goes to the lower index, so to HOLD first."""
    return np.argmax(np.where(is_allowed, logits, -np.inf), axis=-1)


def probability_up(market_mid: NDArray[np.float64], forecast: F32) -> NDArray[np.float64]:
    """P(Up) from the market's own price (…,) and the policy's correction of its log-odds; NaN without a price."""
    price = np.clip(market_mid, 1e-4, 1 - 1e-4)
    odds = np.log(price / (1 - price)) + forecast
    return 1.0 / (1.0 + np.exp(-odds))
