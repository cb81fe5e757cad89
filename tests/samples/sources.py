"""Folders as other recorders left them, made up and small: one maker per import format.

Each maker takes the folder to fill. With `dirty=True` the ticks break every law that is refused row by row, each
a known number of times, listed in `DIRTY`.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.store.refusals import AFTER_CLOSE, BACKWARDS, BAD_PRICE, BEFORE_OPEN, CROSSED, DUPLICATE

OPEN_NS = 1_767_013_200 * NS_PER_S  # 2025-12-29T13:00:00Z
WINDOW_NS = 900 * NS_PER_S
N_TICKS = 60
MS = pa.timestamp("ms", tz="UTC")
NS = pa.timestamp("ns", tz="UTC")
# Rows that `dirty` spoils in the first window, by the reason under which they must be refused.
DIRTY = {BEFORE_OPEN: 1, AFTER_CLOSE: 1, DUPLICATE: 1, BACKWARDS: 1, BAD_PRICE: 1, CROSSED: 3}


def write(path: Path, columns: dict[str, Any]) -> None:
    """Write a Parquet file; an (array, type) pair gives a column its Arrow type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pa.array(*value) if isinstance(value, tuple) else pa.array(value) for name, value in columns.items()
    }
    pq.write_table(pa.table(arrays), path)


def ms(times_ns: Any) -> tuple[np.ndarray, pa.DataType]:
    """Nanoseconds as a millisecond timestamp column."""
    return np.asarray(times_ns) // NS_PER_MS, MS


