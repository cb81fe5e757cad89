"""Binance order-book recordings as a reference feed: the mid of the best quotes, and the trades.

Files: `book_ticker.parquet` and `trades.parquet` in folders named like `spot_btcusdt`, `usdm_ethusdt` or
`cm_btcusd_perp` (anything may stand before); `--from` may also point at one such folder. Depth is not imported.

* `ts_recv_ns` is the recorder's clock. In the known recording it runs about 1.26 s behind the exchange's, so
  `venue_ns` is later than `recv_ns`; both are kept as they are.
* Spot tickers carry no exchange time. COIN-M sizes are contracts, not coins.
"""

import re
from pathlib import Path

import numpy as np

from observer.importers.source import has_column, lawful_trades, read_columns
from observer.kit.errors import UsageError
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.store.refusals import BACKWARDS, BAD_PRICE, CROSSED, ImportReport
from observer.store.trades import Trades
from observer.store.writer import RecordingWriter

_FOLDER = re.compile(r"(?P<kind>spot|usdm|cm)_(?P<coin>[a-z0-9]+?)usdt?(_perp)?(_\d+s)?$")


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring every instrument's mid price and trades into `writer`."""
    folders = [folder for folder in (source, *sorted(source.glob("*/"))) if (folder / "book_ticker.parquet").exists()]
    if not folders:
        raise UsageError(
            f"{source} holds no folder with book_ticker.parquet. Pass --from the folder above spot_btcusdt."
        )
    for folder in folders:
        found = _FOLDER.search(folder.name)
        if found is None:
            raise UsageError(f"{folder.name}: cannot tell the instrument. Name the folder like spot_btcusdt.")
        feed = f"binance-{found['kind']}"
        _import_mid(folder / "book_ticker.parquet", found["coin"].upper(), feed, writer, report)
        if (folder / "trades.parquet").exists():
            _import_trades(folder / "trades.parquet", f"{feed}:{folder.name[found.start() :]}", feed, writer, report)


def _import_mid(path: Path, symbol: str, feed: str, writer: RecordingWriter, report: ImportReport) -> None:
    has_venue_time = has_column(path, "ts_exch")
    table = read_columns(path, ("ts_recv_ns", "bid", "ask", *(("ts_exch",) if has_venue_time else ())))
    recv_ns, bid, ask = table["ts_recv_ns"], table["bid"], table["ask"]
    where = f"{feed}:{symbol}"
    report.seen["reference"] += len(recv_ns)
    lawful = np.ones(len(recv_ns), bool)
    for reason, is_broken in (
        (BACKWARDS, recv_ns < np.maximum.accumulate(recv_ns)),
        (BAD_PRICE, ~(np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (ask > 0))),
        (CROSSED, bid >= ask),
    ):
        report.refuse("reference", reason, where, int(np.sum(lawful & is_broken)))
        lawful &= ~is_broken
    report.kept["reference"] += int(lawful.sum())
    if lawful.any():
        venue_ns = table["ts_exch"][lawful] if has_venue_time else None
        writer.write_reference(symbol, feed, recv_ns[lawful], venue_ns, ((bid + ask) / 2)[lawful])


def _import_trades(path: Path, instrument: str, feed: str, writer: RecordingWriter, report: ImportReport) -> None:
    has_venue_time = has_column(path, "ts_exch")
    names = ("ts_recv_ns", "price", "size", "aggressor", *(("ts_exch",) if has_venue_time else ()))
    table = read_columns(path, names)
    recv_ns = table["ts_recv_ns"]
    n = len(recv_ns)
    report.seen["trade"] += n
    trades = Trades(
        recv_ns,
        table["ts_exch"] if has_venue_time else np.full(n, UNKNOWN_NS),
        np.zeros(n, np.int8),
        np.where(table["aggressor"] == "buy", BUY, SELL).astype(np.int8),
        table["price"],
        table["size"],
    )
    trades = lawful_trades(trades, report, instrument)
    report.kept["trade"] += len(trades)
    writer.write_trades(instrument, feed, trades)
