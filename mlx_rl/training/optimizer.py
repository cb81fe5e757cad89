"""AdamW on all weights as one vector, and the step size over time.

One vector instead of sixty small arrays: an update is a dozen operations, not a thousand, and a checkpoint is
three arrays. Reference: Loshchilov and Hutter 2019, with bias correction and decoupled decay. W is the length of that
vector.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlx_rl.nn.backend import as_mx, mx

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
ALIGNED = 64  # weights begin at multiples of so many floats: a GPU's matrix product refuses others


class State(NamedTuple):
    """Everything a step changes: (W,) weights and the running means of gradient and squared gradient."""

    weights: mx.array
    mean: mx.array
    square: mx.array


class Layout:
    """Which part of the vector is which weight; what lies between two is zero and stays zero.

    Args:
        weights: flat name -> array, in the order they are laid out.
    """

    def __init__(self, weights: Mapping[str, mx.array]) -> None:
        self.names = list(weights)
        self.shapes = [tuple(value.shape) for value in weights.values()]
        sizes = [math.prod(shape) for shape in self.shapes]
        rooms = [-(-size // ALIGNED) * ALIGNED for size in sizes]
        self._begins = np.cumsum([0, *rooms[:-1]]).tolist()
        self._pads = [mx.zeros(room - size) for room, size in zip(rooms, sizes, strict=True)]
        is_matrix = [len(shape) > 1 for shape in self.shapes]
        self.is_decayed = as_mx(np.repeat(np.array(is_matrix, np.float32), rooms))

    def join(self, weights: Mapping[str, mx.array]) -> mx.array:
        """Named arrays -> (W,)."""
        parts: list[mx.array] = []
        for name, pad in zip(self.names, self._pads, strict=True):
            parts += [weights[name].reshape(-1), pad] if pad.size else [weights[name].reshape(-1)]
        return mx.concatenate(parts)

    def split(self, vector: mx.array) -> dict[str, mx.array]:
        """(W,) -> named arrays."""
        parts = mx.split(vector, self._begins[1:])
        named: dict[str, mx.array] = {}
        for name, part, shape, pad in zip(self.names, parts, self.shapes, self._pads, strict=True):
            named[name] = (part[: -pad.size] if pad.size else part).reshape(shape)
        return named

    def start(self, weights: Mapping[str, mx.array]) -> State:
        """The state before the first step."""
        vector = self.join(weights)
        return State(vector, mx.zeros_like(vector), mx.zeros_like(vector))


Scalars = tuple[mx.array, mx.array, mx.array]


def step_scalars(rate: float, step: int, decay: float) -> Scalars:
    """What changes from step to step: the step size, how much a decayed weight shrinks, the correction of √v.

    The corrections of step number `step` (from 1) are folded in here, once, instead of being computed per weight.
    """
    return mx.array(rate / (1 - BETA1**step)), mx.array(rate * decay), mx.array(1 / math.sqrt(1 - BETA2**step))


def adamw(
    state: State, gradient: mx.array, scalars: Scalars, is_decayed: mx.array, clip: float
) -> tuple[State, mx.array]:
    """One update. Returns the new state and the gradient's norm before it was clipped to `clip`.

    Args:
        scalars: what `step_scalars` says of this step.
        is_decayed: (W,) 1 where decay pulls the weight to zero.
    """
    rate, shrink, correction = scalars
    norm = mx.sqrt(mx.square(gradient).sum())
    g = gradient * mx.minimum(clip / (norm + 1e-12), 1.0)
    mean = BETA1 * state.mean + (1 - BETA1) * g
    square = BETA2 * state.square + (1 - BETA2) * mx.square(g)
    move = mean / (mx.sqrt(square) * correction + EPSILON)
    weights = state.weights * (1 - shrink * is_decayed) - rate * move
    return State(weights, mean, square), norm


def rate_at(step: int, total: int, top: float, warmup_frac: float) -> float:
    """Step size of step 1..total: a straight climb to `top`, then half a cosine down to zero."""
    warm = max(1, round(warmup_frac * total))
    if step <= warm:
        return top * step / warm
    return top * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
