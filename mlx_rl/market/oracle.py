"""The exact value of every action on a recorded path, by dynamic programming backwards in time.

Recorded markets hold nobody's actions, but our size hardly moves them, so what each action would have earned is
known afterwards. This is hindsight: an expert to copy and a yardstick for regret, never a forecast.

    value[T, p] = what position p settles for
    value[t, p] = max over the allowed actions a of q[t, p, a]
    q[t, p, HOLD]  = value[t + 1, p]
    q[t, p, order] = cash[e] + dust[e] × payoff + value[e, p'],   e = execute_at[t]
                   = value[e, p] where the order cannot be filled or no tick e is left

Shapes: T ticks, 3 positions (flat, Up, Down), 3 actions (HOLD, BUY, SELL). All values are future net USD.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mlx_rl.market.fills import Fills
from observer.kit.errors import BadRecording
from observer.records import ACTIONS, BUY, DOWN, FLAT, HOLD, SELL, UP

F64 = NDArray[np.float64]

TIE_USD = 1e-9  # what float arithmetic may lose: an action must beat HOLD by more to be called better


@dataclass(frozen=True, slots=True)
class Oracle:
    """The best achievable future, by tick and position, and what each action is worth.

    Attributes:
        value: (T + 1, 3) future net USD from tick t on in each position; row T is the settlement.
        q: (T, 3, 3) [tick, position, action] future net USD of that action and the best play after it; -inf where
            the mask forbids the action.
    """

    value: F64
    q: F64


def solve(fills: Fills, payoff_up: float) -> Oracle:
    """Solve one window exactly.

    Args:
        fills: every order at every tick.
        payoff_up: USD that one Up share settles for: 1, 0 or 0.5; Down settles for the rest.

    Raises:
        BadRecording: the payoff is not in [0, 1].
    """
    if not 0.0 <= payoff_up <= 1.0:
        raise BadRecording(f"payoff {payoff_up} USD per Up share; wanted 1, 0 or 0.5. Read it with read_payoffs.")
    ticks = len(fills)
    value, q = np.empty((ticks + 1, 3)), np.empty((ticks, 3, 3))
    _solve(fills.cash, fills.dust_shares, fills.execute_at, fills.size_shares, float(payoff_up), value, q)
    return Oracle(value, q)


def best_action(oracle: Oracle) -> NDArray[np.int64]:
    """Return the best action by tick and position, (T, 3); HOLD unless another is better by more than a tie."""
    gain = oracle.q - oracle.q[:, :, HOLD, None]
    gain[:, :, HOLD] = TIE_USD
    return np.argmax(gain, axis=2)


def class_balance(oracle: Oracle, position: int) -> dict[str, float]:
    """Return how often each action is the best one in `position`, as fractions of the ticks, HOLD included."""
    counts = np.bincount(best_action(oracle)[:, position], minlength=len(ACTIONS))
    return {name: float(count) / max(1, len(oracle.q)) for name, count in zip(ACTIONS, counts, strict=True)}


@njit(cache=True)
def _solve(
    cash: F64, dust: F64, execute_at: NDArray[np.int64], size: float, payoff_up: float, value: F64, q: F64
) -> None:
    ticks = len(execute_at)
    payoff_down = 1.0 - payoff_up
    value[ticks, FLAT], value[ticks, UP], value[ticks, DOWN] = 0.0, size * payoff_up, size * payoff_down
    for t in range(ticks - 1, -1, -1):
        e = execute_at[t]
        flat, up, down = value[e, FLAT], value[e, UP], value[e, DOWN]
        open_up = close_up = open_down = close_down = np.nan
        if e < ticks:
            open_up = cash[e, 0] + dust[e, 0] * payoff_up + up
            close_up = cash[e, 1] + flat
            open_down = cash[e, 2] + dust[e, 2] * payoff_down + down
            close_down = cash[e, 3] + flat

        hold = value[t + 1, FLAT]
        buy = flat if np.isnan(open_up) else open_up
        sell = flat if np.isnan(open_down) else open_down
        q[t, FLAT, HOLD], q[t, FLAT, BUY], q[t, FLAT, SELL] = hold, buy, sell
        value[t, FLAT] = max(hold, max(buy, sell))

        hold = value[t + 1, UP]
        sell = up if np.isnan(close_up) else close_up
        q[t, UP, HOLD], q[t, UP, BUY], q[t, UP, SELL] = hold, -np.inf, sell
        value[t, UP] = max(hold, sell)

        hold = value[t + 1, DOWN]
        buy = down if np.isnan(close_down) else close_down
        q[t, DOWN, HOLD], q[t, DOWN, BUY], q[t, DOWN, SELL] = hold, buy, -np.inf
        value[t, DOWN] = max(hold, buy)
