"""Causal optimum of `spike`: sell when the mark of exactly lag g was up, buy when it was down, if the position allows.

At tick t the marks seen fix the displacements of the next g + 1 ticks. The edge of an order decided at t is
−k · m[t − g]. Knowing the later ones is of no use if 2 · half_spread >= k, so the programme runs over that mark alone:

    Call the rule above greedy. Take any other policy, one that knows every mark to come included, and count its legs
    that gain k − half_spread, a against greedy's a', and its other legs, b, each of which loses the half spread at
    least. Follow a − a' plus the distance between the two positions. Where only the other policy gains, greedy is
    blocked at one end, so the distance shrinks; where only greedy gains, the distance grows by one at most; only a leg
    of kind b can raise the sum, by one. So a − a' <= b: the other is ahead by b · (k − 2 · half_spread) <= 0 at most.

(A cheaper spread makes it pay to move out of the way of a mark seen coming. That programme has 3^(g + 1) signals and is
not solved here.) In the long run the position is evenly spread over its three values and one mark in three is blocked,
so the profit per tick and share tends to (2/3) · mark_chance · (k − half_spread).

A viewer of the last n <= g ticks has not seen the mark that matters, and prices tell only of older ones. The edge is 0
at every tick, so the best policy is HOLD, worth 0, unless the viewer's own position serves as a notebook
(docs/concepts/synthetic-markets.md says what that could earn).
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.optima.chain import independent, solve_chain
from mlx_rl.optima.policy import CausalOptimum, require_free
from observer.kit.errors import UsageError
from observer.records import Market
from observer.venues.synthetic.common import pips
from observer.venues.synthetic.spike import SpikeSettings, read_marks


def solve(settings: SpikeSettings) -> CausalOptimum:
    """The best policy that sees all the past; it looks at the tick of lag g only."""
    _require_solvable(settings)
    lag, k, p = settings.mark_lag_ticks, settings.displacement, settings.mark_chance
    chain = independent([k, 0.0, -k], [p / 2, 1 - p, p / 2])  # signal = mark + 1
    # No mark is old enough before tick g: those decisions hold, and the chain begins at tick g.
    plan = solve_chain(chain, settings.half_spread, max(0, settings.ticks_per_window - 1 - lag))

    def read_signal(market: Market, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        signal = np.ones(len(rows), dtype=np.int64)
        signal[lag:] = read_marks(rows[: max(0, len(rows) - lag)]) + 1
        return signal

    return CausalOptimum(settings, plan, read_signal, lag + 1)


def solve_for_viewer(settings: SpikeSettings, ticks_seen: int) -> CausalOptimum:
    """The best policy of a viewer of the latest `ticks_seen` ticks: HOLD unless the mark of lag g is among them."""
    if ticks_seen > settings.mark_lag_ticks:
        return solve(settings)
    _require_solvable(settings)
    plan = solve_chain(independent([0.0], [1.0]), settings.half_spread, settings.ticks_per_window - 1)
    return CausalOptimum(settings, plan, lambda market, rows: np.zeros(len(rows), dtype=np.int64), 1)


def profit_per_tick(settings: SpikeSettings) -> float:
    """Long-run expected profit of the optimum, USD per tick and share of size."""
    _require_solvable(settings)
    return 2 / 3 * settings.mark_chance * max(0.0, settings.displacement - settings.half_spread)


def _require_solvable(settings: SpikeSettings) -> None:
    require_free(settings, "spike")
    if 2 * pips(settings.half_spread) < pips(settings.displacement):
        raise UsageError(
            f"the optimum of 'spike' is stated for a half_spread of at least half the displacement; found "
            f"{settings.half_spread} against {settings.displacement}. Raise half_spread to {settings.displacement / 2}."
        )
