"""Recorded quarter-hour markets as tapes, straight from their files, for tests of the feature kernel.

Trades are those of one wallet, counted as if it always took: buying Up is flow for Up, buying Down against it.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from observer.kit.clock import NS_PER_S
from observer.records import BUY_USD, MAX_TRADE_USD, N_COLUMNS, N_TRADES, SELL_USD, TICK_COLUMNS, Market, Tape
from observer.venues.fees import FREE


def recorded_tapes(folder: Path) -> list[Tape]:
    """All windows of a `polymarket_btc15m_…` folder, in time order."""
    ticks = pq.read_table(folder / "ticks.parquet").to_pandas().sort_values(["market_start", "ts"])
    trades_file = folder / "wallet_trades.parquet"
    trades = pq.read_table(trades_file).to_pandas().sort_values("ts") if trades_file.exists() else None
    by_market = {} if trades is None else dict(list(trades.groupby("market_start")))
    return [_tape(start, part, by_market.get(start)) for start, part in ticks.groupby("market_start")]


def _tape(start, ticks, trades) -> Tape:
    open_ns = int(start.value)
    recv_ns = ticks["ts"].to_numpy("datetime64[ns]").astype(np.int64)
    keep = (recv_ns >= open_ns) & (recv_ns <= open_ns + 900 * NS_PER_S)
    recv_ns, ticks = recv_ns[keep], ticks[keep]
    rows = np.full((len(recv_ns), N_COLUMNS), np.nan)
    for column, name in enumerate(TICK_COLUMNS):
        if name in ticks:
            rows[:, column] = ticks[name].to_numpy(float)
    if trades is not None:
        rows[:, BUY_USD : MAX_TRADE_USD + 1] = 0.0
        at = np.searchsorted(recv_ns, trades["ts"].to_numpy("datetime64[ns]").astype(np.int64))
        usd = (trades["price"] * trades["size"]).to_numpy(float)
        side = np.where(trades["outcome"] == "Up", BUY_USD, SELL_USD)
        known = at < len(recv_ns)
        np.add.at(rows, (at[known], side[known]), usd[known])
        np.add.at(rows, (at[known], N_TRADES), 1.0)
        np.maximum.at(rows, (at[known], MAX_TRADE_USD), usd[known])
    market = Market(
        market_id=f"btc-updown-15m-{open_ns // NS_PER_S}", venue="polymarket", series="btc-updown-15m", symbol="BTC",
        open_ns=open_ns, close_ns=open_ns + 900 * NS_PER_S, tick_ns=NS_PER_S, price_tick=0.01, lot_shares=0.01,
        fees=FREE, settlement_rule="recorded",
    )  # fmt: skip
    return Tape(market, recv_ns, rows)
