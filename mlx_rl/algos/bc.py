"""Behaviour cloning: copy what the oracle does, tick by tick and position by position.

Loss: −c(a*) log π(a*), a* the oracle's best action (ties to HOLD), c = `hold_weight` for HOLD and 1 for a trade.
Reference: Pomerleau 1991. Departure: every position is a sample at every tick, because the oracle is exact in all.

The oracle knows the future. A copy of it learns what is *most often* best, which is not what pays best on
average; where outcomes are noisy use `wbc`.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.algos.targets import Targets, best_action
from mlx_rl.training.data import F32, I64, TrainingData
from observer.records import HOLD


class BCSettings(BaseModel):
    """Behaviour cloning: copy the oracle's action."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hold_weight: float = Field(default=0.25, ge=0, description="loss weight of HOLD; 1.0 treats it like a trade")


class BehaviourCloning:
    """The method `bc`."""

    def __init__(self, settings: BCSettings) -> None:
        self.class_weight = np.array([settings.hold_weight, 1.0, 1.0], np.float32)

    def fit(self, data: TrainingData, ids: I64) -> dict[str, float]:
        """Nothing is learnt; the share of HOLD among the labels is reported."""
        return {"hold_share": float(np.mean(best_action(data.q[ids]) == HOLD))}

    def targets(self, q: F32) -> Targets:
        """(B, P, A) USD per share -> weight 1 (or `hold_weight`) on the best action."""
        best = best_action(q)
        weight = np.zeros(q.shape, np.float32)
        np.put_along_axis(weight, best[..., None], self.class_weight[best][..., None], axis=-1)
        return Targets(weight, 0, best.size)
