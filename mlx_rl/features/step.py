"""The compiled step: one tick in, one state out. Live runs it on one tick, the batch path on many.

There is one machine code for both, on the same numbers in the same order, so they agree bitwise. No fast-math,
and no rolling float sums: everything that leaves a window is subtracted as an integer (amounts in micro-USD,
squared moves in units of 2^-52), so nothing drifts and no batching can show in the result.

Everything compiled is in this one file on purpose: Numba's cache looks at the file of the cached function
only, so a helper in another file could change unnoticed. Layout constants are here for the same reason; only the
tick's column numbers come from elsewhere, so touch this file when `TICK_COLUMNS` changes.

State is four flat arrays. `pi`, `pf` hold the price history (kept across the windows of a series when the price
is the underlying's); `mi`, `mf` hold the market window. A ring keeps at most one entry per 0.1 s, the cell's
latest, so memory is bounded and ticks at least 0.1 s apart are kept exactly. A cursor into a ring is the
absolute number of the last entry at or before a moving limit, -1 for none; it only moves forward, so a lookup
costs O(1) amortised.

Helpers are inlined and compiled without Numba's reference counting (`_nrt=False`: nothing here allocates);
counting references to the state arrays would more than double the time of a tick.

Shapes: T ticks, C tick columns, F features.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types

from observer.records import (
    BUY_USD,
    DOWN_ASK,
    DOWN_BID,
    MAX_TRADE_USD,
    N_TRADES,
    REFERENCE,
    REFERENCE_AGE_S,
    SELL_USD,
    UP_ASK,
    UP_ASK_DEPTH5,
    UP_ASK_SIZE,
    UP_BID,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
)

float64: Any = types.float64
int64: Any = types.int64

S = 1_000_000_000  # ns per second
CELL_NS = S // 10  # ring resolution
VOL_CELL_NS = 5 * S  # moves are sampled at the last price of each five-second cell
VOL_CELL_S = 5.0
SHORT_CELLS, LONG_CELLS = 60, 720  # five minutes, one hour
MAX_GAP_CELLS = 60  # a move across a longer hole says nothing about volatility and is left out
RETURN_NS = (60 * S, 300 * S, 600 * S)
MICRO = 1e6
MAX_USD = 1e7  # more than this in one tick counts as this
MAX_TRADES = 1e6
MAX_SHARES = 1e12
MIN_REFERENCE, MAX_REFERENCE = 1e-9, 1e12
UNIT = 4503599627370496.0  # 2^52, squared moves per integer step
MIN_TAU_S = 1e-3
MAX_AGE_S = 1e9

# Parameters. ci: int64, cf: float64.
(C_RELATIVE, C_EDGE, C_FLOW_NS, C_INTENSITY_NS, C_LARGE_NS, C_STALE_NS, C_AVERAGE_NS, C_GRACE_NS) = range(8)
N_CI = 8
(C_SCALE_1M, C_SCALE_5M, C_SCALE_10M, C_SCALE_1H, C_SPREAD, C_INTENSITY, C_SIGMA_FLOOR, C_SIGMA_AFTER_S, C_AGE_S) = (
    range(9)
)
N_CF = 9

# Price state. Ring of prices: time in pi, price in pf. Ring of five-second closes: (cell, Σsq, Σcells) and close.
(P_N, P_CUR_1M, P_CUR_5M, P_CUR_10M, P_LAST_NS, P_CELL, P_OPEN_CELL, P_PREV_CELL) = range(8)
(V_N, V_CUR_SHORT, V_CUR_LONG, V_SUM_SQ, V_SUM_CELLS, P_SEEN_NS) = range(8, 14)
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

_I = types.Array(types.int64, 1, "C")
_F = types.Array(types.float64, 1, "C")
_I_READ = types.Array(types.int64, 1, "C", readonly=True)
_F_READ = types.Array(types.float64, 1, "C", readonly=True)
_ROWS = types.Array(types.float64, 2, "C", readonly=True)
_OUT = types.Array(types.float32, 2, "C")
_STATE = (_I, _F, _I, _F, _I_READ, _F_READ)

_PLAIN: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
inlined: Any = njit(inline="always", **_PLAIN)


@njit(types.void(_I, _F), cache=True, **_PLAIN)
def reset_price(pi, pf):  # type: ignore[no-untyped-def]
    """Forget all prices. The rings need no clearing: nothing reads past their counters."""
    pi[:P_RING] = 0
    pf[:PF_RING] = 0.0
    pi[P_CUR_1M] = pi[P_CUR_5M] = pi[P_CUR_10M] = pi[V_CUR_SHORT] = pi[V_CUR_LONG] = -1
    pi[P_CELL] = pi[P_OPEN_CELL] = pi[P_PREV_CELL] = -1
    pf[P_SIGMA] = pf[P_TREND_BASE] = pf[P_LAST] = np.nan


@njit(types.void(_I, _F, int64, int64, float64, int64), cache=True, **_PLAIN)
def reset_market(mi, mf, open_ns, close_ns, strike, average_ns):  # type: ignore[no-untyped-def]
    """Begin a window; `strike` is NaN where the venue states none."""
    mi[:F_RING] = 0
    mi[M_OPEN_NS], mi[M_CLOSE_NS] = open_ns, close_ns
    mi[F_CUR_1] = mi[F_CUR_2] = mi[F_CUR_FAST] = -1
    mi[A_TO_NS] = close_ns - average_ns
    mf[M_PER_NS] = 1.0 / max(1, close_ns - open_ns)
    mf[M_STRIKE], mf[M_MID], mf[A_SUM] = strike, np.nan, 0.0


@inlined
def _squash(x, half):  # type: ignore[no-untyped-def]
    return x / (half + abs(x))


@inlined
def _balance(a, b):  # type: ignore[no-untyped-def]
    """(a - b)/(a + b), 0 where both are 0."""
    total = a + b
    return (a - b) / total if total > 0 else 0.0


@inlined
def _cursor(ring, base, stride, mask, cursor, count, limit):  # type: ignore[no-untyped-def]
    """Move a cursor forward to the last entry whose key is at most `limit`."""
    while cursor + 1 < count and ring[base + stride * ((cursor + 1) & mask)] <= limit:
        cursor += 1
    return cursor


@inlined
def _imbalance(bid_quoted, ask_quoted, bid_size, ask_size):  # type: ignore[no-untyped-def]
    """Balance of two sizes, or -2 where one of them is unknown or nothing is offered at all."""
    bid_known, ask_known = 0.0 <= bid_size <= MAX_SHARES, 0.0 <= ask_size <= MAX_SHARES
    if not (bid_known or ask_known) or (bid_quoted and not bid_known) or (ask_quoted and not ask_known):
        return -2.0
    bid, ask = bid_size if bid_known else 0.0, ask_size if ask_known else 0.0
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else -2.0


@inlined
def _turn_cell(pi, pf, ci, cf, cell):  # type: ignore[no-untyped-def]
    """A new five-second cell began: close the one before and renew what depends on closes only."""
    relative = ci[C_RELATIVE] == 1
    if pi[P_OPEN_CELL] >= 0:
        close = pf[P_OPEN_CLOSE]
        gap = pi[P_OPEN_CELL] - pi[P_PREV_CELL]
        if pi[P_PREV_CELL] >= 0 and gap <= MAX_GAP_CELLS:
            move = close - pf[P_PREV_CLOSE]
            if relative:
                move /= pf[P_PREV_CLOSE]
            pi[V_SUM_SQ] += int64(min(move * move, 1.0) * UNIT)
            pi[V_SUM_CELLS] += gap
        slot = pi[V_N] & (V_SLOTS - 1)
        at = V_RING + 4 * slot
        pi[at], pi[at + 1], pi[at + 2] = pi[P_OPEN_CELL], pi[V_SUM_SQ], pi[V_SUM_CELLS]
        pf[VF_RING + slot] = close
        pi[V_N] += 1
        pi[P_PREV_CELL], pf[P_PREV_CLOSE] = pi[P_OPEN_CELL], close
        pi[P_OPEN_CELL] = -1
    pi[P_CELL] = cell

    n = pi[V_N]
    short = _cursor(pi, V_RING, 4, V_SLOTS - 1, pi[V_CUR_SHORT], n, cell - 1 - SHORT_CELLS)
    long = _cursor(pi, V_RING, 4, V_SLOTS - 1, pi[V_CUR_LONG], n, cell - 1 - LONG_CELLS)
    pi[V_CUR_SHORT], pi[V_CUR_LONG] = short, long
    at_short, at_long = V_RING + 4 * (short & (V_SLOTS - 1)), V_RING + 4 * (long & (V_SLOTS - 1))
    cells_short = pi[V_SUM_CELLS] - (pi[at_short + 2] if short >= 0 else 0)
    cells_long = pi[V_SUM_CELLS] - (pi[at_long + 2] if long >= 0 else 0)
    sq_short = pi[V_SUM_SQ] - (pi[at_short + 1] if short >= 0 else 0)
    sq_long = pi[V_SUM_SQ] - (pi[at_long + 1] if long >= 0 else 0)
    rate_short = math.sqrt(sq_short / UNIT / (cells_short * VOL_CELL_S)) if cells_short > 0 else 0.0
    rate_long = math.sqrt(sq_long / UNIT / (cells_long * VOL_CELL_S)) if cells_long > 0 else 0.0
    pf[P_VOL_5M] = _squash(rate_short * math.sqrt(300.0), cf[C_SCALE_5M])
    pf[P_VOL_1H] = _squash(rate_long * math.sqrt(3600.0), cf[C_SCALE_1H])
    pf[P_EXPANSION] = _balance(rate_short, rate_long) if cells_short > 0 else 0.0
    pf[P_SIGMA] = np.nan
    if cells_long > 0 and cells_long * VOL_CELL_S >= cf[C_SIGMA_AFTER_S]:
        pf[P_SIGMA] = max(rate_long, cf[C_SIGMA_FLOOR])
    pf[P_TREND_BASE] = pf[VF_RING + ((long + 1) & (V_SLOTS - 1))] if long + 1 < n else np.nan


@inlined
def _observe(pi, pf, recv_ns, price):  # type: ignore[no-untyped-def]
    """Take in one price. Within one 0.1 s cell the latest replaces the one before."""
    pi[P_OPEN_CELL], pf[P_OPEN_CLOSE] = pi[P_CELL], price
    n = pi[P_N]
    if n == 0 or pi[P_LAST_NS] // CELL_NS != recv_ns // CELL_NS:
        n += 1
        pi[P_N] = n
    slot = (n - 1) & (P_SLOTS - 1)
    pi[P_RING + slot] = recv_ns
    pf[PF_RING + slot] = price
    pi[P_LAST_NS], pf[P_LAST] = recv_ns, price


@inlined
def _change(pi, pf, ci, which, horizon_ns, half, recv_ns):  # type: ignore[no-untyped-def]
    """Squashed move of the price since `horizon_ns` ago; 0 where there was no price then."""
    limit = recv_ns - horizon_ns
    cursor = _cursor(pi, P_RING, 1, P_SLOTS - 1, pi[which], pi[P_N], limit)
    pi[which] = cursor
    slot = cursor & (P_SLOTS - 1)
    if cursor < 0 or limit - pi[P_RING + slot] > ci[C_STALE_NS]:
        return 0.0
    return _move(pf[P_LAST], pf[PF_RING + slot], half, ci[C_RELATIVE] == 1)


@inlined
def _move(now, then, half, relative):  # type: ignore[no-untyped-def]
    """sq(now/then - 1; half), or sq(now - then; half), with one division."""
    return _squash(now - then, half * then if relative else half)


@inlined
def _flow(mi, recv_ns, rows, t):  # type: ignore[no-untyped-def]
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
def _average_so_far(pi, pf, mi, mf, ci, recv_ns):  # type: ignore[no-untyped-def]
    """Add the span since the last tick to the settlement average, at the price that stood during it.

    Where no fresh price was known when averaging began, the first one after stands in for the span before it.
    """
    begin_ns = mi[M_CLOSE_NS] - ci[C_AVERAGE_NS]
    if recv_ns > mi[A_TO_NS] and pi[P_N] > 0 and pi[P_LAST_NS] >= begin_ns - ci[C_STALE_NS]:
        mf[A_SUM] += pf[P_LAST] * ((recv_ns - mi[A_TO_NS]) / S)
        mi[A_TO_NS] = recv_ns


@inlined
def _bet(pi, pf, mi, mf, ci, cf, recv_ns, rows, t, price_known, out):  # type: ignore[no-untyped-def]
    """Columns 18 to 27: the bet's price, fair value, strike and quotes."""
    mid, strike, sigma = mf[M_MID], mf[M_STRIKE], pf[P_SIGMA]
    out[t, 18] = 2.0 * mid - 1.0 if mid == mid else 0.0
    out[t, 19] = out[t, 20] = out[t, 21] = out[t, 22] = 0.0
    if ci[C_RELATIVE] == 1 and price_known and strike == strike and sigma == sigma:
        spot = pf[P_LAST]
        left_s = max(0.0, (mi[M_CLOSE_NS] - recv_ns) / S)
        d = math.log(spot / strike) / (sigma * math.sqrt(max(left_s, MIN_TAU_S)))
        lean = math.erf(d * math.sqrt(0.5))  # 2Φ(d) - 1
        out[t, 19] = lean
        out[t, 20] = 0.5 + 0.5 * lean - mid if mid == mid else 0.0
        out[t, 21] = _squash(d, 1.0)
        span_s = ci[C_AVERAGE_NS] / S
        average = (mf[A_SUM] + spot * min(left_s, span_s)) / span_s
        out[t, 22] = _squash((average - strike) / (strike * sigma * math.sqrt(span_s)), 1.0)
    out[t, 23] = _squash(pf[P_AGE_S] + (recv_ns - pi[P_LAST_NS]) / S, cf[C_AGE_S]) if price_known else 1.0
    out[t, 24] = 1.0 if 0.0 <= rows[t, UP_BID] <= 1.0 else 0.0
    out[t, 25] = 1.0 if 0.0 <= rows[t, UP_ASK] <= 1.0 else 0.0
    out[t, 26] = 1.0 if 0.0 <= rows[t, DOWN_BID] <= 1.0 else 0.0
    out[t, 27] = 1.0 if 0.0 <= rows[t, DOWN_ASK] <= 1.0 else 0.0


