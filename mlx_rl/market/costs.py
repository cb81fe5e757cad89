"""Fees: which schedule binds, what it charges, and how the venue rounds it.

The fee of an order is the sum over the levels it takes, rounded once as the venue rounds: Polymarket to the
nearest 1e-5 USD and below that nothing, Kalshi up to 1e-4 USD. A sale pays it in cash. A buy pays it in cash or
in shares at the order's average price; in shares, the order is grossed up so that the position is the size.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlx_rl.market import walk
from mlx_rl.market.law import LawSettings
from mlx_rl.market.walk import Terms
from observer.kit.errors import BadRecording, UsageError
from observer.records import FeeSchedule, Market
from observer.venues.fees import BY_NAME

_KINDS = {"none": walk.NO_FEE, "quadratic": walk.QUADRATIC, "weighted": walk.WEIGHTED, "notional": walk.NOTIONAL}
_FILLS = {"optimistic": walk.OPTIMISTIC, "base": walk.BASE, "pessimistic": walk.PESSIMISTIC}
_HIGHEST_RATE = 0.5  # a fee in shares is grossed up round by round, which needs a fee well below the price


def schedule_of(market: Market, fees: str) -> FeeSchedule:
    """Return the schedule that binds: the market's own for "dated", else the one called `fees`.

    Raises:
        UsageError: no schedule has that name.
    """
    if fees == "dated":
        return market.fees
    if fees not in BY_NAME:
        raise UsageError(f"no fee schedule is called {fees!r}. Say 'dated' or one of: {', '.join(BY_NAME)}.")
    return BY_NAME[fees]


def fee_usd(schedule: FeeSchedule, shares: ArrayLike, price: ArrayLike) -> NDArray[np.float64]:
    """Return the fee in USD of trading `shares` at `price`, rounded as the venue does; shapes broadcast.

    A single number gives the same bits as the same number inside an array.
    """
    many, at = np.broadcast_arrays(np.asarray(shares, dtype=np.float64), np.asarray(price, dtype=np.float64))
    out = np.empty(many.shape)
    terms = _terms(schedule, size_shares=1.0, lot_shares=1.0, price_tick=0.01, fills="base")
    walk.fees_of(terms, np.ravel(many).copy(), np.ravel(at).copy(), out.reshape(-1))
    return out


def fee_shares(schedule: FeeSchedule, shares: ArrayLike, price: ArrayLike) -> NDArray[np.float64]:
    """Return how many of the bought `shares` the venue keeps; zero where the schedule takes cash."""
    if schedule.taken_in == "cash":
        return np.zeros(np.broadcast_shapes(np.shape(shares), np.shape(price)))
    return fee_usd(schedule, shares, price) / np.asarray(price, dtype=np.float64)


def terms_of(market: Market, law: LawSettings) -> Terms:
    """Put a market's rules and a law into numbers for compiled code.

    Raises:
        UsageError: the size is not a whole number of the market's lots, or the fee schedule is unknown.
        BadRecording: the market's lot, price tick or fees cannot be meant.
    """
    if not market.lot_shares > 0 or not 0 < market.price_tick < 0.5:
        raise BadRecording(
            f"market {market.market_id}: lot {market.lot_shares} shares and price tick {market.price_tick} USD; "
            "a lot is above 0 and a tick in (0, 0.5). Correct the market's record and import again."
        )
    lots = law.size_shares / market.lot_shares
    if abs(lots - round(lots)) > 1e-6 or round(lots) < 1:
        raise UsageError(
            f"size {law.size_shares:g} shares is not a whole number of {market.market_id}'s lots of "
            f"{market.lot_shares:g} shares. Choose a multiple of {market.lot_shares:g}."
        )
    schedule = schedule_of(market, law.fees)
    return _terms(schedule, law.size_shares, market.lot_shares, market.price_tick, law.fills)


def _terms(schedule: FeeSchedule, size_shares: float, lot_shares: float, price_tick: float, fills: str) -> Terms:
    if not 0 <= schedule.rate < _HIGHEST_RATE or not 0 < schedule.rounding_usd <= 1 or schedule.exponent < 0:
        raise BadRecording(
            f"fee schedule {schedule.name!r}: rate {schedule.rate}, exponent {schedule.exponent}, rounding "
            f"{schedule.rounding_usd} USD; wanted a rate in [0, {_HIGHEST_RATE}), an exponent of at least 0 and a "
            "rounding in (0, 1] USD. Correct the schedule."
        )
    return Terms(
        kind=_KINDS[schedule.kind],
        rate=float(schedule.rate),
        exponent=float(schedule.exponent),
        steps_per_usd=float(round(1.0 / schedule.rounding_usd)),
        is_round_up=schedule.round_up,
        is_in_shares=schedule.taken_in == "shares_on_buy",
        size_shares=float(size_shares),
        lot_shares=float(lot_shares),
        price_tick=float(price_tick),
        fills=_FILLS[fills],
    )
