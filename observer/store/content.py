"""Content hashes: one number for what a tape, a chunk or a row says, however it is stored.

NaN of every kind counts as one NaN and −0 as 0, so a value hashes the same before and after Parquet.
"""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observer.records import Ladder, Tape
from observer.store.trades import Trades


def _numbers(values: NDArray[Any]) -> bytes:
    if values.dtype != np.float64:
        return np.ascontiguousarray(values).tobytes()
    plain = values + 0.0
    plain[np.isnan(plain)] = np.nan
    return plain.tobytes()


def _digest(label: str, *arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256(label.encode())
    for array in arrays:
        digest.update(f"|{array.dtype.str}{array.shape}|".encode())
        digest.update(_numbers(array))
    return digest.hexdigest()


def hash_ticks(tape: Tape) -> str:
    """Of a tape's clock and rows."""
    return _digest("ticks", tape.recv_ns, tape.rows)


def hash_ladder(recv_ns: NDArray[np.int64], ladder: Ladder) -> str:
    """Of a tape's recorded depth."""
    return _digest("book", recv_ns, ladder.price, ladder.size)


def hash_trades(trades: Trades) -> str:
    """Of a chunk of trades."""
    parts = (trades.recv_ns, trades.venue_ns, trades.token, trades.side, trades.price, trades.size)
    return _digest(f"trades {trades.side_known}", *parts)


def hash_reference(recv_ns: NDArray[np.int64], venue_ns: NDArray[np.int64], price: NDArray[np.float64]) -> str:
    """Of a chunk of reference prices."""
    return _digest("reference", recv_ns, venue_ns, price)


def hash_rows(rows: list[dict[str, Any]]) -> str:
    """Of a merged table's rows, already in order."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True, allow_nan=False).encode()).hexdigest()
