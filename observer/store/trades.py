"""Trades of one market, and the four flow columns that a tick row carries of them.

N trades, T ticks. A trade belongs to the first tick at or after its `recv_ns`, so no row knows a trade
that had not arrived.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.records import BUY, BUY_USD, MAX_TRADE_USD, UP, Tape

TOKENS = ("", "up", "down")  # by the codes FLAT (an underlying has no tokens), UP, DOWN
TAKER_SIDES = ("", "buy", "sell")  # by the codes BUY, SELL


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades in the order they arrived.

    Attributes:
        recv_ns: (N,) int64, never decreasing.
        venue_ns: (N,) int64, `records.UNKNOWN_NS` where the source has none.
        token: (N,) int8, records.UP or records.DOWN; 0 for an underlying.
        side: (N,) int8, records.BUY or records.SELL: what the taker did with that token.
        price: (N,) float64, USD per share of that token.
        size: (N,) float64, shares.
        side_known: False where the source did not record the side and the importer assumed it.
    """

    recv_ns: NDArray[np.int64]
    venue_ns: NDArray[np.int64]
    token: NDArray[np.int8]
    side: NDArray[np.int8]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    side_known: bool = True

    def __len__(self) -> int:
        return len(self.recv_ns)

    def __getitem__(self, pick: slice | NDArray[np.bool_]) -> "Trades":
        """The trades that `pick` selects."""
        return Trades(
            self.recv_ns[pick], self.venue_ns[pick], self.token[pick], self.side[pick], self.price[pick],
            self.size[pick], self.side_known,
        )  # fmt: skip


def flow_columns(recv_ns: NDArray[np.int64], trades: Trades) -> NDArray[np.float64]:
    """Sum the trades since the last tick, for each tick.

    Returns:
        (T, 4) buy_usd, sell_usd, n_trades, max_trade_usd as in `records.TICK_COLUMNS`; zeros where nothing
        traded. Trades after the last tick are in no row.
    """
    n_ticks = len(recv_ns)
    tick = np.searchsorted(recv_ns, trades.recv_ns, side="left")
    seen = tick < n_ticks
    tick = tick[seen]
    usd = (trades.price * trades.size)[seen]
    is_for_up = ((trades.token == UP) == (trades.side == BUY))[seen]
    flow = np.zeros((n_ticks, 4))
    flow[:, 0] = np.bincount(tick, weights=np.where(is_for_up, usd, 0.0), minlength=n_ticks)
    flow[:, 1] = np.bincount(tick, weights=np.where(is_for_up, 0.0, usd), minlength=n_ticks)
    flow[:, 2] = np.bincount(tick, minlength=n_ticks)
    np.maximum.at(flow[:, 3], tick, usd)
    return flow


def with_flow(tape: Tape, trades: Trades) -> Tape:
    """The same tape with its flow columns filled from `trades`."""
    rows = tape.rows.copy()
    rows[:, BUY_USD : MAX_TRADE_USD + 1] = flow_columns(tape.recv_ns, trades)
    return Tape(tape.market, tape.recv_ns, rows, tape.ladder)
