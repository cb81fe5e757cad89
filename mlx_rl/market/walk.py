"""The arithmetic of one order, compiled: lay out the depth, walk it, charge the fee, split the cost.

Every compiled function that another one calls sits in this file, because Numba's cache notices a change of the
file it compiled and not of the files that one imports. No fast-math: one order costs the same bits everywhere.

Shapes: T ticks, C tick columns, S = 4 book sides, K recorded levels. Prices are USD per share, NaN is missing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from observer.records import DOWN_ASK, DOWN_BID, UP_ASK, UP_BID

F64 = NDArray[np.float64]

NO_FEE, QUADRATIC, WEIGHTED, NOTIONAL = 0, 1, 2, 3
OPTIMISTIC, BASE, PESSIMISTIC = 0, 1, 2
DEPTH_LEVELS = 5  # price levels that a recorded `depth5` covers

# No divisor below can be zero, so none is checked. A call copies every argument, so parts are inlined (1.7 × faster).
compiled = njit(cache=True, error_model="numpy")
inlined = njit(cache=True, error_model="numpy", forceinline=True)

_SIDE_OF_ORDER = (UP_ASK, UP_BID, DOWN_ASK, DOWN_BID)  # OPEN_UP, CLOSE_UP, OPEN_DOWN, CLOSE_DOWN
_MATE_OF_ORDER = (UP_BID, UP_ASK, DOWN_BID, DOWN_ASK)  # the same token's other side
_SHARE_EPS = 1e-9  # shares that float arithmetic may lose on a walk
_GROSS_UP_ROUNDS = 64  # each round shrinks the error by the fee rate (< 0.5): 2^-64 of the size is below any lot


class Terms(NamedTuple):
    """A market and a law as plain numbers, for compiled code."""

    kind: int  # NO_FEE, QUADRATIC, WEIGHTED or NOTIONAL
    rate: float
    exponent: float
    steps_per_usd: float  # the venue rounds a fee to 1/steps_per_usd
    is_round_up: bool
    is_in_shares: bool  # a buy's fee is taken in shares
    size_shares: float
    lot_shares: float
    price_tick: float
    fills: int  # OPTIMISTIC, BASE or PESSIMISTIC


@inlined
def price_weight(terms: Terms, price: float) -> float:
    """USD of fee per share at rate 1, before rounding."""
    if terms.kind == NO_FEE:
        return 0.0
    if terms.kind == NOTIONAL:
        return price
    curve = price * (1.0 - price)
    if terms.exponent == 2.0:
        curve = curve * curve
    elif terms.exponent != 1.0:
        curve = curve**terms.exponent
    return price * curve if terms.kind == WEIGHTED else curve


@inlined
def round_fee(terms: Terms, raw_usd: float) -> float:
    """Round an order's fee as the venue does; one below the smallest step is nothing, unless it rounds up."""
    steps = raw_usd * terms.steps_per_usd
    noise = 1e-9 + 1e-12 * steps  # a fee that is a whole step in decimals must not move for its binary noise
    if terms.is_round_up:
        return max(0.0, np.ceil(steps - noise)) / terms.steps_per_usd
    if steps < 1.0 - noise:
        return 0.0
    return np.floor(steps + 0.5 + noise) / terms.steps_per_usd


@compiled
def fees_of(terms: Terms, shares: F64, price: F64, out: F64) -> None:
    """Fill `out` (N,) with the fee in USD of buying or selling shares (N,) at one price (N,) each."""
    for i in range(len(out)):
        out[i] = round_fee(terms, shares[i] * price_weight(terms, price[i]) * terms.rate)


@inlined
def _worse(terms: Terms, is_buy: bool, touch: float, ticks: int) -> float:
    """The price `ticks` price ticks behind the touch, kept inside (0, 1) and never better than the touch."""
    if is_buy:
        return max(touch, min(touch + ticks * terms.price_tick, 1.0 - terms.price_tick))
    return min(touch, max(touch - ticks * terms.price_tick, terms.price_tick))


@inlined
def _lay_out(terms: Terms, is_buy: bool, touch: float, size: float, depth: float, price: F64, qty: F64) -> int:
    """Write the levels that `touch`, its size and the depth over five levels stand for; return how many.

    What was recorded binds every assumption. What was not: optimistic puts it at the best price that the record
    allows, base spreads it evenly over the levels left, pessimistic puts it all at the fifth.
    """
    if np.isnan(size) and np.isnan(depth):
        price[0] = _worse(terms, is_buy, touch, 1 if terms.fills == PESSIMISTIC else 0)
        qty[0] = np.inf
        return 1
    n = 0
    rest = depth
    if not np.isnan(size):
        price[0], qty[0] = touch, size
        n = 1
        if np.isnan(depth):
            return 1
        rest = max(depth - size, 0.0)
    if terms.fills == BASE:
        first = n
        while n < DEPTH_LEVELS:
            price[n] = _worse(terms, is_buy, touch, n)
            qty[n] = rest / (DEPTH_LEVELS - first)
            n += 1
        return n
    price[n] = _worse(terms, is_buy, touch, DEPTH_LEVELS - 1 if terms.fills == PESSIMISTIC else n)
    qty[n] = rest
    return n + 1


