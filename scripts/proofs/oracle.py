"""The oracle equals trying every sequence of actions, and solves 20 million ticks a second on one core.

1,000 short markets (up to 10 ticks, every fee schedule, fill assumption and kind of depth, latencies of one to
three ticks, holes, thin books) from each of the three positions. The slow side prices orders in exact fractions
and plays every sequence through the event-driven account; it shares no arithmetic with the compiled side. The
control plants two bugs, a fill at the quotes that were decided on and a forgotten fee, and must be caught.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.oracle import solve
from observer.kit.console import Progress
from scripts.bench_oracle import speed
from scripts.proofs import Measurement
from tests.mlx_rl.market.slow_law import START_POSITIONS, brute_force, random_case

PATHS, MOST_TICKS = 1_000, 10
CONTROL_PATHS = 120
TOLERANCE_USD = 1e-9
BAR_TICKS_PER_S = 20e6


def measure() -> Measurement:
    """Compare on PATHS markets, then time."""
    worst, n_wrong = _compare(PATHS, lambda fills: fills)
    found = speed()
    detail = {"paths": PATHS, "paths_wrong": n_wrong, "largest_difference_usd": worst, "ticks_per_s": found}
    value = found["oracle"]
    return Measurement(value, BAR_TICKS_PER_S, "ticks/s", n_wrong == 0 and value >= BAR_TICKS_PER_S, detail)


def control() -> Measurement:
    """The same comparison with each bug in place: holds only if a bug went unnoticed."""
    bugs: dict[str, Callable[[Fills], Fills]] = {
        "fills at the quotes decided on": lambda f: replace(f, cash=np.concatenate([f.cash[:1], f.cash[:-1]])),
        "forgets the fee": lambda f: replace(f, cash=f.cash + f.fee_usd),
    }
    caught = {name: _compare(CONTROL_PATHS, bug)[1] for name, bug in bugs.items()}
    value = float(min(caught.values()))
    return Measurement(value, 0, "paths found wrong, of the less visible bug", value == 0, {"paths_wrong": caught})


def _compare(paths: int, spoil: Callable[[Fills], Fills]) -> tuple[float, int]:
    """Largest difference in USD over all first actions and positions, and the paths beyond the tolerance."""
    worst, n_wrong = 0.0, 0
    progress = Progress("brute force", paths)
    for index in range(paths):
        tape, law, payoff = random_case(7, index, MOST_TICKS)
        fills = price_fills(tape, law)
        q = solve(spoil(fills), payoff).q[0]
        found = np.array([brute_force(tape, law, payoff, position) for position in START_POSITIONS])
        is_allowed = np.isfinite(found)
        if (is_allowed != np.isfinite(q)).any():
            n_wrong += 1
            continue
        gap = float(np.abs(q[is_allowed] - found[is_allowed]).max())
        worst, n_wrong = max(worst, gap), n_wrong + (gap > TOLERANCE_USD)
        progress.update(index + 1)
    return worst, n_wrong
