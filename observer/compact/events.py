"""Events as Parquet: what the decoders made of the frames of one venue in one hour of one segment.

One row per level of a book (`is_snapshot`; a book without a level is one row without a price), per changed level,
trade, price, and loss. Row groups of about 130,000 rows, each sorted by (instrument, arrival), so that a market reads
as one run and its prices and times pack well. Prices and sizes are units of 1e-9. `read_events` gives the events back
as the recorder wrote them (`observer.store.batch`).
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from observer.compact.names import Names
from observer.compact.tally import Counts, count
from observer.records import UNKNOWN_NS
from observer.store.archive import ArchivedFile, entry_of
from observer.store.batch import BOOK, LEVEL, LOST, PRICE, TRADE, Batch, InstrumentSeen
from observer.store.manifest import HOUR_NS, partition_of
from observer.store.segment import SegmentHeader
from observer.store.tables import open_parquet, read_group
from observer.store.trades import TOKENS

SUFFIX = ".parquet"
GROUP_ROWS = 1 << 17
_KINDS = ("book", "level", "trade", "price", "lost")  # by their numbers
_SIDES = ("bid", "ask", "buy", "sell")
_TAKER = 1  # what to add to records.BUY and SELL to find them in _SIDES
_NONE = -1  # no sequence, side, price or size; none of them is negative otherwise

_WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("kind", _WORD),
        ("instrument", pa.int32()),  # its number within the run
        ("key", _WORD),  # the venue's own name of it
        ("market_id", _WORD),
        ("token", _WORD),
        ("symbol", _WORD),
        ("source", _WORD),
        ("arrival", pa.int64()),  # its place among the segment's events
        ("conn", pa.int32()),
        ("recv_ns", pa.int64()),
        ("venue_ns", pa.int64()),
        ("seq", pa.int64()),
        ("is_snapshot", pa.bool_()),
        ("side", _WORD),
        ("price", pa.int64()),
        ("size", pa.int64()),
        ("text", pa.string()),  # a trade's id; why a book was lost
    ]
)
# Numbers that run on pack as deltas; prices and sizes come back, and take half the bytes by dictionary (measured).
_DELTAS = ("instrument", "arrival", "conn", "recv_ns", "venue_ns", "seq")
_DICTIONARIES = ("kind", "key", "market_id", "token", "symbol", "source", "side", "price", "size")
PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": list(_DICTIONARIES),
    "column_encoding": dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED"),
    "write_page_checksum": True,
    "write_statistics": ["instrument", "arrival", "recv_ns"],
    "store_schema": False,  # to any reader the words are plain text
}


class EventSplitter:
    """Takes the batches of one segment and writes its files of events, one per venue and hour.

    Args:
        segment: which segment.
        folder: for the files in the making.
        is_archived: whether a partition has this segment's file already.
    """

    def __init__(self, segment: SegmentHeader, folder: Path, is_archived: Callable[[str], bool]) -> None:
        self._segment, self._folder, self._is_archived = segment, folder, is_archived
        self._files: dict[str, EventFile] = {}
        self._of_hour: dict[tuple[str, int], EventFile | None] = {}
        self._arrival = 0

    def take(self, batch: Batch, names: Names) -> None:
        """Add what a batch holds; `names` must have learnt from its notes."""
        for event in batch.events:
            venue = names.venue_of_instrument(event[2])
            hour = (venue, event[3] // HOUR_NS)
            if hour not in self._of_hour:
                self._of_hour[hour] = self._begun(venue, event[3])
            file = self._of_hour[hour]
            if file is not None:
                file.add(event, self._arrival, names)
            self._arrival += 1

    def close(self) -> Iterator[tuple[str, Path, ArchivedFile]]:
        """End the files: (partition, temporary file, entry) of each."""
        for partition, file in self._files.items():
            yield partition, file.path, file.close()

    def _begun(self, venue: str, at_ns: int) -> "EventFile | None":
        partition = partition_of(venue, at_ns)
        if self._is_archived(partition):
            return None
        path = self._folder / f"{self._segment.segment_id}-{len(self._files)}{SUFFIX}"
        return self._files.setdefault(partition, EventFile(path))


class EventFile:
    """One file of events in the making."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parquet = pq.ParquetWriter(path, SCHEMA, **PARQUET)
        self._instruments: dict[int, InstrumentSeen | None] = {}
        self._counts: Counts = {}
        self._rows, self._min_ns, self._max_ns = 0, 2**63 - 1, -(2**63)
        self._clear()

    def add(self, event: tuple[Any, ...], arrival: int, names: Names) -> None:
        """Add one event."""
        kind, conn, ins, recv_ns, *rest = event
        if ins not in self._instruments:
            self._instruments[ins] = names.instruments.get(ins)
        if kind == LEVEL:
            venue_ns, seq, side, price, size = rest
            self._row(kind, conn, ins, arrival, recv_ns, venue_ns, seq, side, price, size)
        elif kind == BOOK:
            venue_ns, seq, *sides = rest
            for side, levels in enumerate(sides):
                for price, size in levels:
                    self._row(kind, conn, ins, arrival, recv_ns, venue_ns, seq, side, price, size)
            if not (sides[0] or sides[1]):
                self._row(kind, conn, ins, arrival, recv_ns, venue_ns, seq, _NONE, _NONE, _NONE)
        elif kind == TRADE:
            venue_ns, side, price, size, text = rest
            self._texts[len(self._kind)] = text
            self._row(kind, conn, ins, arrival, recv_ns, venue_ns, _NONE, side + _TAKER, price, size)
        elif kind == PRICE:
            venue_ns, price = rest
            self._row(kind, conn, ins, arrival, recv_ns, venue_ns, _NONE, _NONE, price, _NONE)
        else:
            self._texts[len(self._kind)] = rest[0]
            self._row(kind, conn, ins, arrival, recv_ns, UNKNOWN_NS, _NONE, _NONE, _NONE, _NONE)
        count(self._counts, "events", _KINDS[kind])
        self._min_ns, self._max_ns = min(self._min_ns, recv_ns), max(self._max_ns, recv_ns)
        if len(self._kind) >= GROUP_ROWS:
            self._flush()

    def close(self) -> ArchivedFile:
        """Write what waits and end the file."""
        self._flush()
        self._parquet.close()
        return entry_of(self.path, self._rows, self._min_ns, self._max_ns, self._counts)

    def _row(
        self, kind: int, conn: int, ins: int, arrival: int, recv_ns: int, venue_ns: int, seq: int, side: int,
        price: int, size: int,
    ) -> None:  # fmt: skip
        self._kind.append(kind)
        self._side.append(side)
        self._conn.append(conn)
        self._ins.append(ins)
        self._wide.extend((arrival, recv_ns, venue_ns, seq, price, size))

    def _clear(self) -> None:
        self._kind, self._side, self._conn, self._ins, self._wide = (array(code) for code in "bbiiq")
        self._texts: dict[int, str] = {}

    def _flush(self) -> None:
        """Write the rows that wait as one row group."""
        n = len(self._kind)
        if n == 0:
            return
        ins = np.frombuffer(self._ins, np.int32)
        order = np.argsort(ins, kind="stable")
        ins, conn = ins[order], np.frombuffer(self._conn, np.int32)[order]
        kind, side = np.frombuffer(self._kind, np.int8)[order], np.frombuffer(self._side, np.int8)[order]
        arrival, recv_ns, venue_ns, seq, price, size = np.frombuffer(self._wide, np.int64).reshape(n, 6)[order].T
        text = np.full(n, None, object)
        text[list(self._texts)] = list(self._texts.values())
        columns = {
            "kind": _words(kind, _KINDS), "instrument": pa.array(ins), **self._names_of(ins),
            "arrival": pa.array(arrival), "conn": pa.array(conn), "recv_ns": pa.array(recv_ns),
            "venue_ns": pa.array(venue_ns, mask=venue_ns == UNKNOWN_NS), "seq": _known(seq),
            "is_snapshot": pa.array(kind == BOOK), "side": _words(side, _SIDES), "price": _known(price),
            "size": _known(size), "text": pa.array(text[order], pa.string()),
        }  # fmt: skip
        table = pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._parquet.write_table(table, n)
        self._rows += n
        self._clear()

    def _names_of(self, ins: NDArray[np.int32]) -> dict[str, pa.Array]:
        """The columns that describe an instrument, for rows sorted by its number; null where nobody named it."""
        numbers, codes = np.unique(ins, return_inverse=True)
        known = [self._instruments[number] for number in numbers.tolist()]
        names = ("key", "market_id", "symbol", "source")
        columns = {name: _spread([None if i is None else getattr(i, name) for i in known], codes) for name in names}
        return {**columns, "token": _spread([None if i is None else TOKENS[i.token] for i in known], codes)}


