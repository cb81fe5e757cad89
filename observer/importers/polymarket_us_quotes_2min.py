"""Polymarket US: best bid and ask of thousands of markets, swept about every two minutes, stored on change.

Files: `markets.parquet`; `quotes/<day>.parquet` or one `quotes.parquet`; `sweeps.parquet` where there is one.

* Up is yes. The venue runs one book per market in which buying no is selling yes, so Down mirrors Up.
* A row was stored when a quote changed, and as first and last row of each day a market was followed. Rows are
  kept as they are, not resampled. A day without rows is a gap, and so is a pause of the collector.
* No sizes, no trades. The venue's scheduled close is not in the source: a window is the whole UTC days in which
  the market was followed, so that the time remaining does not tell when a match ended.
* `outcome_api` is the venue's own and is taken as official; `outcome_convergence` is a biased guess and is not
  read. The 30 bps taker fee is the fallback of `observer.venues.fees`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from observer.importers.source import Columns, bring_window, groups, need, read_columns
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import UP_ASK, UP_BID, Market
from observer.store.refusals import COLLECTOR_DOWN, DAY_NOT_RECORDED, NO_MARKET, ImportReport
from observer.store.screen import GAP_AFTER_TICKS, empty_rows, mirror_down
from observer.store.writer import RecordingWriter
from observer.venues.fees import schedule_on

SOURCE = "DineshKumar8399/polymarket-orderbook-dataset"
SWEEP_NS = 122 * NS_PER_S
_DAY_NS = 86_400 * NS_PER_S
_MARKET_COLUMNS = ("market_id", "slug", "category", "outcome_api", "first_ts", "last_ts")


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring the folder's markets, quotes and official outcomes into `writer`."""
    need(source, "markets.parquet")
    days = sorted((source / "quotes").glob("*.parquet")) or sorted(source.glob("quotes.parquet"))
    if not days:
        raise UsageError(f"{source} holds neither quotes/<day>.parquet nor quotes.parquet. Pass --from such a folder.")
    parts = [read_columns(day, ("ts", "market_id", "bid", "ask")) for day in days]
    quotes: Columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known = _markets(source / "markets.parquet")
    pauses = _pauses(source / "sweeps.parquet")
    windows: list[tuple[Market, float, NDArray[np.int64]]] = []
    for number, pick in groups(quotes["market_id"]):
        if int(number) in known:
            windows.append((*known[int(number)], pick))
        else:
            report.seen["tick"] += len(pick)
            report.refuse("tick", NO_MARKET, str(number), len(pick))
    # The order in which the reader walks, so that it decodes each row group once.
    for market, payoff_up, pick in sorted(windows, key=lambda w: (w[0].open_ns, w[0].series, w[0].market_id)):
        rows = empty_rows(len(pick))
        rows[:, UP_BID], rows[:, UP_ASK] = quotes["bid"][pick], quotes["ask"][pick]
        mirror_down(rows)
        recv_ns = quotes["ts"][pick]
        # Each followed day has a first and a last row, so silence of more than a day means a day is missing.
        if not bring_window(
            writer, report, market, recv_ns, rows,
            gap_after_ns=_DAY_NS, gap_reason=DAY_NOT_RECORDED, on_change=True,
        ):  # fmt: skip
            continue
        for start_ns, end_ns in pauses:
            if recv_ns[0] <= start_ns and end_ns <= recv_ns[-1]:
                writer.write_gap(market.market_id, start_ns, end_ns, COLLECTOR_DOWN)
                report.gaps[COLLECTOR_DOWN] += 1
        if np.isfinite(payoff_up):
            writer.write_outcome(market.market_id, payoff_up, "official", f"{SOURCE}: outcome_api")


def _markets(path: Path) -> dict[int, tuple[Market, float]]:
    """Number within the source -> the market and what one Up share paid (NaN: unknown)."""
    table = read_columns(path, _MARKET_COLUMNS)
    found: dict[int, tuple[Market, float]] = {}
    for number, slug, category, payoff_up, first_ns, last_ns in zip(
        *(table[name] for name in _MARKET_COLUMNS), strict=True
    ):
        open_ns = int(first_ns) // _DAY_NS * _DAY_NS
        market = Market(
            market_id=str(slug), venue="polymarket-us", series=f"polymarket-us-{category}", symbol=str(slug),
            open_ns=open_ns, close_ns=(int(last_ns) // _DAY_NS + 1) * _DAY_NS, tick_ns=SWEEP_NS, price_tick=0.001,
            lot_shares=1.0, fees=schedule_on("polymarket-us", open_ns),
            settlement_rule="as the venue's API reports the market's outcome", source=SOURCE,
        )  # fmt: skip
        found[int(number)] = (market, float(payoff_up))
    return found


def _pauses(path: Path) -> list[tuple[int, int]]:
    """Spans in which the collector made no sweep."""
    if not path.exists():
        return []
    sweeps = read_columns(path, ("ts",))["ts"]
    long = np.flatnonzero(np.diff(sweeps) > GAP_AFTER_TICKS * SWEEP_NS)
    return [(int(sweeps[i]), int(sweeps[i + 1])) for i in long]
