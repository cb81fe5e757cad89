"""The older observer's tick files: `{condition id}/obs_YYYYMMDD_HHMMSS.json.gz`, one JSON object each.

An object is {cid, start_time, end_time, count, observations}; an observation holds a naive UTC time, the market
(question, asset, end_date) and a state with the best bid and ask of the Up token and Binance's price.

* Only Up was quoted; Down, sizes, trades, fees and outcomes were never recorded and stay unknown.
* A window is the quarter-hour that ends at `end_date`; observations before it opened are refused.
* A quote of 0, and an ask of 1, is how that recorder wrote an empty side.
* Binance's price becomes the tick's reference; how old it was is not known.
* Files are read in the order of their names, which is their order in time. A damaged file is refused whole.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from observer.importers.source import bring_window
from observer.kit.clock import NS_PER_MS, NS_PER_S, parse_iso
from observer.kit.errors import UsageError
from observer.records import REFERENCE, UP_ASK, UP_BID, Market
from observer.store.refusals import BAD_TIME, DAMAGED, OTHER_MARKET, ImportReport
from observer.store.screen import empty_rows
from observer.store.writer import RecordingWriter
from observer.venues.fees import schedule_on

SOURCE = "ancestor gz-JSON"
_WINDOW_NS = 900 * NS_PER_S
_TICK_NS = 500 * NS_PER_MS


def import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    """Bring every condition id's windows into `writer`, in order of opening time."""
    folders = sorted({path.parent for path in source.glob("*/obs_*.json.gz")})
    if not folders:
        raise UsageError(f"{source} holds no <condition id>/obs_*.json.gz. Pass --from the folder above them.")
    windows = [window for folder in folders if (window := _read_folder(folder, report)) is not None]
    for market, recv_ns, rows in sorted(windows, key=lambda window: window[0].open_ns):
        bring_window(writer, report, market, recv_ns, rows)


def _read_folder(folder: Path, report: ImportReport) -> tuple[Market, np.ndarray, np.ndarray] | None:
    """One condition id's market, clock and rows, in the order recorded; None where nothing could be read."""
    seen: list[tuple[int, dict[str, Any]]] = []
    market: Market | None = None
    for path in sorted(folder.glob("obs_*.json.gz")):
        report.seen["file"] += 1
        observations = _read_file(path)
        if observations is None:
            report.refuse("file", DAMAGED, f"{folder.name}/{path.name}")
            continue
        report.kept["file"] += 1
        for one in observations:
            reason = OTHER_MARKET if one["cid"] != folder.name else None
            try:
                when_ns, close_ns = parse_iso(one["timestamp"]), parse_iso(one["market"]["end_date"])
            except ValueError:
                reason, when_ns, close_ns = BAD_TIME, 0, 0
            if reason is not None:
                report.seen["tick"] += 1
                report.refuse("tick", reason, folder.name)
                continue
            market = market or _market(folder.name, str(one["market"]["asset"]), close_ns)
            seen.append((when_ns, one["state"]))
    if market is None:
        return None
    rows = empty_rows(len(seen))
    for i, (_, state) in enumerate(seen):
        rows[i, UP_BID] = _quote(state.get("best_bid"), empty=(0,))
        rows[i, UP_ASK] = _quote(state.get("best_ask"), empty=(0, 1))
        rows[i, REFERENCE] = _quote(state.get("binance_price"), empty=(0,))
    return market, np.array([when_ns for when_ns, _ in seen], np.int64), rows


def _read_file(path: Path) -> list[dict[str, Any]] | None:
    """A file's observations, or None where it is cut short, not JSON, or counts other than it holds."""
    try:
        value = json.loads(gzip.decompress(path.read_bytes()))
        observations = value["observations"]
        complete = len(observations) == value["count"] and all(
            {"timestamp", "cid", "market", "state"} <= one.keys() and _is_numeric(one["state"]) for one in observations
        )
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return None
    return observations if complete else None


def _is_numeric(state: dict[str, Any]) -> bool:
    """Whether what is read of a state is numbers, or nothing."""
    return all(isinstance(state.get(name), int | float | None) for name in ("best_bid", "best_ask", "binance_price"))


def _market(condition_id: str, asset: str, close_ns: int) -> Market:
    return Market(
        market_id=condition_id, venue="polymarket", series=f"{asset.lower()}-updown-15m", symbol=asset.upper(),
        open_ns=close_ns - _WINDOW_NS, close_ns=close_ns, tick_ns=_TICK_NS, price_tick=0.001, lot_shares=0.01,
        fees=schedule_on("polymarket-crypto", close_ns - _WINDOW_NS),
        settlement_rule=f"Up if the Chainlink {asset.upper()}/USD price at the close is not below the one at the open",
        source=SOURCE,
    )  # fmt: skip


def _quote(value: Any, empty: tuple[float, ...]) -> float:
    """A number, or NaN for an empty side."""
    return float("nan") if value is None or value in empty else float(value)