def read_events(path: Path) -> list[tuple[Any, ...]]:
    """The events of a file in their order of arrival, as the recorder wrote them.

    Raises:
        BadRecording: the file is missing or damaged.
    """
    file = open_parquet(path)
    found: list[tuple[int, tuple[Any, ...]]] = []
    for group in range(file.num_row_groups):
        found += _events_of(read_group(file, path, group).to_pylist())
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def _events_of(rows: list[dict[str, Any]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(arrival, event) of each; the rows of one event follow each other."""
    book: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for i, row in enumerate(rows):
        kind = _KINDS.index(row["kind"])
        head = (kind, row["conn"], row["instrument"], row["recv_ns"])
        venue_ns = UNKNOWN_NS if row["venue_ns"] is None else row["venue_ns"]
        seq = _NONE if row["seq"] is None else row["seq"]
        arrival, price, size = row["arrival"], row["price"], row["size"]
        if kind == BOOK:
            if price is not None:
                book[_SIDES.index(row["side"])].append((price, size))
            if i + 1 == len(rows) or rows[i + 1]["arrival"] != arrival:
                yield arrival, (*head, venue_ns, seq, tuple(book[0]), tuple(book[1]))
                book = ([], [])
        elif kind == LEVEL:
            yield arrival, (*head, venue_ns, seq, _SIDES.index(row["side"]), price, size)
        elif kind == TRADE:
            yield arrival, (*head, venue_ns, _SIDES.index(row["side"]) - _TAKER, price, size, row["text"])
        elif kind == PRICE:
            yield arrival, (*head, venue_ns, price)
        elif kind == LOST:
            yield arrival, (*head, row["text"])


def _words(codes: NDArray[np.int8], words: tuple[str, ...]) -> pa.Array:
    """A column of words by their codes; null where the code is `_NONE`."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes == _NONE), pa.array(words))


def _spread(words: list[str | None], codes: NDArray[np.intp]) -> pa.Array:
    """A column of `words[code]`, each distinct word stored once."""
    distinct = sorted({word for word in words if word is not None})
    places = np.array([_NONE if word is None else distinct.index(word) for word in words], np.int32)[codes]
    return pa.DictionaryArray.from_arrays(pa.array(places, mask=places == _NONE), pa.array(distinct, pa.string()))


def _known(values: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, mask=values == _NONE)