@inlined
def _walk(terms: Terms, price: F64, qty: F64, n: int, shares: float) -> tuple[float, float]:
    """Take `shares` from the first `n` levels: notional and unrounded fee in USD, NaN where depth is short."""
    left = shares
    notional = 0.0
    weight = 0.0
    for k in range(n):
        take = min(left, qty[k])
        notional += take * price[k]
        weight += take * price_weight(terms, price[k])
        left -= take
        if left <= _SHARE_EPS:
            return notional, weight * terms.rate
    return np.nan, np.nan


@inlined
def _buy(terms: Terms, price: F64, qty: F64, n: int) -> tuple[float, float, float]:
    """Buy so that `size_shares` are left after the fee: shares ordered, notional, fee in USD.

    A fee in shares is grossed up: order more, by whole lots, until what the fee leaves is the size.
    """
    lots = np.ceil(terms.size_shares / terms.lot_shares - _SHARE_EPS)
    for _ in range(_GROSS_UP_ROUNDS):
        shares = lots * terms.lot_shares
        notional, raw = _walk(terms, price, qty, n, shares)
        fee = round_fee(terms, raw)
        if np.isnan(notional) or not terms.is_in_shares:
            return shares, notional, fee
        want = np.ceil((terms.size_shares + fee * shares / notional) / terms.lot_shares - _SHARE_EPS)
        if want <= lots:
            return shares, notional, fee
        lots = want
    return np.nan, np.nan, np.nan


@inlined
def price_order(
    terms: Terms, is_buy: bool, touch: float, mate: float, price: F64, qty: F64, n: int
) -> tuple[float, float, float, float, float]:
    """Price one order against `n` levels.

    Args:
        touch: the quoted best price on the side that the order takes.
        mate: the same token's best price on the other side, NaN where missing.

    Returns:
        cash, fee, spread, slippage in USD and dust in shares; cash is NaN and the rest 0 where not fillable.
        cash = flow at mid − spread − slippage − fee, the flow at mid being ∓(position + dust) × mid.
    """
    mid = touch
    if (is_buy and mate <= touch) or (not is_buy and mate >= touch):  # False for a missing or crossed mate
        mid = 0.5 * (touch + mate)
    if not is_buy:
        shares = terms.size_shares
        notional, raw = _walk(terms, price, qty, n, shares)
        if np.isnan(notional):
            return np.nan, 0.0, 0.0, 0.0, 0.0
        fee = round_fee(terms, raw)
        return notional - fee, fee, shares * (mid - touch), max(0.0, touch * shares - notional), 0.0
    shares, notional, fee = _buy(terms, price, qty, n)
    if np.isnan(notional):
        return np.nan, 0.0, 0.0, 0.0, 0.0
    held = shares - fee * shares / notional if terms.is_in_shares else shares
    cash = -notional if terms.is_in_shares else -notional - fee
    slippage = max(0.0, held * (notional / shares) - held * touch) if n > 1 or price[0] != touch else 0.0
    return cash, fee, held * (touch - mid), slippage, max(0.0, held - terms.size_shares)


@compiled
def price_rows(
    terms: Terms, rows: F64, ladder_price: F64, ladder_size: F64, cash: F64, fee: F64, spread: F64, slip: F64, dust: F64
) -> None:
    """Price all four orders at every tick, into the (T, 4) arrays after `ladder_size`.

    Args:
        rows: (T, C) ticks.
        ladder_price: (T, S, K) recorded levels, or (0, S, K) where none were recorded.
        ladder_size: their sizes. A tick whose first level is missing falls back on the row.
    """
    width = max(DEPTH_LEVELS, ladder_price.shape[2])
    price, qty = np.empty(width), np.empty(width)
    has_ladder = ladder_price.shape[0] > 0
    best = np.empty(4)
    is_deep = np.zeros(4, np.bool_)
    for t in range(rows.shape[0]):
        for side in range(4):
            is_deep[side] = has_ladder and not np.isnan(ladder_price[t, side, 0] + ladder_size[t, side, 0])
            best[side] = ladder_price[t, side, 0] if is_deep[side] else rows[t, side]
        for order in range(4):
            side = _SIDE_OF_ORDER[order]
            is_buy = order % 2 == 0
            cash[t, order] = np.nan
            fee[t, order] = spread[t, order] = slip[t, order] = dust[t, order] = 0.0
            if np.isnan(best[side]):
                continue
            if is_deep[side]:
                n = 0
                while n < ladder_price.shape[2] and not np.isnan(ladder_price[t, side, n] + ladder_size[t, side, n]):
                    price[n], qty[n] = ladder_price[t, side, n], ladder_size[t, side, n]
                    n += 1
            else:
                n = _lay_out(terms, is_buy, best[side], rows[t, side + 4], rows[t, side + 8], price, qty)
            cash[t, order], fee[t, order], spread[t, order], slip[t, order], dust[t, order] = price_order(
                terms, is_buy, best[side], best[_MATE_OF_ORDER[order]], price, qty, n
            )
