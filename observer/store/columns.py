"""From arrays in memory to Arrow columns and back, one function per table."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from observer.records import BOOK_LEVELS, SIDES, TICK_COLUMNS, UNKNOWN_NS, Ladder, Tape
from observer.store.schemas import BOOK, BOOK_CELLS, REFERENCE, TICKS, TRADES
from observer.store.trades import TAKER_SIDES, TOKENS, Trades


def ticks_table(tape: Tape) -> pa.Table:
    """A tape's rows as columns; NaN becomes null."""
    columns: list[pa.Array] = [pa.repeat(tape.market.market_id, len(tape)), pa.array(tape.recv_ns)]
    columns += [pa.array(tape.rows[:, i], from_pandas=True) for i in range(len(TICK_COLUMNS))]
    return pa.Table.from_arrays(columns, schema=TICKS.schema)


def rows_from(table: pa.Table) -> NDArray[np.float64]:
    """(T, C) float64 rows of a ticks table; null becomes NaN."""
    rows = np.empty((table.num_rows, len(TICK_COLUMNS)))
    for i, name in enumerate(TICK_COLUMNS):
        rows[:, i] = table.column(name).to_numpy()
    return rows


def book_table(tape: Tape, ladder: Ladder) -> pa.Table:
    """A tape's ladder as two fixed-length lists per tick."""
    price, size = (
        pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), BOOK_CELLS)
        for values in (ladder.price, ladder.size)
    )
    name = pa.repeat(tape.market.market_id, len(tape))
    return pa.Table.from_arrays([name, pa.array(tape.recv_ns), price, size], schema=BOOK.schema)


def ladder_from(table: pa.Table) -> Ladder:
    """The (T, S, K) ladder of a book table."""
    shape = (table.num_rows, len(SIDES), BOOK_LEVELS)
    price, size = (
        table.column(name).combine_chunks().flatten().to_numpy().reshape(shape).copy() for name in ("price", "size")
    )
    return Ladder(price, size)


def trades_table(market_id: str, trades: Trades, connection: str) -> pa.Table:
    """A chunk of trades; the sequence is the row's number within the chunk."""
    n = len(trades)
    columns = [
        pa.repeat(market_id, n),
        pa.array(trades.recv_ns),
        _nullable(trades.venue_ns),
        pa.array(np.array(TOKENS)[trades.token]),
        pa.array(np.array(TAKER_SIDES)[trades.side]),
        pa.repeat(trades.side_known, n),
        pa.array(trades.price),
        pa.array(trades.size),
        pa.repeat(connection, n),
        pa.array(np.arange(n, dtype=np.int64)),
    ]
    return pa.Table.from_arrays(columns, schema=TRADES.schema)


def trades_from(table: pa.Table) -> Trades:
    """The trades of a table, in its order."""
    return Trades(
        recv_ns=table.column("recv_ns").to_numpy(),
        venue_ns=_filled(table.column("venue_ns")),
        token=_codes(table.column("token"), TOKENS),
        side=_codes(table.column("side"), TAKER_SIDES),
        price=table.column("price").to_numpy(),
        size=table.column("size").to_numpy(),
        side_known=bool(np.all(table.column("side_known").to_numpy())),
    )


def reference_table(
    symbol: str,
    source: str,
    recv_ns: NDArray[np.int64],
    venue_ns: NDArray[np.int64],
    price: NDArray[np.float64],
    connection: str,
) -> pa.Table:
    """A chunk of reference prices."""
    n = len(recv_ns)
    columns = [
        pa.repeat(symbol, n),
        pa.repeat(source, n),
        pa.array(recv_ns),
        _nullable(venue_ns),
        pa.array(price),
        pa.repeat(connection, n),
        pa.array(np.arange(n, dtype=np.int64)),
    ]
    return pa.Table.from_arrays(columns, schema=REFERENCE.schema)


def _nullable(times: NDArray[np.int64]) -> pa.Array:
    return pa.array(times, mask=times == UNKNOWN_NS)


def _filled(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.fill_null(UNKNOWN_NS).to_numpy()


def _codes(column: pa.ChunkedArray, words: tuple[str, ...]) -> NDArray[np.int8]:
    text = column.to_numpy()
    codes = np.zeros(len(text), np.int8)
    for code, word in enumerate(words):
        codes[text == word] = code
    return codes
