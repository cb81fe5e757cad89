"""Every order at every tick: when it executes, what it moves in cash, and where the cost comes from.

Four orders exist (`binary.ORDERS`), so a window's whole money is a (T, 4) table, made once and read by labels,
environments, backtest and oracle. Live prices the same orders tick by tick with `TickPricer`, same bits.

An order decided at tick t executes at the first later tick that is at least `latency_s` away (pessimistic: one
tick later still), at that tick's quotes, whole or not at all. It walks the recorded ladder where there is one.
Where a source had only the touch and the depth over five levels, the known part binds and `fills` says where the
rest lies: all as near as possible (optimistic), evenly (base), all at the fifth level (pessimistic). Where sizes
are unknown it fills at the touch, or one price tick worse (pessimistic).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_rl.market import walk
from mlx_rl.market.binary import CLOSE_DOWN, CLOSE_UP
from mlx_rl.market.costs import terms_of
from mlx_rl.market.law import LawSettings
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.records import BOOK_LEVELS, N_COLUMNS, SIDES, Market, Tape

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TickFills:
    """What each of the four orders would do if it executed at one tick; arrays (4,), as in `Fills`."""

    cash: F64
    fee_usd: F64
    spread_usd: F64
    slippage_usd: F64
    dust_shares: F64


@dataclass(frozen=True, slots=True)
class Fills:
    """What each order would do if it executed at tick t, and when a decision at t executes.

    Attributes:
        cash: (T, 4) net USD flow of OPEN_UP, CLOSE_UP, OPEN_DOWN, CLOSE_DOWN; buys negative, fee included; NaN where
            the order cannot be filled. cash = flow at mid − spread − slippage − fee.
        fee_usd: (T, 4) fee at the price paid, >= 0; this and the parts below are 0 where not fillable.
        spread_usd: (T, 4) from the token's mid to its touch, >= 0; 0 where the other side is missing or crossed.
        slippage_usd: (T, 4) from the touch to the average price, >= 0.
        dust_shares: (T, 4) shares above the size that an open leaves over (lot rounding); they settle.
        execute_at: (T,) int64 tick at which a decision at t executes; T when there is none.
        size_shares: shares per position.
    """

    cash: F64
    fee_usd: F64
    spread_usd: F64
    slippage_usd: F64
    dust_shares: F64
    execute_at: NDArray[np.int64]
    size_shares: float

    def __len__(self) -> int:
        return len(self.execute_at)

    def at(self, tick: int) -> TickFills:
        """Return one tick's row, as views."""
        return TickFills(
            self.cash[tick], self.fee_usd[tick], self.spread_usd[tick], self.slippage_usd[tick], self.dust_shares[tick]
        )


def price_fills(tape: Tape, law: LawSettings) -> Fills:
    """Price every order at every tick of a recorded window.

    Raises:
        BadRecording: a price outside (0, 1), or a market whose rules cannot be meant.
        UsageError: a size that is not a whole number of lots, or an unknown fee schedule.
    """
    ladder = tape.ladder
    price, size = (None, None) if ladder is None else (ladder.price, ladder.size)
    parts = _price(terms_of(tape.market, law), tape.market, tape.rows, price, size)
    return Fills(*parts, execution_ticks(tape.recv_ns, law), law.size_shares)


def execution_ticks(recv_ns: NDArray[np.int64], law: LawSettings) -> NDArray[np.int64]:
    """Return the tick at which a decision at each tick executes, (T,) -> (T,); T where none is left."""
    n = len(recv_ns)
    at = np.arange(1, n + 1, dtype=np.int64)
    if law.latency_s is not None:
        at = np.maximum(at, np.searchsorted(recv_ns, recv_ns + latency_ns(law), side="left"))
    return np.minimum(at + (law.fills == "pessimistic"), n)


def latency_ns(law: LawSettings) -> int:
    """Return the law's latency in nanoseconds; 0 where it is "the next tick"."""
    return 0 if law.latency_s is None else round(law.latency_s * NS_PER_S)


def liquidation_usd(fills: Fills) -> F64:
    """Return what closing Up and Down would have brought at the last tick where it could be filled, (T, 2).

    0 before the first such tick: a position without a bid is worth nothing that we know of.
    """
    closing = fills.cash[:, [CLOSE_UP, CLOSE_DOWN]]
    seen = np.where(np.isnan(closing), -1, np.arange(len(closing))[:, None])
    last = np.maximum.accumulate(seen, axis=0)
    return np.where(last >= 0, np.take_along_axis(closing, np.maximum(last, 0), axis=0), 0.0)


class TickPricer:
    """Prices the four orders of one market tick by tick, with the same bits as `price_fills`."""

    def __init__(self, market: Market, law: LawSettings) -> None:
        self.market, self.law = market, law
        self._terms = terms_of(market, law)

    def price(self, row: F64, ladder_price: F64 | None = None, ladder_size: F64 | None = None) -> TickFills:
        """Price the orders at one tick: row (C,), ladder (S, K) prices and sizes where recorded."""
        price = None if ladder_price is None else ladder_price[None]
        size = None if ladder_size is None else ladder_size[None]
        parts = _price(self._terms, self.market, row[None], price, size)
        return TickFills(*(part[0] for part in parts))


def _price(
    terms: walk.Terms, market: Market, rows: F64, ladder_price: F64 | None, ladder_size: F64 | None
) -> tuple[F64, F64, F64, F64, F64]:
    if rows.ndim != 2 or rows.shape[1] != N_COLUMNS:
        raise BadRecording(f"market {market.market_id}: rows of shape {rows.shape}; wanted (T, {N_COLUMNS}).")
    if ladder_price is None or ladder_size is None:
        ladder_price = ladder_size = np.empty((0, len(SIDES), BOOK_LEVELS))
    _refuse_bad_prices(market, rows[:, : len(SIDES)])
    _refuse_bad_prices(market, ladder_price)
    parts = np.empty((5, len(rows), 4))
    walk.price_rows(terms, _plain(rows), _plain(ladder_price), _plain(ladder_size), *parts)
    return parts[0], parts[1], parts[2], parts[3], parts[4]


def _plain(values: F64) -> F64:
    return np.ascontiguousarray(values, dtype=np.float64)


def _refuse_bad_prices(market: Market, prices: F64) -> None:
    is_bad = (prices <= 0) | (prices >= 1)
    if is_bad.any():
        where = np.argwhere(is_bad)[0]
        raise BadRecording(
            f"market {market.market_id}, tick {where[0]}, {SIDES[where[1]]}: price {prices[tuple(where)]}; a price is "
            "in (0, 1) USD and a missing one is NaN. Verify the recording or import it again."
        )
