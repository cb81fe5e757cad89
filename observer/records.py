"""The words every package shares: a market, its ticks, its trades, and the shape they have in memory.

A *tape* is one market window as it was recorded: a clock and a matrix of ticks, oldest first. It holds
nothing about how the market ended; outcomes live apart (`observer.store.outcomes`).

Prices are USD per share in (0, 1); sizes are shares; a missing number is NaN, never zero.
Shapes: T ticks, C tick columns, S the four book sides, K recorded levels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Columns of one tick, in order. Everything in a row was known at the tick's `recv_ns`.
TICK_COLUMNS: tuple[str, ...] = (
    "up_bid", "up_ask", "down_bid", "down_ask",  # best prices
    "up_bid_size", "up_ask_size", "down_bid_size", "down_ask_size",  # shares at the best price
    "up_bid_depth5", "up_ask_depth5", "down_bid_depth5", "down_ask_depth5",  # shares over the best five levels
    "buy_usd", "sell_usd",  # USD that takers traded for Up (buy Up, sell Down) / against it, since the last tick
    "n_trades", "max_trade_usd",  # trades since the last tick, and the largest of them
    "reference", "reference_age_s",  # latest price of the underlying and how old it is
)  # fmt: skip
N_COLUMNS = len(TICK_COLUMNS)

(
    UP_BID, UP_ASK, DOWN_BID, DOWN_ASK,
    UP_BID_SIZE, UP_ASK_SIZE, DOWN_BID_SIZE, DOWN_ASK_SIZE,
    UP_BID_DEPTH5, UP_ASK_DEPTH5, DOWN_BID_DEPTH5, DOWN_ASK_DEPTH5,
    BUY_USD, SELL_USD, N_TRADES, MAX_TRADE_USD,
    REFERENCE, REFERENCE_AGE_S,
) = range(N_COLUMNS)  # fmt: skip

# The four sides of a binary market's book; side s has price column s, size column s + 4, depth column s + 8.
SIDES: tuple[str, ...] = ("up_bid", "up_ask", "down_bid", "down_ask")

BOOK_LEVELS = 10

# A venue time that is not known, in memory; null on disk.
UNKNOWN_NS = -(2**63)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """How a venue charges a taker, and from when to when.

    `fee = shares × rate × price_weight`, where price_weight is `(p(1−p))^exponent` for kind "quadratic",
    `p·(p(1−p))^exponent` for kind "weighted" (Polymarket's first crypto schedule) and `p` for kind "notional".
    """

    name: str
    kind: Literal["none", "quadratic", "weighted", "notional"]
    rate: float
    exponent: float = 1.0
    rounding_usd: float = 1e-5  # the grid the venue rounds a fee to
    round_up: bool = False  # True: always up (Kalshi); False: to nearest, half up (Polymarket)
    taken_in: Literal["shares_on_buy", "cash"] = "shares_on_buy"
    from_ns: int = 0
    to_ns: int = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Market:
    """One binary market window: what is traded, when, and by which dated rules."""

    market_id: str  # unique within a recording; for rolling markets the venue's slug or ticker
    venue: str
    series: str  # the rolling family, e.g. "btc-updown-15m"; splits and features run per series
    symbol: str  # the underlying, e.g. "BTC"
    open_ns: int
    close_ns: int
    tick_ns: int  # nominal spacing of the recorded ticks
    price_tick: float  # smallest price step, USD
    lot_shares: float  # smallest size step, shares
    fees: FeeSchedule
    settlement_rule: str
    strike: float | None = None  # USD of the underlying, where the venue states it
    source: str = ""  # who recorded it


@dataclass(frozen=True, slots=True)
class Ladder:
    """Recorded depth at each tick: (T, S, K) prices from the best outwards and their sizes, NaN past the end."""

    price: NDArray[np.float64]
    size: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tape:
    """One market window as recorded.

    Attributes:
        market: which window.
        recv_ns: (T,) int64, our clock at each tick, strictly increasing, inside [open_ns, close_ns].
        rows: (T, C) float64, C-contiguous, columns as `TICK_COLUMNS`.
        ladder: recorded depth, or None where the source had only the touch.
    """

    market: Market
    recv_ns: NDArray[np.int64]
    rows: NDArray[np.float64]
    ladder: Ladder | None = None

    def __len__(self) -> int:
        return len(self.recv_ns)

    def until(self, now_ns: int) -> "Tape":
        """Return the part that was known at `now_ns` (ticks with recv_ns <= now_ns), as views."""
        n = int(np.searchsorted(self.recv_ns, now_ns, side="right"))
        ladder = None if self.ladder is None else Ladder(self.ladder.price[:n], self.ladder.size[:n])
        return Tape(self.market, self.recv_ns[:n], self.rows[:n], ladder)


def mid_up(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Market probability of Up at each tick, (T,): the mid of the Up token, NaN where a side is missing."""
    return (rows[:, UP_BID] + rows[:, UP_ASK]) / 2


# Positions and actions (docs/concepts/money-law.md), shared by every package that decides.
FLAT, UP, DOWN = 0, 1, 2
POSITIONS: tuple[str, ...] = ("flat", "up", "down")
HOLD, BUY, SELL = 0, 1, 2
ACTIONS: tuple[str, ...] = ("HOLD", "BUY", "SELL")
