"""Small parts that every model shares: the nonlinearity, dropout with its key in the open, a pair of layers.

Dropout happens where a key is given and nowhere else: a model has no hidden train/eval switch that a compiled
step could freeze.
"""

from collections.abc import Callable

from mlx_rl.nn.backend import mx, nn

# ReLU is the default: on the CPU the exact GELU and tanh are computed one number at a time.
ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {"relu": nn.relu, "gelu": nn.gelu, "tanh": mx.tanh}

NORM_EPS = 1e-5


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
        self._bend, self._dropout = ACTIVATIONS[activation], dropout

    def bend_twice(self, x: mx.array, key: mx.array | None) -> mx.array:
        """(…, n_in) -> (…, n_out)."""
        h = drop(self._bend(self.ln1(self.fc1(x))), self._dropout, key)
        return self._bend(self.ln2(self.fc2(h)))
