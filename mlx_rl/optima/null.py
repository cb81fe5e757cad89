"""Causal optimum of `null`: HOLD, worth 0.

The mid is a martingale at which the window settles on average, so every leg of every policy that sees only the past
is expected to lose the half spread and the fee. This holds for any fee schedule.
"""

import numpy as np

from mlx_rl.optima.chain import independent, solve_chain
from mlx_rl.optima.policy import CausalOptimum
from observer.venues.synthetic.null import NullSettings


def solve(settings: NullSettings) -> CausalOptimum:
    """The policy that never trades."""
    plan = solve_chain(independent([0.0], [1.0]), settings.half_spread, settings.ticks_per_window - 1)
    return CausalOptimum(settings, plan, lambda market, rows: np.zeros(len(rows), dtype=np.int64), 1)
