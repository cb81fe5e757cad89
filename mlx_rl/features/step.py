"""The compiled step: one tick in, one state out. Live runs it on one tick, the batch path on many.

There is one machine code for both, on the same numbers in the same order, so they agree bitwise. No fast-math,
and no rolling float sums: everything that leaves a window is subtracted as an integer (amounts in micro-USD,
squared moves in units of 2^-52), so nothing drifts and no batching can show in the result.

Numba's cache looks at the file of the cached function and at what its closure holds, so `run` holds a number made
from the other files that are compiled into it, `COMPILED_IN`; a change of any of them compiles it anew.

State is flat arrays, see `mlx_rl.features.layout`. Shapes: T ticks, C tick columns, F features.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

from numba import njit, types

import observer.records
from mlx_rl.features import layout, prices, trades
from mlx_rl.features.layout import (
    A_SUM,
    A_TO_NS,
    C_AGE_S,
    C_AVERAGE_NS,
    C_EDGE,
    C_GRACE_NS,
    C_RELATIVE,
    C_SCALE_1H,
    C_SCALE_1M,
    C_SCALE_5M,
    C_SCALE_10M,
    C_SPREAD,
    C_STALE_NS,
    M_CLOSE_NS,
    M_MID,
    M_OPEN_NS,
    M_PER_NS,
    M_STRIKE,
    P_AGE_S,
    P_CELL,
    P_CUR_1M,
    P_CUR_5M,
    P_CUR_10M,
    P_EXPANSION,
    P_LAST,
    P_LAST_NS,
    P_MADE_FROM,
    P_N,
    P_SEEN_NS,
    P_SIGMA,
    P_TREND_BASE,
    P_VOL_1H,
    P_VOL_5M,
)
from mlx_rl.features.prices import (
    PLAIN,
    VOL_CELL_NS,
    S,
    change,
    inlined,
    moved,
    observe,
    squash,
    turn_cell,
)
from mlx_rl.features.trades import read_trades
from observer.records import (
    DOWN_ASK,
    DOWN_BID,
    REFERENCE,
    REFERENCE_AGE_S,
    UP_ASK,
    UP_ASK_DEPTH5,
    UP_ASK_SIZE,
    UP_BID,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
)

float64: Any = types.float64

COMPILED_IN = (layout, prices, trades, observer.records)

RETURN_NS = (60 * S, 300 * S, 600 * S)
MAX_SHARES = 1e12
MIN_REFERENCE, MAX_REFERENCE = 1e-9, 1e12
MIN_TAU_S = 1e-3
MAX_AGE_S = 1e9

_I = types.Array(types.int64, 1, "C")
_F = types.Array(types.float64, 1, "C")
_I_READ = types.Array(types.int64, 1, "C", readonly=True)
_F_READ = types.Array(types.float64, 1, "C", readonly=True)
_ROWS = types.Array(types.float64, 2, "C", readonly=True)
_OUT = types.Array(types.float32, 2, "C")
_STATE = (_I, _F, _I, _F, _I_READ, _F_READ)


@inlined
def _imbalance(bid_quoted, ask_quoted, bid_size, ask_size):  # type: ignore[no-untyped-def]
    """Balance of two sizes, or -2 where one of them is unknown or nothing is offered at all."""
    bid_known, ask_known = 0.0 <= bid_size <= MAX_SHARES, 0.0 <= ask_size <= MAX_SHARES
    if not (bid_known or ask_known) or (bid_quoted and not bid_known) or (ask_quoted and not ask_known):
        return -2.0
    bid, ask = bid_size if bid_known else 0.0, ask_size if ask_known else 0.0
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else -2.0


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
        out[t, 21] = squash(d, 1.0)
        span_s = ci[C_AVERAGE_NS] / S
        average = (mf[A_SUM] + spot * min(left_s, span_s)) / span_s
        out[t, 22] = squash((average - strike) / (strike * sigma * math.sqrt(span_s)), 1.0)
    out[t, 23] = squash(pf[P_AGE_S] + (recv_ns - pi[P_LAST_NS]) / S, cf[C_AGE_S]) if price_known else 1.0
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
        turn_cell(pi, pf, ci, cf, cell)
    if relative:
        price = rows[t, REFERENCE]
        _average_so_far(pi, pf, mi, mf, ci, recv_ns)
        if MIN_REFERENCE <= price <= MAX_REFERENCE:
            age_s = rows[t, REFERENCE_AGE_S]
            pf[P_AGE_S] = min(age_s, MAX_AGE_S) if age_s >= 0.0 else 0.0
            observe(pi, pf, recv_ns, price)
            _average_so_far(pi, pf, mi, mf, ci, recv_ns)
            since_ns = recv_ns - mi[M_OPEN_NS]
            if mf[M_STRIKE] != mf[M_STRIKE] and 0 <= since_ns <= ci[C_GRACE_NS]:
                mf[M_STRIKE] = price
    elif (has_bid or has_ask) and mid == mid:
        observe(pi, pf, recv_ns, mid)
    price_known = pi[P_N] > 0 and recv_ns - pi[P_LAST_NS] <= ci[C_STALE_NS]

    out[t, 0] = out[t, 1] = out[t, 2] = out[t, 17] = 0.0
    if price_known:
        out[t, 0] = change(pi, pf, ci, P_CUR_1M, RETURN_NS[0], cf[C_SCALE_1M], recv_ns)
        out[t, 1] = change(pi, pf, ci, P_CUR_5M, RETURN_NS[1], cf[C_SCALE_5M], recv_ns)
        out[t, 2] = change(pi, pf, ci, P_CUR_10M, RETURN_NS[2], cf[C_SCALE_10M], recv_ns)
        base = pf[P_TREND_BASE]
        out[t, 17] = moved(pf[P_LAST], base, cf[C_SCALE_1H], relative) if base == base else 0.0

    touch = _imbalance(up_bid, up_ask, rows[t, UP_BID_SIZE], rows[t, UP_ASK_SIZE])
    depth = _imbalance(up_bid, up_ask, rows[t, UP_BID_DEPTH5], rows[t, UP_ASK_DEPTH5])
    either = max(touch, depth)  # the known one, where only one is
    either = either if either >= -1.0 else 0.0
    out[t, 3] = touch if touch >= -1.0 else either
    out[t, 4] = depth if depth >= -1.0 else either

    out[t, 7] = squash(ask - bid, cf[C_SPREAD]) if has_bid and has_ask else 1.0
    read_trades(mi, ci, cf, recv_ns, rows, t, out)

    out[t, 10] = pf[P_VOL_5M]
    out[t, 11] = pf[P_EXPANSION]
    out[t, 12] = out[t, 13] = out[t, 14] = 0.0
    out[t, 15] = min(1.0, max(0.0, (mi[M_CLOSE_NS] - recv_ns) * mf[M_PER_NS]))
    out[t, 16] = pf[P_VOL_1H]
    if ci[C_EDGE] == 1:
        _bet(pi, pf, mi, mf, ci, cf, recv_ns, rows, t, price_known, out)


def _compile(made_from: int) -> Any:
    @njit(types.void(*_STATE, _I_READ, _ROWS, _OUT), cache=True, **PLAIN)
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
        pi[P_MADE_FROM] = made_from
        for t in range(len(recv_ns)):
            _tick(pi, pf, mi, mf, ci, cf, recv_ns[t], rows, t, out)

    return run


def made_from(files: list[Path]) -> int:
    """A number that stands for what some files say."""
    text = b"\0".join(file.read_bytes() for file in files)
    return int.from_bytes(hashlib.sha256(text).digest()[:7])


run = _compile(made_from([Path(str(module.__file__)) for module in COMPILED_IN]))