def quotes(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A random walk of the four best prices on the cent grid, one cent wide, never at the edges."""
    mid = np.clip(50 + np.cumsum(np.random.default_rng(seed).integers(-2, 3, size=n)), 5, 95)
    return {
        "up_bid": mid / 100,
        "up_ask": (mid + 1) / 100,
        "down_bid": (99 - mid) / 100,
        "down_ask": (100 - mid) / 100,
    }


def _windows(n_windows: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Times, window starts and quotes of whole windows, a tick each 15 s."""
    starts = np.repeat(OPEN_NS + np.arange(n_windows) * WINDOW_NS, N_TICKS)
    times = starts + np.tile(np.arange(1, N_TICKS + 1), n_windows) * 5 * NS_PER_S
    return times, starts, quotes(len(times))


def _spoil(times: np.ndarray, price: dict[str, np.ndarray]) -> None:
    """Break the first window's rows as `DIRTY` counts them; good rows stand between the bad ones."""
    times[0] = OPEN_NS - NS_PER_S
    times[59] = OPEN_NS + WINDOW_NS + NS_PER_S
    times[5] = times[4]
    times[8] = times[6]
    price["up_bid"][10] = -0.01
    price["up_bid"][[20, 21]] = price["up_ask"][[20, 21]]
    price["down_bid"][30] = 0.99


def _btc_markets(folder: Path, n_windows: int) -> None:
    starts = OPEN_NS + np.arange(n_windows) * WINDOW_NS
    write(
        folder / "markets.parquet",
        {
            "market_start": ms(starts),
            "market_end": ms(starts + WINDOW_NS),
            "slug": [f"btc-updown-15m-{start // NS_PER_S}" for start in starts],
            "outcome_inferred": ["Up", "Down", None][:n_windows],
        },
    )


def polymarket_btc15m_1s(folder: Path, *, dirty: bool = False) -> Path:
    """Two windows with depth; three fills in the first (Up 10 at 0.50, Down 5 at 0.40, Up 2 at 0.60)."""
    times, starts, price = _windows(2)
    depth = {f"{side}_depth5": np.full(len(times), 100.0) for side in price}
    price["up_ask"][40], depth["up_ask_depth5"][40] = np.nan, 0.0
    if dirty:
        _spoil(times, price)
    write(folder / "ticks.parquet", {"ts": ms(times), "market_start": ms(starts), **price, **depth})
    _btc_markets(folder, 2)
    write(
        folder / "wallet_trades.parquet",
        {
            "ts": ms(OPEN_NS + np.array([17, 20, 21]) * NS_PER_S),
            "market_start": ms(np.full(3, OPEN_NS)),
            "outcome": ["Up", "Down", "Up"],
            "price": [0.5, 0.4, 0.6],
            "size": [10.0, 5.0, 2.0],
        },
    )
    return folder


def polymarket_btc15m_top_1s(folder: Path, *, dirty: bool = False) -> Path:
    """Two windows, top of book; one ask of 1, which means that nobody offers."""
    times, starts, price = _windows(2)
    price["up_ask"][40] = 1.0
    if dirty:
        _spoil(times, price)
    write(folder / "ticks.parquet", {"ts": ms(times), "market_start": ms(starts), **price})
    _btc_markets(folder, 2)
    return folder


def kalshi_crypto15m(folder: Path, *, dirty: bool = False) -> Path:
    """One BTC window by the minute and a tape of two snapshots of an ETH window."""
    ticker = "KXBTC15M-25DEC290815-15"
    times = OPEN_NS + np.arange(1, 16) * 60 * NS_PER_S
    yes = quotes(15)
    yes["up_bid"][13], yes["up_ask"][14] = 0.0, 1.0
    if dirty:
        times[3], yes["up_bid"][7] = times[2], yes["up_ask"][7]
    write(
        folder / "minute_quotes.parquet",
        {"ts": ms(times), "ticker": [ticker] * 15, "yes_bid": yes["up_bid"], "yes_ask": yes["up_ask"]},
    )
    write(
        folder / "markets.parquet",
        {
            "ticker": [ticker],
            "open_ts": ms([OPEN_NS]),
            "close_ts": ms([OPEN_NS + WINDOW_NS]),
            "index_open": [87_000.5],
            "result": ["yes"],
        },
    )
    _kalshi_tape(folder / "tape_2025-12-29")
    return folder


def _kalshi_tape(folder: Path) -> None:
    ticker = "KXETH15M-25DEC290815-15"
    first, second = OPEN_NS + 10 * NS_PER_S, OPEN_NS + 15 * NS_PER_S
    write(
        folder / "book_snapshots.parquet",
        {
            "ts": ms([first] * 4 + [second] * 3),
            "ticker": [ticker] * 7,
            "side": ["yes", "yes", "no", "no", "yes", "yes", "no"],
            "bid_price": [0.40, 0.41, 0.55, 0.54, 0.42, 0.30, 0.56],
            "size": [7.0, 3.0, 20.0, 30.0, 4.0, 6.0, 8.0],
        },
    )
    write(
        folder / "trades.parquet",
        {
            "ts": ms([first + NS_PER_S, first + 2 * NS_PER_S]),
            "ticker": [ticker] * 2,
            "yes_price": [0.45, 0.41],
            "size": [10.0, 3.0],
            "taker_side": ["yes", "no"],
        },
    )


def polymarket_us_quotes_2min(folder: Path, *, dirty: bool = False) -> Path:
    """Two markets over three days, the second not followed on the middle day; one pause of the collector."""
    day_ns = 86_400 * NS_PER_S
    midnight = OPEN_NS // day_ns * day_ns
    hours = np.array([0.5, 9, 13, 23.5])
    spoilt = [0.2, 0.3, 0.4, 0.9 if dirty else 0.2]
    for day in range(3):
        times = midnight + day * day_ns + (hours * 3600 * NS_PER_S).astype(np.int64)
        numbers = [1, 2] if day != 1 else [1]
        write(
            folder / "quotes" / f"2025-12-{29 + day}.parquet",
            {
                "ts": ms(np.tile(times, len(numbers))),
                "market_id": (np.repeat(numbers, 4), pa.int32()),
                "bid": spoilt * len(numbers),
                "ask": [0.25, None, 0.5, 0.6] * len(numbers),
            },
        )
    write(
        folder / "sweeps.parquet",
        {"ts": ms(midnight + np.array([0, 122, 244, 3000]) * NS_PER_S + 12 * 3600 * NS_PER_S)},
    )
    write(
        folder / "markets.parquet",
        {
            "market_id": (np.array([1, 2]), pa.int32()),
            "slug": ["aec-one", "cpi-two"],
            "category": ["sports", "macro"],
            "outcome_api": pa.array([1, None], pa.int8()),
            "first_ts": ms([midnight + 1800 * NS_PER_S] * 2),
            "last_ts": ms([midnight + 2 * day_ns + 84_600 * NS_PER_S] * 2),
        },
    )
    return folder


def binance_l2(folder: Path, *, dirty: bool = False) -> Path:
    """Spot BTC and USD-M ETH, ten tickers each, across an hour's end; spot has no exchange time."""
    for name, price in (("spot_btcusdt", 60_000.0), ("usdm_ethusdt", 2_600.0)):
        times = OPEN_NS - 5 * NS_PER_S + np.arange(10) * NS_PER_S
        bid = price + np.arange(10.0)
        if dirty:
            times[4], bid[7] = times[2], bid[7] + 2
        exchange = {} if name.startswith("spot") else {"ts_exch": ms(times + NS_PER_S)}
        write(
            folder / name / "book_ticker.parquet",
            {"ts_recv_ns": (times, NS), **exchange, "bid": bid, "ask": price + np.arange(10.0) + 1},
        )
        write(
            folder / name / "trades.parquet",
            {
                "ts_recv_ns": (times[:4], NS),
                "ts_exch": ms(times[:4]),
                "price": [price] * 4,
                "size": [1.0, 2.0, 3.0, 0.0 if dirty else 4.0],
                "aggressor": ["buy", "sell", "buy", "sell"],
            },
        )
    return folder


def observation(at_s: float, cid: str, bid: float | None = 0.5, ask: float | None = 0.52) -> dict[str, Any]:
    """One observation of the older observer, `at_s` seconds after the window opened."""
    when = datetime.fromtimestamp(OPEN_NS / NS_PER_S + at_s, UTC).replace(tzinfo=None)
    end = datetime.fromtimestamp((OPEN_NS + WINDOW_NS) / NS_PER_S, UTC)
    return {
        "timestamp": when.isoformat(),
        "cid": cid,
        "market": {"question": "Bitcoin Up or Down", "asset": "BTC", "end_date": end.isoformat()},
        "state": {"prob": 0.51, "best_bid": bid, "best_ask": ask, "binance_price": 87_000.0 + at_s},
    }


def write_observations(path: Path, cid: str, observations: list[dict[str, Any]], count: int | None = None) -> None:
    """One file of the older observer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"cid": cid, "count": len(observations) if count is None else count, "observations": observations}
    path.write_bytes(gzip.compress(json.dumps(body).encode(), mtime=0))


def ancestor_gzjson(folder: Path, *, dirty: bool = False) -> Path:
    """One condition id in two files; `dirty` adds a cut file, one that counts wrong, and three bad observations."""
    cid = "0xabc"
    first = [observation(0.5 * i, cid) for i in range(1, 11)]
    second = [observation(6 + 0.5 * i, cid, bid=0, ask=1) for i in range(4)]
    if dirty:
        second += [observation(8, "0xother"), observation(-5, cid), {**observation(9, cid), "timestamp": "noon"}]
        write_observations(folder / cid / "obs_20251229_140000.json.gz", cid, first, count=99)
        whole = (folder / cid / "obs_20251229_140000.json.gz").read_bytes()
        (folder / cid / "obs_20251229_150000.json.gz").write_bytes(whole[: len(whole) // 2])
    write_observations(folder / cid / "obs_20251229_130000.json.gz", cid, first)
    write_observations(folder / cid / "obs_20251229_130006.json.gz", cid, second)
    return folder


MAKERS = {
    "polymarket_btc15m_1s": polymarket_btc15m_1s,
    "polymarket_btc15m_top_1s": polymarket_btc15m_top_1s,
    "kalshi_crypto15m": kalshi_crypto15m,
    "polymarket_us_quotes_2min": polymarket_us_quotes_2min,
    "binance_l2": binance_l2,
    "ancestor_gzjson": ancestor_gzjson,
}
