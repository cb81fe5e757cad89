"""Polymarket BTC quarter-hour markets, polled about once a second, with depth and one wallet's fills.

Files: `ticks.parquet`, `markets.parquet`, and `wallet_trades.parquet` where there is one.

* The recorder summed the best five levels of a side; the size at the touch is not known and stays NaN.
* The fills are of one very active wallet, stamped with block time, some seconds after the match; that time is
  taken as the time they arrived. The taker's side was not recorded and is assumed to be a buy of the token
  named (`side_known` is False). Days on which the wallet was not recorded have no flow (NaN), not zero flow.
* Outcomes are inferred from the last quote of the window; none is the venue's official word.
"""

from pathlib import Path

import numpy as np

from observer.importers.polymarket_up_down import QUOTES, read_markets, windows
from observer.importers.source import Columns, bring_window, groups, inside, lawful_trades, need, read_columns
from observer.kit.clock import NS_PER_S
from observer.records import BUY, DOWN, UNKNOWN_NS, UP, UP_BID_DEPTH5
from observer.store.refusals import NO_WINDOW, ImportReport
from observer.store.screen import empty_rows
from observer.store.trades import Trades
from observer.store.writer import RecordingWriter

SOURCE = "Borisz42/PolymarketAnalyst"
_DEPTHS = tuple(f"{side}_depth5" for side in QUOTES)
_DAY_NS = 86_400 * NS_PER_S


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring the folder's windows, fills and inferred outcomes into `writer`."""
    need(source, "ticks.parquet", "markets.parquet")
    ticks = read_columns(source / "ticks.parquet", ("ts", "market_start", *QUOTES, *_DEPTHS))
    fills = source / "wallet_trades.parquet"
    trades = _read_trades(fills, report) if fills.exists() else {}
    days = {start_ns // _DAY_NS for start_ns in trades}
    for market, payoff_up, rows in windows(ticks, read_markets(source / "markets.parquet", SOURCE), report):
        of_window = trades.pop(market.open_ns, None)
        if of_window is not None:
            of_window = inside(market, of_window, report)
        elif market.open_ns // _DAY_NS in days:
            of_window = _no_trades()
        if bring_window(writer, report, market, ticks["ts"][rows], _rows(ticks, rows), trades=of_window) and (
            payoff_up is not None
        ):
            writer.write_outcome(market.market_id, payoff_up, "inferred", f"{SOURCE}: last quote of the window")
    for start_ns, left in trades.items():
        report.refuse("trade", NO_WINDOW, f"window of {start_ns // NS_PER_S}", len(left))


def _rows(ticks: Columns, pick: np.ndarray) -> np.ndarray:
    rows = empty_rows(len(pick))
    for side, column in QUOTES.items():
        rows[:, column] = ticks[side][pick]
        rows[:, UP_BID_DEPTH5 + column] = ticks[f"{side}_depth5"][pick]
    return rows


def _read_trades(path: Path, report: ImportReport) -> dict[int, Trades]:
    """Opening time -> the wallet's fills in that window, in the order of the file."""
    table = read_columns(path, ("ts", "market_start", "outcome", "price", "size"))
    report.seen["trade"] += len(table["ts"])
    found: dict[int, Trades] = {}
    for start_ns, pick in groups(table["market_start"]):
        n = len(pick)
        token = np.where(table["outcome"][pick] == "Up", UP, DOWN).astype(np.int8)
        trades = Trades(
            table["ts"][pick], np.full(n, UNKNOWN_NS), token, np.full(n, BUY, np.int8), table["price"][pick],
            table["size"][pick], side_known=False,
        )  # fmt: skip
        found[int(start_ns)] = lawful_trades(trades, report, f"window of {int(start_ns) // NS_PER_S}")
    return found


def _no_trades() -> Trades:
    none, nothing = np.empty(0, np.int64), np.empty(0)
    return Trades(none, none, np.empty(0, np.int8), np.empty(0, np.int8), nothing, nothing, side_known=False)
