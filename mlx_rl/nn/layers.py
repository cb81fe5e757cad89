"""Small parts that every model shares: the nonlinearity, dropout with its key in the open, a pair of layers.

Dropout happens where a key is given and nowhere else: a model has no hidden train/eval switch that a compiled
step could freeze.
"""

from collections.abc import Callable

from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.fused import NORM_EPS, linear, norm

# ReLU is the default: on the CPU the exact GELU and tanh are computed one number at a time.
ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {"relu": nn.relu, "gelu": nn.gelu, "tanh": mx.tanh}


def drop(x: mx.array, rate: float, key: mx.array | None) -> mx.array:
    """Zero a share `rate` of x and scale the rest so that the mean stays; without a key x passes untouched."""
    if key is None or rate == 0.0:
        return x
    keep = mx.random.bernoulli(1.0 - rate, x.shape, key=key)
    return mx.where(keep, x * (1.0 / (1.0 - rate)), 0.0)


def split_key(key: mx.array | None, n: int) -> list[mx.array | None]:
    """n independent keys, or n times None."""
    return [None] * n if key is None else list(mx.random.split(key, n))


class TwoLayers(nn.Module):
    """Holds two layers, each linear, normalised, then bent; its members say what they are fed with."""

    def __init__(self, n_in: int, width: int, n_out: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.fc1, self.ln1 = nn.Linear(n_in, width), nn.LayerNorm(width, eps=NORM_EPS)
        self.fc2, self.ln2 = nn.Linear(width, n_out), nn.LayerNorm(n_out, eps=NORM_EPS)
        self._activation, self._dropout = activation, dropout

    def bend_twice(self, x: mx.array, key: mx.array | None, *, is_data: bool = False) -> mx.array:
        """(…, n_in) -> (…, n_out); `is_data`: nobody asks for the gradient of x."""
        h = drop(self._layer(self.fc1, self.ln1, x, is_data), self._dropout, key)
        return self._layer(self.fc2, self.ln2, h, False)

    def _layer(self, fc: nn.Linear, ln: nn.LayerNorm, x: mx.array, is_data: bool) -> mx.array:
        is_relu = self._activation == "relu"
        h = norm(linear(x, fc.weight, fc.bias, is_data=is_data), ln.weight, ln.bias, relu=is_relu)
        return h if is_relu else ACTIVATIONS[self._activation](h)
