"""What all synthetic markets share: settings, the clock, the walk, the book around a mid, the settlement.

Every market has a *fundamental*: the probability of Up given everything that has happened. It is a martingale,
and the window settles by one draw with the last fundamental as the probability of Up. Holding a position
therefore earns nothing on average, and the only profit is the distance between the fundamental and the price of a fill.
Where the quoted mid differs from the fundamental is what each market plants.

Prices are counted in pips (1 pip = 0.0001 USD, the price tick), so they lie exactly on the grid.
Shapes: T ticks, C tick columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from observer.kit.clock import NS_PER_S, parse_iso
from observer.kit.rng import stream
from observer.records import (
    BUY_USD,
    DOWN_ASK,
    DOWN_ASK_DEPTH5,
    DOWN_ASK_SIZE,
    DOWN_BID,
    DOWN_BID_DEPTH5,
    DOWN_BID_SIZE,
    MAX_TRADE_USD,
    N_COLUMNS,
    N_TRADES,
    SELL_USD,
    UP_ASK,
    UP_ASK_DEPTH5,
    UP_ASK_SIZE,
    UP_BID,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
    Market,
    Tape,
)
from observer.venues.fees import BY_NAME

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

PIPS_PER_USD = 10_000
WINDOW_S = 900
FIRST_OPEN_NS = parse_iso("2026-01-05T00:00:00Z")  # a quarter-hour; window i opens i quarter-hours later
WALL_PIPS = (1200, 8800)  # a fundamental that reaches a wall stays there: a stopped martingale is still one
SIZE_NOISE = 0.1  # quoted sizes vary by this fraction to either side, redrawn each tick
LEAN = 0.6  # how far a planted sign tilts the sizes; twice what noise can tilt them


def _on_the_grid(price: float) -> float:
    if abs(price * PIPS_PER_USD - round(price * PIPS_PER_USD)) > 1e-6:
        raise ValueError(f"{price} is not a multiple of the price tick 0.0001; round it to 4 decimals")
    return price


def _known_fees(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(f"no fee schedule is called {name!r}; known: {', '.join(BY_NAME)}")
    return name


GridPrice = Annotated[float, AfterValidator(_on_the_grid)]


class SyntheticSettings(BaseModel):
    """What every synthetic market lets you set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    windows: int = Field(default=200, ge=1, description="market windows to make, one per quarter-hour")
    ticks_per_window: int = Field(default=1800, ge=2, description="ticks in each window")
    tick_s: float = Field(default=0.5, gt=0, description="seconds between ticks")
    seed: int = Field(
        default=0, ge=0, description="same seed, same windows; window i does not depend on how many there are"
    )
    half_spread: GridPrice = Field(default=0.01, gt=0, le=0.03, description="mid to best bid or ask, USD per share")
    fees: Annotated[str, AfterValidator(_known_fees)] = Field(
        default="free", description="name of the taker fee schedule"
    )
    depth: float = Field(
        default=500.0, gt=0, description="shares at the touch in an even book; tilted sides hold 36 % or more"
    )

    @model_validator(mode="after")
    def _fits_its_window(self) -> "SyntheticSettings":
        if self.ticks_per_window * self.tick_s > WINDOW_S:
            raise ValueError(
                f"{self.ticks_per_window} ticks of {self.tick_s} s do not fit into a window of {WINDOW_S} s; "
                f"lower ticks_per_window to {int(WINDOW_S / self.tick_s)} or less"
            )
        return self


@dataclass(frozen=True)
class SyntheticMarket:
    """One member of the family.

    Attributes:
        name: its name in `SYNTHETIC`.
        about: one line for the help.
        settings: its settings class.
        window: makes window `index` from its own random stream: the tape and what a share of Up pays, 1 or 0.
    """

    name: str
    about: str
    settings: type[SyntheticSettings]
    window: Callable[[Any, int, np.random.Generator], tuple[Tape, float]]

    def generate(self, settings: SyntheticSettings) -> Iterator[tuple[Tape, float]]:
        """Yield (tape, payoff_up) window by window, in time order, with one window in memory."""
        for index in range(settings.windows):
            yield self.window(settings, index, stream(settings.seed, "synthetic", self.name, index))


def pips(price_usd: float) -> int:
    """A price on the grid as a whole number of pips."""
    return round(price_usd * PIPS_PER_USD)


def make_market(kind: str, settings: SyntheticSettings, index: int, *, strike: float | None = None) -> Market:
    """The market of window `index`; it closes one tick after its last tick."""
    tick_ns = round(settings.tick_s * NS_PER_S)
    open_ns = FIRST_OPEN_NS + index * WINDOW_S * NS_PER_S
    series = f"{kind}-updown-15m"
    return Market(
        market_id=f"{series}-{open_ns // NS_PER_S}", venue="synthetic", series=series, symbol=kind.upper(),
        open_ns=open_ns, close_ns=open_ns + settings.ticks_per_window * tick_ns, tick_ns=tick_ns,
        price_tick=1 / PIPS_PER_USD, lot_shares=0.01, fees=BY_NAME[settings.fees],
        settlement_rule="one draw; P(Up) is the fundamental at the last tick", strike=strike, source="mlx-rl synthetic",
    )  # fmt: skip


