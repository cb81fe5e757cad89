"""Made-up tapes for tests: lawful, irregular, with holes; drawn from a seed."""

import numpy as np

from observer.kit.clock import NS_PER_S
from observer.records import (
    BOOK_LEVELS,
    DOWN_ASK,
    DOWN_BID,
    N_COLUMNS,
    UP_ASK,
    UP_BID,
    FeeSchedule,
    Ladder,
    Market,
    Tape,
)
from observer.venues.fees import FREE

OPEN_NS = 1_767_013_200 * NS_PER_S  # 2025-12-29T13:00:00Z, a multiple of 900 s


def make_market(index: int = 0, *, fees: FeeSchedule = FREE, tick_s: float = 0.5) -> Market:
    """The `index`-th quarter-hour window of a made-up BTC series."""
    start = OPEN_NS + index * 900 * NS_PER_S
    return Market(
        market_id=f"btc-updown-15m-{start // NS_PER_S}", venue="test", series="btc-updown-15m", symbol="BTC",
        open_ns=start, close_ns=start + 900 * NS_PER_S, tick_ns=int(tick_s * NS_PER_S), price_tick=0.01,
        lot_shares=0.01, fees=fees, settlement_rule="test",
    )  # fmt: skip


def make_tape(
    seed: int = 0,
    n_ticks: int = 200,
    *,
    index: int = 0,
    fees: FeeSchedule = FREE,
    missing_frac: float = 0.05,
    ladder: bool = False,
    reference: bool = True,
) -> Tape:
    """A random walk on a cent grid with a one to three cent spread, missing quotes and uneven gaps."""
    rng = np.random.default_rng([seed, index])
    market = make_market(index, fees=fees)
    steps = rng.integers(1, 4, size=n_ticks) * (market.tick_ns // 2)
    recv_ns = market.open_ns + np.cumsum(steps)
    keep = recv_ns <= market.close_ns
    recv_ns = recv_ns[keep].astype(np.int64)
    n = len(recv_ns)
    mid = np.clip(50 + np.cumsum(rng.integers(-2, 3, size=n)), 5, 95)
    half = rng.integers(1, 3, size=n)
    rows = np.full((n, N_COLUMNS), np.nan)
    rows[:, UP_BID], rows[:, UP_ASK] = (mid - half) / 100, (mid + half) / 100
    rows[:, DOWN_BID], rows[:, DOWN_ASK] = (100 - mid - half) / 100, (100 - mid + half) / 100
    rows[:, 4:8] = np.round(rng.uniform(5, 200, size=(n, 4)), 2)
    rows[:, 8:12] = rows[:, 4:8] + np.round(rng.uniform(50, 1000, size=(n, 4)), 2)
    traded = rng.poisson(0.5, size=n).astype(float)
    rows[:, 12:14] = rng.exponential(30, size=(n, 2)) * (traded > 0)[:, None]
    rows[:, 14], rows[:, 15] = traded, rows[:, 12:14].max(axis=1)
    if reference:
        rows[:, 16] = 90_000 * np.exp(np.cumsum(rng.normal(0, 1e-5, size=n)))
        rows[:, 17] = rng.uniform(0, 1, size=n)
    for side in range(4):
        gone = rng.random(n) < missing_frac
        rows[gone, side], rows[gone, side + 4], rows[gone, side + 8] = np.nan, np.nan, np.nan
    depth = _ladder(rng, rows) if ladder else None
    return Tape(market, recv_ns, rows, depth)


def _ladder(rng: np.random.Generator, rows: np.ndarray) -> Ladder:
    n = len(rows)
    price = np.full((n, 4, BOOK_LEVELS), np.nan)
    size = np.full((n, 4, BOOK_LEVELS), np.nan)
    for side in range(4):
        step = -0.01 if side % 2 == 0 else 0.01
        levels = np.round(rows[:, side, None] + step * np.arange(BOOK_LEVELS), 2)
        real = (levels > 0.001) & (levels < 0.999)
        price[:, side] = np.where(real, levels, np.nan)
        size[:, side] = np.where(real, np.round(rng.uniform(1, 60, size=(n, BOOK_LEVELS)), 2), np.nan)
        size[:, side, 0] = np.where(real[:, 0], rows[:, side + 4], np.nan)
    return Ladder(price, size)
