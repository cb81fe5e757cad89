"""What a method of this family decides: how much weight each action of each sample carries. NumPy only.

Letters: B batch, P positions, A actions.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mlx_rl.training.data import F32, I64, TrainingData


class Targets(NamedTuple):
    """How much each action of each position counts.

    Attributes:
        weight: (B, P, A) float32, zero where the mask forbids the action.
        n_clipped: how many weights were cut at the method's limit.
        n_weights: how many could have been.
    """

    weight: F32
    n_clipped: int
    n_weights: int


class Method(Protocol):
    """One algorithm of the family."""

    def fit(self, data: TrainingData, ids: I64) -> dict[str, float]:
        """Look at the training fold once; returns what was learnt, for the run's record."""
        ...

    def targets(self, q: F32) -> Targets:
        """(B, P, A) USD per share, −inf where forbidden -> the actions' weights."""
        ...


def best_action(q: F32) -> NDArray[np.int32]:
    """(…, A) -> (…,): the action of highest value; a tie goes to the lower index, so to HOLD first."""
    return np.argmax(q, axis=-1).astype(np.int32)
