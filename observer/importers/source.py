"""What the importers share: reading a source's Parquet files with their columns checked, and bringing one window in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from observer.kit.errors import BadRecording, UsageError
from observer.records import Ladder, Market
from observer.store.refusals import AFTER_CLOSE, BACKWARDS, BAD_TRADE, BEFORE_OPEN, NO_TICKS, NO_WINDOW, ImportReport
from observer.store.screen import screen
from observer.store.trades import Trades, with_flow
from observer.store.writer import RecordingWriter

Columns = dict[str, NDArray[Any]]


def need(source: Path, *names: str) -> None:
    """Refuse a folder that lacks one of the files of this format; raises `UsageError`."""
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise UsageError(f"{source} lacks {', '.join(missing)}. Pass --from the folder that holds {', '.join(names)}.")


def read_columns(path: Path, wanted: tuple[str, ...]) -> Columns:
    """Read the named columns as NumPy arrays; times become int64 ns, missing numbers NaN.

    Raises:
        BadRecording: the file is damaged, lacks a column, or holds a time without unit or a gap in a key column.
    """
    try:
        table = pq.read_table(path, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise BadRecording(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}).") from error
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise BadRecording(f"{path} lacks column {', '.join(missing)}. It holds {', '.join(table.column_names)}.")
    return {name: _numpy(table.column(name), f"{path}: column {name}") for name in wanted}


def has_column(path: Path, name: str) -> bool:
    """Whether a Parquet file has a column of this name."""
    return name in pq.read_schema(path).names


def groups(keys: NDArray[Any]) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    """(key, row numbers) of each distinct key, keys in order of first appearance, rows in the file's order."""
    if len(keys) == 0:
        return
    _, first, code = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code))
    starts = np.concatenate([[0], ends[:-1]])
    for group in np.argsort(first):
        rows = order[starts[group] : ends[group]]
        yield keys[rows[0]], rows


def bring_window(
    writer: RecordingWriter,
    report: ImportReport,
    market: Market,
    recv_ns: NDArray[np.int64],
    rows: NDArray[np.float64],
    *,
    trades: Trades | None = None,
    ladder: Ladder | None = None,
    gap_after_ns: int | None = None,
    gap_reason: str = NO_TICKS,
    on_change: bool = False,
) -> bool:
    """Screen one window, fill its flow from its trades, and write it with its gaps.

    Args:
        trades: lawful trades inside the window, or None where trades were not recorded (flow stays NaN).
        ladder, gap_after_ns, gap_reason, on_change: as `screen` takes them.

    Returns:
        False where no tick was lawful, so that nothing was written.
    """
    screened = screen(
        market, recv_ns, rows, report,
        ladder=ladder, gap_after_ns=gap_after_ns, gap_reason=gap_reason, on_change=on_change,
    )  # fmt: skip
    if screened.tape is None:
        report.refuse("trade", NO_WINDOW, market.market_id, 0 if trades is None else len(trades))
        return False
    if trades is None:
        writer.write_tape(screened.tape)
    else:
        writer.write_tape(with_flow(screened.tape, trades), trades)
        report.kept["trade"] += len(trades)
    for gap in screened.gaps:
        writer.write_gap(gap.market_id, gap.start_ns, gap.end_ns, gap.reason)
    return True


def lawful_trades(trades: Trades, report: ImportReport, where: str) -> Trades:
    """Leave out, and count, trades without a price or size above zero, and those that go back in time."""
    numbers = np.stack([trades.price, trades.size])
    is_good = np.all(np.isfinite(numbers) & (numbers > 0), axis=0)
    is_late = is_good & (trades.recv_ns < np.maximum.accumulate(trades.recv_ns))
    report.refuse("trade", BAD_TRADE, where, int(np.sum(~is_good)))
    report.refuse("trade", BACKWARDS, where, int(np.sum(is_late)))
    return trades[is_good & ~is_late]


def inside(market: Market, trades: Trades, report: ImportReport) -> Trades:
    """Leave out, and count, trades outside the market's window."""
    early, late = trades.recv_ns < market.open_ns, trades.recv_ns > market.close_ns
    report.refuse("trade", BEFORE_OPEN, market.market_id, int(early.sum()))
    report.refuse("trade", AFTER_CLOSE, market.market_id, int(late.sum()))
    return trades[~(early | late)]


def _numpy(column: pa.ChunkedArray, name: str) -> NDArray[Any]:
    if pa.types.is_timestamp(column.type):
        if column.null_count:
            raise BadRecording(f"{name} lacks {column.null_count} times. Leave such rows out of the source.")
        return column.cast(pa.timestamp("ns", tz=column.type.tz)).cast(pa.int64()).to_numpy()
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and column.null_count):
        return column.cast(pa.float64()).to_numpy()
    if name.endswith(("ts", "market_start")):
        raise BadRecording(f"{name} is {column.type}; wanted a timestamp, which says its unit and zone.")
    return column.to_numpy()
