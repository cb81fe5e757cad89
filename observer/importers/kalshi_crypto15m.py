"""Kalshi's quarter-hour crypto markets: minute quotes with official outcomes, and a short full-depth tape.

Files: `markets.parquet` with `minute_quotes.parquet`; and, in folders named `tape_*`, `book_snapshots.parquet`
with `trades.parquet`.

* Up is yes. Yes and no share one book of bids, so the no side mirrors the yes side exactly.
* A bid of 0 and an ask of 1 are how a candle writes an empty side; they become missing quotes.
* The index at the open is the strike. The fee schedule is the one in force when the window opened.
* The minute quotes are not a random sample of windows (closes at :00 and :30 in busy hours): no edge may be
  claimed from them.
* The tape's trades carry the venue's time only, which is taken as the time they arrived.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from observer.importers.source import bring_window, groups, inside, lawful_trades, need, read_columns
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import BOOK_LEVELS, BUY, DOWN, SIDES, UP, UP_ASK, UP_BID, Ladder, Market
from observer.store.refusals import NO_MARKET, NO_WINDOW, ImportReport
from observer.store.screen import empty_rows, mirror_down
from observer.store.trades import Trades
from observer.store.writer import RecordingWriter
from observer.venues.fees import schedule_on

SOURCE = "UnityeFUCD/m15-crypto15m-research"
_WINDOW_NS = 900 * NS_PER_S
_MINUTE_NS = 60 * NS_PER_S
_SNAPSHOT_NS = 5 * NS_PER_S
_PAYOFF_UP = {"yes": 1.0, "no": 0.0}


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring the folder's minute quotes, its tapes, or both, into `writer`."""
    tapes = sorted(folder for folder in source.glob("tape_*") if folder.is_dir())
    if (source / "book_snapshots.parquet").exists():
        tapes = [source]
    has_minutes = (source / "minute_quotes.parquet").exists()
    if not has_minutes and not tapes:
        raise UsageError(
            f"{source} holds neither minute_quotes.parquet nor a tape_* folder. Pass --from such a folder."
        )
    if has_minutes:
        need(source, "minute_quotes.parquet", "markets.parquet")
        _import_minutes(source, writer, report)
    for folder in tapes:
        need(folder, "book_snapshots.parquet", "trades.parquet")
        _import_tape(folder, writer, report)