@inlined
def _tick(pi, pf, mi, mf, ci, cf, recv_ns, rows, t, out):  # type: ignore[no-untyped-def]
    """Take in tick t, row t of `rows`, and write its state to row t of `out`."""
    relative = ci[C_RELATIVE] == 1
    pi[P_SEEN_NS] = recv_ns

    # Quotes of Up; a missing side is read from Down's other side.
    bid, ask = rows[t, UP_BID], rows[t, UP_ASK]
    up_bid, up_ask = 0.0 <= bid <= 1.0, 0.0 <= ask <= 1.0
    has_bid, has_ask = up_bid, up_ask
    if not has_bid:
        has_bid, bid = 0.0 <= rows[t, DOWN_ASK] <= 1.0, 1.0 - rows[t, DOWN_ASK]
    if not has_ask:
        has_ask, ask = 0.0 <= rows[t, DOWN_BID] <= 1.0, 1.0 - rows[t, DOWN_BID]
    mid = mf[M_MID]
    if has_bid and has_ask:
        mid = 0.5 * (bid + ask)
    elif has_bid and mid == mid:
        mid = max(mid, bid)
    elif has_ask and mid == mid:
        mid = min(mid, ask)
    mf[M_MID] = mid

    # The price whose moves we follow.
    cell = recv_ns // VOL_CELL_NS
    if cell != pi[P_CELL]:
        _turn_cell(pi, pf, ci, cf, cell)
    if relative:
        price = rows[t, REFERENCE]
        _average_so_far(pi, pf, mi, mf, ci, recv_ns)
        if MIN_REFERENCE <= price <= MAX_REFERENCE:
            age_s = rows[t, REFERENCE_AGE_S]
            pf[P_AGE_S] = min(age_s, MAX_AGE_S) if age_s >= 0.0 else 0.0
            _observe(pi, pf, recv_ns, price)
            _average_so_far(pi, pf, mi, mf, ci, recv_ns)
            since_ns = recv_ns - mi[M_OPEN_NS]
            if mf[M_STRIKE] != mf[M_STRIKE] and 0 <= since_ns <= ci[C_GRACE_NS]:
                mf[M_STRIKE] = price
    elif (has_bid or has_ask) and mid == mid:
        _observe(pi, pf, recv_ns, mid)
    price_known = pi[P_N] > 0 and recv_ns - pi[P_LAST_NS] <= ci[C_STALE_NS]

    out[t, 0] = out[t, 1] = out[t, 2] = out[t, 17] = 0.0
    if price_known:
        out[t, 0] = _change(pi, pf, ci, P_CUR_1M, RETURN_NS[0], cf[C_SCALE_1M], recv_ns)
        out[t, 1] = _change(pi, pf, ci, P_CUR_5M, RETURN_NS[1], cf[C_SCALE_5M], recv_ns)
        out[t, 2] = _change(pi, pf, ci, P_CUR_10M, RETURN_NS[2], cf[C_SCALE_10M], recv_ns)
        base = pf[P_TREND_BASE]
        out[t, 17] = _move(pf[P_LAST], base, cf[C_SCALE_1H], relative) if base == base else 0.0

    touch = _imbalance(up_bid, up_ask, rows[t, UP_BID_SIZE], rows[t, UP_ASK_SIZE])
    depth = _imbalance(up_bid, up_ask, rows[t, UP_BID_DEPTH5], rows[t, UP_ASK_DEPTH5])
    either = max(touch, depth)  # the known one, where only one is
    either = either if either >= -1.0 else 0.0
    out[t, 3] = touch if touch >= -1.0 else either
    out[t, 4] = depth if depth >= -1.0 else either

    _flow(mi, recv_ns, rows, t)
    n, mask = mi[F_N], F_SLOTS - 1
    one = _cursor(mi, F_RING, 4, mask, mi[F_CUR_1], n, recv_ns - ci[C_FLOW_NS])
    two = _cursor(mi, F_RING, 4, mask, mi[F_CUR_2], n, recv_ns - 2 * ci[C_FLOW_NS])
    fast = _cursor(mi, F_RING, 4, mask, mi[F_CUR_FAST], n, recv_ns - ci[C_INTENSITY_NS])
    mi[F_CUR_1], mi[F_CUR_2], mi[F_CUR_FAST] = one, two, fast
    at_one, at_two = F_RING + 4 * (one & mask), F_RING + 4 * (two & mask)
    buy_one, sell_one = (mi[at_one + 1], mi[at_one + 2]) if one >= 0 else (0, 0)
    buy_two, sell_two = (mi[at_two + 1], mi[at_two + 2]) if two >= 0 else (0, 0)
    flow = _balance(float64(mi[F_BUY] - buy_one), float64(mi[F_SELL] - sell_one))
    before = _balance(float64(buy_one - buy_two), float64(sell_one - sell_two))
    out[t, 5] = flow
    out[t, 6] = 0.5 * (flow - before)

    out[t, 7] = _squash(ask - bid, cf[C_SPREAD]) if has_bid and has_ask else 1.0
    trades = mi[F_TRADES] - (mi[F_RING + 4 * (fast & mask) + 3] if fast >= 0 else 0)
    out[t, 8] = _squash(float64(trades), cf[C_INTENSITY])
    largest = _largest(mi, ci, recv_ns, rows, t)
    usual = float64(mi[F_BUY] + mi[F_SELL])
    scaled = float64(largest) * float64(mi[F_TRADES])
    out[t, 9] = 1.0 - usual / scaled if scaled > usual else 0.0

    out[t, 10] = pf[P_VOL_5M]
    out[t, 11] = pf[P_EXPANSION]
    out[t, 12] = out[t, 13] = out[t, 14] = 0.0
    out[t, 15] = min(1.0, max(0.0, (mi[M_CLOSE_NS] - recv_ns) * mf[M_PER_NS]))
    out[t, 16] = pf[P_VOL_1H]
    if ci[C_EDGE] == 1:
        _bet(pi, pf, mi, mf, ci, cf, recv_ns, rows, t, price_known, out)


@njit(types.void(*_STATE, _I_READ, _ROWS, _OUT), cache=True, **_PLAIN)
def run(pi, pf, mi, mf, ci, cf, recv_ns, rows, out):  # type: ignore[no-untyped-def]
    """Take in T ticks of one market and write their states.

    Args:
        pi, pf: price state, int64 (N_PI,) and float64 (N_PF,).
        mi, mf: market state, int64 (N_MI,) and float64 (N_MF,).
        ci, cf: the schema's parameters, int64 (N_CI,) and float64 (N_CF,).
        recv_ns: (T,) our clock, never before an earlier tick's.
        rows: (T, C) the ticks.
        out: (T, F) float32, written whole; position columns get 0.
    """
    for t in range(len(recv_ns)):
        _tick(pi, pf, mi, mf, ci, cf, recv_ns[t], rows, t, out)
