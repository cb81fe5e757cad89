"""Polymarket BTC quarter-hour markets, logged once a second by a bot: top of book only, no sizes, no trades.

Files: `ticks.parquet`, `markets.parquet`. An ask of 1 is how the bot wrote that nobody offers, and becomes a
missing quote. Outcomes are inferred from the last quote of the window.
"""

from pathlib import Path

import numpy as np

from observer.importers.polymarket_up_down import QUOTES, read_markets, windows
from observer.importers.source import bring_window, need, read_columns
from observer.store.refusals import ImportReport
from observer.store.screen import empty_rows
from observer.store.writer import RecordingWriter

SOURCE = "thevalerka/PolyMarket_15MIN_Bot_Collection"


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring the folder's windows and inferred outcomes into `writer`."""
    need(source, "ticks.parquet", "markets.parquet")
    ticks = read_columns(source / "ticks.parquet", ("ts", "market_start", *QUOTES))
    for market, payoff_up, pick in windows(ticks, read_markets(source / "markets.parquet", SOURCE), report):
        rows = empty_rows(len(pick))
        for side, column in QUOTES.items():
            price = ticks[side][pick]
            rows[:, column] = np.where(price == 1, np.nan, price) if side.endswith("ask") else price
        if bring_window(writer, report, market, ticks["ts"][pick], rows) and payoff_up is not None:
            writer.write_outcome(market.market_id, payoff_up, "inferred", f"{SOURCE}: last quote of the window")
