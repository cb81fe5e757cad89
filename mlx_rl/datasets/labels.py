"""What each tick of a window was worth: the oracle's values, and the cash that imagined positions move.

Everything is USD per share of size, float32, so that labels mean the same at every order size.
Shapes: T ticks, 3 positions, 3 actions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_rl.market.binary import OPEN_DOWN, OPEN_UP
from mlx_rl.market.fills import liquidation_usd, price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.market.oracle import solve
from observer.records import Tape, mid_up

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Labels:
    """Labels of one window.

    Attributes:
        q: (T, 3, 3) [position, action] value of the action and the best play after it; -inf where masked.
        entry: (T, 2) cash of opening Up / Down at the latest tick up to here that could be filled; NaN before any.
        exit: (T, 2) cash of closing Up / Down here, as `position_pnl` values it.
        mid: (T,) the market's P(Up); NaN where a side is not quoted.
    """

    q: F32
    entry: F32
    exit: F32
    mid: F32


def label_window(tape: Tape, law: LawSettings, payoff_up: float) -> Labels:
    """Solve one recorded window under `law`."""
    fills = price_fills(tape, law)
    opening = fills.cash[:, [OPEN_UP, OPEN_DOWN]]
    size = law.size_shares
    return Labels(
        q=(solve(fills, payoff_up).q / size).astype(np.float32),
        entry=(_latest(opening) / size).astype(np.float32),
        exit=(liquidation_usd(fills) / size).astype(np.float32),
        mid=mid_up(tape.rows).astype(np.float32),
    )


def _latest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Carry each column's latest number forward, (T, K); NaN before the first one."""
    seen = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(seen, axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)
