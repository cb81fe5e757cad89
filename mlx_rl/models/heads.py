"""What a policy says about the current state: action logits, the value of the position, a forecast of Up.

Every head reads u = [state with its position entries (F), encoding (Z)], so one encoding serves all positions.
The forecast corrects the market's own log-odds and starts at zero: an untrained model agrees with the market.
"""

from mlx_rl.artifact.manifest import N_ACTIONS, Architecture
from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.fused import linear
from mlx_rl.nn.layers import TwoLayers


class Head(TwoLayers):
    """Two bent layers, then a linear one: (…, n_in) -> (…, n_out)."""

    def __init__(self, n_in: int, width: int, n_out: int, activation: str, dropout: float) -> None:
        super().__init__(n_in, width, width, activation, dropout)
        self.out = nn.Linear(width, n_out)

    def __call__(self, x: mx.array, key: mx.array | None = None) -> mx.array:
        return linear(self.bend_twice(x, key), self.out.weight, self.out.bias)


class Forecast(nn.Module):
    """(…, n_in) -> (…,) correction of the market's log-odds of Up."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.out = nn.Linear(n_in, 1)

    def __call__(self, x: mx.array) -> mx.array:
        return linear(x, self.out.weight, self.out.bias)[..., 0]


def make_heads(a: Architecture) -> tuple[Head, Head, Forecast]:
    """The policy, value and forecast heads of an architecture."""
    n_in = a.n_features + a.temporal_dim
    return (
        Head(n_in, a.head_dim, N_ACTIONS, a.activation, a.dropout),
        Head(n_in, a.value_dim, 1, a.activation, a.dropout),
        Forecast(n_in),
    )
