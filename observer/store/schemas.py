"""The tables of a recording: their columns, their Parquet schemas and the hash that names each schema.

A missing number is null in a scalar column; inside the fixed-length lists of `book` it is NaN. Times are
int64 nanoseconds UTC, prices USD per share (reference: USD of the underlying), sizes shares.

Two kinds of table. *Append* tables (ticks, book, trades, reference) grow by whole items, a tape or a chunk,
each listed with its content hash in the partition's manifest. *Merged* tables (markets, gaps, outcomes) are
small: a partition is one file, sorted by key, written anew when a row is added.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from observer.records import BOOK_LEVELS, SIDES, TICK_COLUMNS

FORMAT = "mlx-rl-recording/1"

# One book row holds S sides × K levels, side-major, best level first.
BOOK_CELLS = len(SIDES) * BOOK_LEVELS

_BOOK_LIST = pa.list_(pa.float64(), BOOK_CELLS)


@dataclass(frozen=True)
class Table:
    """One table: its folder, its columns, the column its times are taken from, and how it grows."""

    name: str
    schema: pa.Schema
    grows: Literal["append", "merged"]
    time_column: str

    @property
    def schema_hash(self) -> str:
        """SHA-256 over the table's name and its columns with their types, in order."""
        lines = [FORMAT, self.name, *(f"{field.name}:{field.type}" for field in self.schema)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


TICKS = Table(
    "ticks",
    pa.schema([("market_id", pa.string()), ("recv_ns", pa.int64()), *((name, pa.float64()) for name in TICK_COLUMNS)]),
    "append",
    "recv_ns",
)
BOOK = Table(
    "book",
    pa.schema([("market_id", pa.string()), ("recv_ns", pa.int64()), ("price", _BOOK_LIST), ("size", _BOOK_LIST)]),
    "append",
    "recv_ns",
)
TRADES = Table(
    "trades",
    pa.schema(
        [
            ("market_id", pa.string()),
            ("recv_ns", pa.int64()),
            ("venue_ns", pa.int64()),
            ("token", pa.string()),  # "up", "down"; "" for an underlying, which has no tokens
            ("side", pa.string()),  # what the taker did: "buy" or "sell"
            ("side_known", pa.bool_()),  # False where the source did not record the side and the importer assumed it
            ("price", pa.float64()),
            ("size", pa.float64()),
            ("connection", pa.string()),
            ("seq", pa.int64()),
        ]
    ),
    "append",
    "recv_ns",
)
REFERENCE = Table(
    "reference",
    pa.schema(
        [
            ("symbol", pa.string()),
            ("source", pa.string()),
            ("recv_ns", pa.int64()),
            ("venue_ns", pa.int64()),
            ("price", pa.float64()),
            ("connection", pa.string()),
            ("seq", pa.int64()),
        ]
    ),
    "append",
    "recv_ns",
)
MARKETS = Table(
    "markets",
    pa.schema(
        [
            ("market_id", pa.string()),
            ("venue", pa.string()),
            ("series", pa.string()),
            ("symbol", pa.string()),
            ("open_ns", pa.int64()),
            ("close_ns", pa.int64()),
            ("tick_ns", pa.int64()),
            ("price_tick", pa.float64()),
            ("lot_shares", pa.float64()),
            ("strike", pa.float64()),
            ("settlement_rule", pa.string()),
            ("source", pa.string()),
            ("fee_name", pa.string()),
            ("fee_kind", pa.string()),
            ("fee_rate", pa.float64()),
            ("fee_exponent", pa.float64()),
            ("fee_rounding_usd", pa.float64()),
            ("fee_round_up", pa.bool_()),
            ("fee_taken_in", pa.string()),
            ("fee_from_ns", pa.int64()),
            ("fee_to_ns", pa.int64()),
        ]
    ),
    "merged",
    "open_ns",
)
GAPS = Table(
    "gaps",
    pa.schema([("market_id", pa.string()), ("start_ns", pa.int64()), ("end_ns", pa.int64()), ("reason", pa.string())]),
    "merged",
    "start_ns",
)
# Kept apart: not one of TABLES, not part of the dataset id, and read by `observer.store.outcomes` alone.
OUTCOMES = Table(
    "outcomes",
    pa.schema(
        [
            ("market_id", pa.string()),
            ("close_ns", pa.int64()),
            ("payoff_up", pa.float64()),
            ("kind", pa.string()),
            ("source", pa.string()),
        ]
    ),
    "merged",
    "close_ns",
)

TABLES: dict[str, Table] = {table.name: table for table in (TICKS, BOOK, TRADES, REFERENCE, MARKETS, GAPS)}
