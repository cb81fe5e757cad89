"""Causal optimum of `regime`: follow a shock in momentum, oppose it in reversal, if the position allows.

The edge of an order decided at t is r[t] · u[t] · k (regime times shock times displacement); later shocks are even and
independent, so the product is a signal drawn anew at every tick and the programme has three signals. As in `lag` it
leaves out that a fundamental which reaches a wall stops (with the default settings in fewer than 1 of 10 000 windows).
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.optima.chain import independent, solve_chain
from mlx_rl.optima.policy import CausalOptimum, require_free
from observer.records import Market
from observer.venues.synthetic.regime import RegimeSettings, read_regime, read_shocks


def solve(settings: RegimeSettings) -> CausalOptimum:
    """The best policy that sees all the past; it looks at the latest tick only."""
    require_free(settings, "regime")
    k, q = settings.displacement, settings.shock_chance
    chain = independent([-k, 0.0, k], [q / 2, 1 - q, q / 2])  # signal = regime · shock + 1
    plan = solve_chain(chain, settings.half_spread, settings.ticks_per_window - 1)

    def read_signal(market: Market, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        return read_regime(rows) * read_shocks(rows) + 1

    return CausalOptimum(settings, plan, read_signal, 1)
