"""Where everything lies in the flat arrays that the compiled step works on, and how they begin.

`pi`, `pf` hold the price history (kept across the windows of a series when the price is the underlying's); `mi`,
`mf` hold the market window; `ci`, `cf` the schema's parameters. The first of each pair is int64, the second float64.
A ring is a fixed number of slots, a power of two; its counter runs on, so entry n lies in slot n modulo the slots.
"""

import numpy as np
from numpy.typing import NDArray

# Parameters. ci: int64, cf: float64.
(C_RELATIVE, C_EDGE, C_FLOW_NS, C_INTENSITY_NS, C_LARGE_NS, C_STALE_NS, C_AVERAGE_NS, C_GRACE_NS) = range(8)
N_CI = 8
(C_SCALE_1M, C_SCALE_5M, C_SCALE_10M, C_SCALE_1H, C_SPREAD, C_INTENSITY, C_SIGMA_FLOOR, C_SIGMA_AFTER_S, C_AGE_S) = (
    range(9)
)
N_CF = 9

# Price state. Ring of prices: time in pi, price in pf. Ring of five-second closes: (cell, Σsq, Σcells) and close.
(P_N, P_CUR_1M, P_CUR_5M, P_CUR_10M, P_LAST_NS, P_CELL, P_OPEN_CELL, P_PREV_CELL) = range(8)
(V_N, V_CUR_SHORT, V_CUR_LONG, V_SUM_SQ, V_SUM_CELLS, P_SEEN_NS, P_MADE_FROM) = range(8, 15)
P_SLOTS, V_SLOTS = 8192, 1024  # powers of two above 6,002 and 722
P_RING = 16
V_RING = P_RING + P_SLOTS
N_PI = V_RING + 4 * V_SLOTS
(P_LAST, P_AGE_S, P_OPEN_CLOSE, P_PREV_CLOSE, P_VOL_5M, P_EXPANSION, P_VOL_1H, P_SIGMA, P_TREND_BASE) = range(9)
PF_RING = 16
VF_RING = PF_RING + P_SLOTS
N_PF = VF_RING + V_SLOTS

# Market state. Ring of trading ticks: (time, Σbuy, Σsell, Σtrades). Queue of falling maxima: (time, trade).
(M_OPEN_NS, M_CLOSE_NS, F_N, F_CUR_1, F_CUR_2, F_CUR_FAST, F_BUY, F_SELL, F_TRADES) = range(9)
(Q_HEAD, Q_TAIL, A_TO_NS) = range(9, 12)
F_SLOTS, Q_SLOTS = 2048, 1024  # above 1,202 and 602
F_RING = 16
Q_RING = F_RING + 4 * F_SLOTS
N_MI = Q_RING + 2 * Q_SLOTS
(M_PER_NS, M_STRIKE, M_MID, A_SUM) = range(4)
N_MF = 4


def reset_price(pi: NDArray[np.int64], pf: NDArray[np.float64]) -> None:
    """Forget all prices. The rings need no clearing: nothing reads past their counters."""
    pi[:P_RING] = 0
    pf[:PF_RING] = 0.0
    pi[[P_CUR_1M, P_CUR_5M, P_CUR_10M, V_CUR_SHORT, V_CUR_LONG, P_CELL, P_OPEN_CELL, P_PREV_CELL]] = -1
    pf[[P_SIGMA, P_TREND_BASE, P_LAST]] = np.nan


def reset_market(
    mi: NDArray[np.int64], mf: NDArray[np.float64], open_ns: int, close_ns: int, strike: float, average_ns: int
) -> None:
    """Begin a window; `strike` is NaN where the venue states none, the last `average_ns` are averaged to settle it."""
    mi[:F_RING] = 0
    mi[M_OPEN_NS], mi[M_CLOSE_NS] = open_ns, close_ns
    mi[[F_CUR_1, F_CUR_2, F_CUR_FAST]] = -1
    mi[A_TO_NS] = close_ns - average_ns
    mf[M_PER_NS] = 1.0 / max(1, close_ns - open_ns)
    mf[M_STRIKE], mf[M_MID], mf[A_SUM] = strike, np.nan, 0.0
