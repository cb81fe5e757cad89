"""Weighted behaviour cloning: each action counts by what it earns, so outcomes are averaged, not votes.

Loss: −Σ_a w_a log π(a), with w_a = (q_a − min_b q_b) / s over the allowed actions b, s the training fold's mean
of max_a(q_a − min_b q_b). The weights are exact, from the oracle, in USD per share before the scale.

Why it is right: for one state the loss is least at π(a) = E[w_a] / Σ_b E[w_b]. All w share one scale and, sample
by sample, one offset, so argmax π = argmax E[q_a]: the policy picks the action of highest mean value (the loss is
Fisher-consistent for it). `bc` picks the action that is most often best. Reference: cost-sensitive learning
(Zadrozny, Langford, Abe 2003); departure: weights on all actions of a sample, not on one, since all are known.
Weights above `weight_clip` are cut and counted; a cut weight bends this guarantee, so a high share is a warning.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.algos.targets import Targets
from mlx_rl.training.data import F32, I64, TrainingData
from observer.kit.errors import UsageError

CHUNK = 100_000


class WBCSettings(BaseModel):
    """Weighted behaviour cloning: copy the oracle in proportion to what an action earns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight_clip: float = Field(default=20.0, gt=0, description="largest weight, in mean stakes of a decision")


class WeightedCloning:
    """The method `wbc`."""

    def __init__(self, settings: WBCSettings) -> None:
        self.clip = settings.weight_clip
        self.scale = 1.0

    def fit(self, data: TrainingData, ids: I64) -> dict[str, float]:
        """Measure what a decision is worth on average in the training fold, USD per share.

        Raises:
            UsageError: every action is worth the same everywhere, so there is nothing to learn.
        """
        total = sum(float(regret(data.q[ids[i : i + CHUNK]]).max(axis=-1).sum(dtype=np.float64))
                    for i in range(0, len(ids), CHUNK))  # fmt: skip
        self.scale = total / (3 * len(ids))
        if self.scale <= 0:
            raise UsageError("no action is worth more than another anywhere in the training fold; nothing to learn.")
        return {"mean_stake_usd_per_share": self.scale}

    def targets(self, q: F32) -> Targets:
        """(B, P, A) USD per share -> weights in multiples of the mean stake, cut at `weight_clip`."""
        raw = regret(q) / np.float32(self.scale)
        return Targets(np.minimum(raw, np.float32(self.clip)), int(np.sum(raw > self.clip)), raw.size)


def regret(q: F32) -> F32:
    """(…, A) -> (…, A): what each action earns over the worst allowed one; 0 where forbidden."""
    is_allowed = np.isfinite(q)
    worst = np.where(is_allowed, q, np.float32(np.inf)).min(axis=-1, keepdims=True)
    return np.where(is_allowed, q - worst, np.float32(0))
