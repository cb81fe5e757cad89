"""Causal optimum of `lag`: trade towards the reference when it is far enough ahead of the next fill.

With a lead of D ticks, an order decided at t is filled around F[t + 1 − D] while the reference shows F[t]. The edge is
the sum of the last D − 1 jumps, and those jumps are the signal: the newest is drawn anew, the oldest drops out. So
the programme runs over 3^(D − 1) signals and is exact, but for one thing that it leaves out: a fundamental that
reaches a wall stops jumping. With the default settings that happens in about 1 of 10 000 windows.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.optima.chain import SignalChain, solve_chain
from mlx_rl.optima.policy import CausalOptimum, require_free
from observer.kit.errors import UsageError
from observer.records import Market
from observer.venues.synthetic.common import pips
from observer.venues.synthetic.lag import LagSettings, read_fundamental

MOST_LAG_TICKS = 9  # 3^8 = 6561 signals; each tick more triples time and memory


def solve(settings: LagSettings) -> CausalOptimum:
    """The best policy that sees all the past; it looks at the latest D values of the reference only."""
    require_free(settings, "lag")
    if settings.lag_ticks > MOST_LAG_TICKS:
        raise UsageError(
            f"the optimum of 'lag' is solved for at most {MOST_LAG_TICKS} ticks of lead; lag_s {settings.lag_s} is "
            f"{settings.lag_ticks}. Shorten lag_s or lengthen tick_s."
        )
    known = settings.lag_ticks - 1
    n_signals: int = 3**known
    # The signal is a number in base 3, the newest jump (+1) its last digit.
    digits = np.arange(n_signals)[:, None] // 3 ** np.arange(known) % 3  # (S, known), newest first
    q = settings.jump_chance
    chain = SignalChain(
        edge=settings.jump * (digits - 1).sum(axis=1),
        next_signal=(np.arange(n_signals)[:, None] * 3 + np.arange(3)) % n_signals,
        chance=np.array([q / 2, 1 - q, q / 2]),
        start=np.eye(n_signals)[n_signals // 2],  # no jumps yet: every digit is 1
    )
    plan = solve_chain(chain, settings.half_spread, settings.ticks_per_window - 1)
    weights = 3 ** np.arange(known)

    def read_signal(market: Market, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        fundamental = read_fundamental(market, rows)
        jumps = np.diff(fundamental, prepend=fundamental[:1]) // pips(settings.jump)
        padded = np.concatenate([np.zeros(known, dtype=np.int64), jumps])
        signal = np.zeros(len(rows), dtype=np.int64)
        for age, weight in enumerate(weights):
            signal += weight * (padded[known - age : known - age + len(rows)] + 1)
        return signal

    return CausalOptimum(settings, plan, read_signal, settings.lag_ticks)
