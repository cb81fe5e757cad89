"""Playing a table of actions over many windows under the money law.

What a policy can decide in advance for every tick and position (a causal optimum, HOLD, a perturbed optimum) is a
table (T, 3) per window; this gives what each earns, so that shares of the optimum are measured on the same paths.

Shapes: W windows, T ticks, P = 3 positions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlx_rl.envs.batch import BatchAccounts
from mlx_rl.market.fills import Fills
from observer.records import HOLD


def play(
    actions: Sequence[NDArray[np.integer]], fills: Sequence[Fills], payoffs: Sequence[float]
) -> NDArray[np.float64]:
    """Net USD of each window, (W,), from a flat start.

    Args:
        actions: for each window (T, P), the action at each tick in each position; masked ones hold.
        fills: each window's orders.
        payoffs: what a share of Up pays in each window, USD.
    """
    accounts = BatchAccounts(fills, payoffs)
    table = np.zeros((len(fills), max(len(a) for a in actions), 3), dtype=np.int64)
    for window, chosen in enumerate(actions):
        table[window, : len(chosen)] = chosen
    windows = np.arange(len(fills))
    for tick in range(table.shape[1]):
        wanted = table[windows, tick, accounts.position]
        accounts.step(np.where(accounts.mask()[windows, wanted], wanted, HOLD))
    return accounts.ledger()["net"].astype(np.float64)
