"""How the price moved: its history, its returns as of then, its volatility. Parts of the compiled step.

Squared moves are summed as integers (units of 2^-52), so what leaves a window is subtracted exactly. A ring keeps at
most one price per 0.1 s, the cell's latest, so memory is bounded and ticks at least 0.1 s apart are kept exactly. A
cursor into a ring is the absolute number of the last entry at or before a moving limit, -1 for none; it only moves
forward, so a lookup costs O(1) amortised.

Helpers are inlined and compiled without Numba's reference counting (`_nrt=False`: nothing here allocates); counting
references to the state arrays would more than double the time of a tick.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types

from mlx_rl.features.layout import (
    C_RELATIVE,
    C_SCALE_1H,
    C_SCALE_5M,
    C_SIGMA_AFTER_S,
    C_SIGMA_FLOOR,
    C_STALE_NS,
    P_CELL,
    P_EXPANSION,
    P_LAST,
    P_LAST_NS,
    P_N,
    P_OPEN_CELL,
    P_OPEN_CLOSE,
    P_PREV_CELL,
    P_PREV_CLOSE,
    P_RING,
    P_SIGMA,
    P_SLOTS,
    P_TREND_BASE,
    P_VOL_1H,
    P_VOL_5M,
    PF_RING,
    V_CUR_LONG,
    V_CUR_SHORT,
    V_N,
    V_RING,
    V_SLOTS,
    V_SUM_CELLS,
    V_SUM_SQ,
    VF_RING,
)

int64: Any = types.int64

S = 1_000_000_000  # ns per second
CELL_NS = S // 10  # ring resolution
VOL_CELL_NS = 5 * S  # moves are sampled at the last price of each five-second cell
VOL_CELL_S = 5.0
SHORT_CELLS, LONG_CELLS = 60, 720  # five minutes, one hour
MAX_GAP_CELLS = 60  # a move across a longer hole says nothing about volatility and is left out
UNIT = 4503599627370496.0  # 2^52, squared moves per integer step

PLAIN: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
inlined: Any = njit(inline="always", **PLAIN)


@inlined
def squash(x, half):  # type: ignore[no-untyped-def]
    return x / (half + abs(x))


@inlined
def balance(a, b):  # type: ignore[no-untyped-def]
    """(a - b)/(a + b), 0 where both are 0."""
    total = a + b
    return (a - b) / total if total > 0 else 0.0


@inlined
def advance(ring, base, stride, mask, cursor, count, limit):  # type: ignore[no-untyped-def]
    """Move a cursor forward to the last entry whose key is at most `limit`."""
    while cursor + 1 < count and ring[base + stride * ((cursor + 1) & mask)] <= limit:
        cursor += 1
    return cursor


@inlined
def turn_cell(pi, pf, ci, cf, cell):  # type: ignore[no-untyped-def]
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
    short = advance(pi, V_RING, 4, V_SLOTS - 1, pi[V_CUR_SHORT], n, cell - 1 - SHORT_CELLS)
    long = advance(pi, V_RING, 4, V_SLOTS - 1, pi[V_CUR_LONG], n, cell - 1 - LONG_CELLS)
    pi[V_CUR_SHORT], pi[V_CUR_LONG] = short, long
    at_short, at_long = V_RING + 4 * (short & (V_SLOTS - 1)), V_RING + 4 * (long & (V_SLOTS - 1))
    cells_short = pi[V_SUM_CELLS] - (pi[at_short + 2] if short >= 0 else 0)
    cells_long = pi[V_SUM_CELLS] - (pi[at_long + 2] if long >= 0 else 0)
    sq_short = pi[V_SUM_SQ] - (pi[at_short + 1] if short >= 0 else 0)
    sq_long = pi[V_SUM_SQ] - (pi[at_long + 1] if long >= 0 else 0)
    rate_short = math.sqrt(sq_short / UNIT / (cells_short * VOL_CELL_S)) if cells_short > 0 else 0.0
    rate_long = math.sqrt(sq_long / UNIT / (cells_long * VOL_CELL_S)) if cells_long > 0 else 0.0
    pf[P_VOL_5M] = squash(rate_short * math.sqrt(300.0), cf[C_SCALE_5M])
    pf[P_VOL_1H] = squash(rate_long * math.sqrt(3600.0), cf[C_SCALE_1H])
    pf[P_EXPANSION] = balance(rate_short, rate_long) if cells_short > 0 else 0.0
    pf[P_SIGMA] = np.nan
    if cells_long > 0 and cells_long * VOL_CELL_S >= cf[C_SIGMA_AFTER_S]:
        pf[P_SIGMA] = max(rate_long, cf[C_SIGMA_FLOOR])
    pf[P_TREND_BASE] = pf[VF_RING + ((long + 1) & (V_SLOTS - 1))] if long + 1 < n else np.nan


@inlined
def observe(pi, pf, recv_ns, price):  # type: ignore[no-untyped-def]
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
def change(pi, pf, ci, which, horizon_ns, half, recv_ns):  # type: ignore[no-untyped-def]
    """Squashed move of the price since `horizon_ns` ago; 0 where there was no price then."""
    limit = recv_ns - horizon_ns
    cursor = advance(pi, P_RING, 1, P_SLOTS - 1, pi[which], pi[P_N], limit)
    pi[which] = cursor
    slot = cursor & (P_SLOTS - 1)
    if cursor < 0 or limit - pi[P_RING + slot] > ci[C_STALE_NS]:
        return 0.0
    return moved(pf[P_LAST], pf[PF_RING + slot], half, ci[C_RELATIVE] == 1)


@inlined
def moved(now, then, half, relative):  # type: ignore[no-untyped-def]
    """sq(now/then - 1; half), or sq(now - then; half), with one division."""
    return squash(now - then, half * then if relative else half)
