"""Who traded: the flow of the last minute, its acceleration, the pace, the largest trade. Parts of the compiled step.

Amounts are summed as integers in micro-USD, so what leaves a window is subtracted exactly. Rings and cursors are those
of `mlx_rl.features.prices`.
"""

from typing import Any

from numba import types

from mlx_rl.features.layout import (
    C_FLOW_NS,
    C_INTENSITY,
    C_INTENSITY_NS,
    C_LARGE_NS,
    F_BUY,
    F_CUR_1,
    F_CUR_2,
    F_CUR_FAST,
    F_N,
    F_RING,
    F_SELL,
    F_SLOTS,
    F_TRADES,
    Q_HEAD,
    Q_RING,
    Q_SLOTS,
    Q_TAIL,
)
from mlx_rl.features.prices import CELL_NS, advance, balance, inlined, int64, squash
from observer.records import BUY_USD, MAX_TRADE_USD, N_TRADES, SELL_USD

float64: Any = types.float64

MICRO = 1e6
MAX_USD = 1e7  # more than this in one tick counts as this
MAX_TRADES = 1e6


@inlined
def _note(mi, recv_ns, rows, t):  # type: ignore[no-untyped-def]
    """Take in the trades since the last tick."""
    buy, sell, count = rows[t, BUY_USD], rows[t, SELL_USD], rows[t, N_TRADES]
    if buy > 0.0 or sell > 0.0 or count > 0.0:
        last = mi[F_RING + 4 * ((mi[F_N] - 1) & (F_SLOTS - 1))]
        if mi[F_N] == 0 or last // CELL_NS != recv_ns // CELL_NS:
            mi[F_N] += 1
        mi[F_BUY] += int64(min(buy, MAX_USD) * MICRO + 0.5) if buy > 0.0 else 0
        mi[F_SELL] += int64(min(sell, MAX_USD) * MICRO + 0.5) if sell > 0.0 else 0
        mi[F_TRADES] += int64(min(count, MAX_TRADES) + 0.5) if count > 0.0 else 0
        at = F_RING + 4 * ((mi[F_N] - 1) & (F_SLOTS - 1))
        mi[at], mi[at + 1], mi[at + 2], mi[at + 3] = recv_ns, mi[F_BUY], mi[F_SELL], mi[F_TRADES]


@inlined
def _largest(mi, ci, recv_ns, rows, t):  # type: ignore[no-untyped-def]
    """The largest trade of the window in micro-USD, 0 for none, by a queue of falling maxima."""
    head, tail = mi[Q_HEAD], mi[Q_TAIL]
    while head < tail and mi[Q_RING + 2 * (head & (Q_SLOTS - 1))] <= recv_ns - ci[C_LARGE_NS]:
        head += 1
    trade = rows[t, MAX_TRADE_USD]
    if trade > 0.0:
        size = int64(min(trade, MAX_USD) * MICRO + 0.5)
        while tail > head and mi[Q_RING + 2 * ((tail - 1) & (Q_SLOTS - 1)) + 1] <= size:
            tail -= 1
        at = Q_RING + 2 * ((tail - 1) & (Q_SLOTS - 1))
        if tail > head and mi[at] // CELL_NS == recv_ns // CELL_NS:
            mi[at] = recv_ns
        else:
            at = Q_RING + 2 * (tail & (Q_SLOTS - 1))
            mi[at], mi[at + 1] = recv_ns, size
            tail += 1
    mi[Q_HEAD], mi[Q_TAIL] = head, tail
    return mi[Q_RING + 2 * (head & (Q_SLOTS - 1)) + 1] if head < tail else 0


@inlined
def read_trades(mi, ci, cf, recv_ns, rows, t, out):  # type: ignore[no-untyped-def]
    """Columns 5, 6, 8 and 9: take in the trades since the last tick and say what they come to."""
    _note(mi, recv_ns, rows, t)
    n, mask = mi[F_N], F_SLOTS - 1
    one = advance(mi, F_RING, 4, mask, mi[F_CUR_1], n, recv_ns - ci[C_FLOW_NS])
    two = advance(mi, F_RING, 4, mask, mi[F_CUR_2], n, recv_ns - 2 * ci[C_FLOW_NS])
    fast = advance(mi, F_RING, 4, mask, mi[F_CUR_FAST], n, recv_ns - ci[C_INTENSITY_NS])
    mi[F_CUR_1], mi[F_CUR_2], mi[F_CUR_FAST] = one, two, fast
    at_one, at_two = F_RING + 4 * (one & mask), F_RING + 4 * (two & mask)
    buy_one, sell_one = (mi[at_one + 1], mi[at_one + 2]) if one >= 0 else (0, 0)
    buy_two, sell_two = (mi[at_two + 1], mi[at_two + 2]) if two >= 0 else (0, 0)
    flow = balance(float64(mi[F_BUY] - buy_one), float64(mi[F_SELL] - sell_one))
    before = balance(float64(buy_one - buy_two), float64(sell_one - sell_two))
    out[t, 5] = flow
    out[t, 6] = 0.5 * (flow - before)

    trades = mi[F_TRADES] - (mi[F_RING + 4 * (fast & mask) + 3] if fast >= 0 else 0)
    out[t, 8] = squash(float64(trades), cf[C_INTENSITY])
    largest = _largest(mi, ci, recv_ns, rows, t)
    usual = float64(mi[F_BUY] + mi[F_SELL])
    scaled = float64(largest) * float64(mi[F_TRADES])
    out[t, 9] = 1.0 - usual / scaled if scaled > usual else 0.0