def make_tape(market: Market, rows: F64) -> Tape:
    """Put the rows on the market's clock, the first tick at the open."""
    recv_ns = market.open_ns + np.arange(len(rows), dtype=np.int64) * market.tick_ns
    return Tape(market, recv_ns, rows)


def signs(rng: np.random.Generator, n: int, chance: float) -> I64:
    """(n,) independent draws: +1 and -1 with probability chance/2 each, else 0."""
    u = rng.random(n)
    return (u < chance / 2).astype(np.int64) - (u >= 1 - chance / 2).astype(np.int64)


def start_pips(rng: np.random.Generator, low: float, high: float) -> int:
    """Where a fundamental begins, on the grid, evenly between two prices."""
    return int(rng.integers(pips(low), pips(high) + 1))


def stopped_walk(start: int, steps: I64) -> tuple[I64, NDArray[np.bool_]]:
    """Walk from `start`, and stand still from the tick at which a wall is reached.

    Args:
        start: pips before the first step.
        steps: (T,) pips; step t happens at tick t.

    Returns:
        (T,) pips and (T,) bool, True where the step was taken.
    """
    path = start + np.cumsum(steps)
    outside = (path <= WALL_PIPS[0]) | (path >= WALL_PIPS[1])
    is_taken = np.ones(len(steps), dtype=bool)
    if outside.any():
        hit = int(np.argmax(outside))
        path[hit:] = path[hit]
        is_taken[hit + 1 :] = False
    return path, is_taken


def settle(rng: np.random.Generator, last_pips: int) -> float:
    """What a share of Up pays: 1.0 with the last fundamental as probability, else 0.0."""
    return float(rng.random() < last_pips / PIPS_PER_USD)


def noise_tilt(rng: np.random.Generator, n: int) -> F64:
    """(n,) a tilt of the book that means nothing."""
    return rng.uniform(-LEAN / 2, LEAN / 2, n)


def quote(mid: I64, half_spread: int, touch_tilt: F64, deep_tilt: F64, depth: float, rng: np.random.Generator) -> F64:
    """Build the ticks around a mid: both tokens' books, mirrored, and a flow of small trades that means nothing.

    Args:
        mid: (T,) mid of Up, pips.
        half_spread: mid to either best price, pips.
        touch_tilt: (T,) in (-1, 1); how the size at the best prices leans towards the bid of Up.
        deep_tilt: (T,) in (-1, 1); the same for levels two to five.
        depth: shares at the best price of an even book; levels two to five hold four times as many.
        rng: for the noise of sizes and trades.

    Returns:
        (T, C) rows without a reference.
    """
    n = len(mid)
    rows = np.full((n, N_COLUMNS), np.nan)
    bid, ask = mid - half_spread, mid + half_spread
    rows[:, UP_BID], rows[:, UP_ASK] = bid / PIPS_PER_USD, ask / PIPS_PER_USD
    rows[:, DOWN_BID], rows[:, DOWN_ASK] = (PIPS_PER_USD - ask) / PIPS_PER_USD, (PIPS_PER_USD - bid) / PIPS_PER_USD
    noise = rng.uniform(1 - SIZE_NOISE, 1 + SIZE_NOISE, (4, n))
    bid_size = np.round(depth * (1 + touch_tilt) * noise[0], 2)
    ask_size = np.round(depth * (1 - touch_tilt) * noise[1], 2)
    bid_deep = np.round(bid_size + 4 * depth * (1 + deep_tilt) * noise[2], 2)
    ask_deep = np.round(ask_size + 4 * depth * (1 - deep_tilt) * noise[3], 2)
    # A bid for Up is an offer of Down, so the Down book is the Up book seen from behind.
    rows[:, UP_BID_SIZE] = rows[:, DOWN_ASK_SIZE] = bid_size
    rows[:, UP_ASK_SIZE] = rows[:, DOWN_BID_SIZE] = ask_size
    rows[:, UP_BID_DEPTH5] = rows[:, DOWN_ASK_DEPTH5] = bid_deep
    rows[:, UP_ASK_DEPTH5] = rows[:, DOWN_BID_DEPTH5] = ask_deep
    counts = rng.poisson(0.2, (2, n))
    sizes = np.round(np.minimum(rng.exponential(25.0, (2, n)), 100.0) + 1.0, 2) * (counts > 0)
    rows[:, BUY_USD], rows[:, SELL_USD] = counts[0] * sizes[0], counts[1] * sizes[1]
    rows[:, N_TRADES] = counts.sum(axis=0)
    rows[:, MAX_TRADE_USD] = sizes.max(axis=0)
    return rows


def tilt_of(rows: F64, bid_column: int, ask_column: int) -> F64:
    """(T,) how sizes lean to the bid of Up: (bid − ask) / (bid + ask)."""
    bid, ask = rows[:, bid_column], rows[:, ask_column]
    return (bid - ask) / (bid + ask)