def _import_minutes(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    columns = ("ticker", "open_ts", "close_ts", "index_open", "result")
    table = read_columns(source / "markets.parquet", columns)
    known = {
        ticker: (_market(ticker, int(open_ns), int(close_ns), _MINUTE_NS, float(strike)), _PAYOFF_UP.get(result))
        for ticker, open_ns, close_ns, strike, result in zip(*(table[name] for name in columns), strict=True)
    }
    quotes = read_columns(source / "minute_quotes.parquet", ("ts", "ticker", "yes_bid", "yes_ask"))
    windows: list[tuple[Market, float | None, NDArray[np.int64]]] = []
    for ticker, pick in groups(quotes["ticker"]):
        if ticker in known:
            windows.append((*known[ticker], pick))
        else:
            report.seen["tick"] += len(pick)
            report.refuse("tick", NO_MARKET, str(ticker), len(pick))
    for market, payoff_up, pick in sorted(windows, key=lambda window: (window[0].open_ns, window[0].series)):
        rows = empty_rows(len(pick))
        bid, ask = quotes["yes_bid"][pick], quotes["yes_ask"][pick]
        rows[:, UP_BID], rows[:, UP_ASK] = np.where(bid == 0, np.nan, bid), np.where(ask == 1, np.nan, ask)
        mirror_down(rows)
        if bring_window(writer, report, market, quotes["ts"][pick], rows) and payoff_up is not None:
            writer.write_outcome(market.market_id, payoff_up, "official", f"{SOURCE}: result of the venue")


def _import_tape(folder: Path, writer: RecordingWriter, report: ImportReport) -> None:
    prints = read_columns(folder / "trades.parquet", ("ts", "ticker", "yes_price", "size", "taker_side"))
    trades = dict(_trades(prints, report))
    book = read_columns(folder / "book_snapshots.parquet", ("ts", "ticker", "side", "bid_price", "size"))
    for ticker, pick in sorted(groups(book["ticker"]), key=lambda group: str(group[0])):
        close_ns = -(-int(book["ts"][pick[0]]) // _WINDOW_NS) * _WINDOW_NS
        market = _market(str(ticker), close_ns - _WINDOW_NS, close_ns, _SNAPSHOT_NS, None)
        recv_ns, ladder = _ladder(*(book[name][pick] for name in ("ts", "side", "bid_price", "size")))
        rows = empty_rows(len(recv_ns))
        rows[:, 0:4] = ladder.price[:, :, 0]
        rows[:, 4:8] = ladder.size[:, :, 0]
        rows[:, 8:12] = np.where(np.isnan(rows[:, 0:4]), np.nan, np.nansum(ladder.size[:, :, :5], axis=2))
        of_market = trades.pop(str(ticker), None)
        if of_market is not None:
            of_market = inside(market, of_market, report)
        bring_window(writer, report, market, recv_ns, rows, trades=of_market, ladder=ladder)
    for ticker, left in trades.items():
        report.refuse("trade", NO_WINDOW, ticker, len(left))


def _market(ticker: str, open_ns: int, close_ns: int, tick_ns: int, strike: float | None) -> Market:
    """A window of the series its ticker begins with, e.g. KXBTC15M-26MAY242000-00 of KXBTC15M."""
    series = ticker.split("-", 1)[0]
    return Market(
        market_id=ticker, venue="kalshi", series=series, symbol=series.removeprefix("KX").removesuffix("15M"),
        open_ns=open_ns, close_ns=close_ns, tick_ns=tick_ns, price_tick=0.001, lot_shares=0.01,
        fees=schedule_on("kalshi", open_ns),
        settlement_rule="yes if the 60 s mean of the CF Benchmarks index at the close is not below that at the open",
        strike=strike, source=SOURCE,
    )  # fmt: skip


def _trades(prints: dict[str, NDArray], report: ImportReport) -> Iterator[tuple[str, Trades]]:
    """A taker of "no" buys Down at 1 − the yes price."""
    report.seen["trade"] += len(prints["ts"])
    for ticker, pick in groups(prints["ticker"]):
        is_yes = prints["taker_side"][pick] == "yes"
        yes_price = prints["yes_price"][pick]
        trades = Trades(
            prints["ts"][pick], prints["ts"][pick], np.where(is_yes, UP, DOWN).astype(np.int8),
            np.full(len(pick), BUY, np.int8), np.where(is_yes, yes_price, np.round(1 - yes_price, 6)),
            prints["size"][pick],
        )  # fmt: skip
        yield str(ticker), lawful_trades(trades, report, str(ticker))


def _ladder(
    ts: NDArray[np.int64], side: NDArray, price: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Ladder]:
    """Snapshot times and the best ten levels of the four sides: a bid for no at p is an offer of yes at 1 − p."""
    times: list[int] = []
    prices: list[NDArray[np.float64]] = []
    sizes: list[NDArray[np.float64]] = []
    for when, pick in groups(ts):
        one_price, one_size = (np.full((len(SIDES), BOOK_LEVELS), np.nan) for _ in range(2))
        for name, own, mirrored in (("yes", 0, 3), ("no", 2, 1)):
            of_side = pick[side[pick] == name]
            best = of_side[np.argsort(-price[of_side], kind="stable")][:BOOK_LEVELS]
            one_price[own, : len(best)] = price[best]
            one_price[mirrored, : len(best)] = np.round(1 - price[best], 6)
            one_size[own, : len(best)] = one_size[mirrored, : len(best)] = size[best]
        times.append(int(when))
        prices.append(one_price)
        sizes.append(one_size)
    return np.array(times, np.int64), Ladder(np.stack(prices), np.stack(sizes))
