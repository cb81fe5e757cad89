"""Parquet files in the making: whole items in, row groups of about 16,384 rows out.

A part is written under `.incoming/` and gets its final name, which is a hash of what it holds, when it is
moved into its partition. Writing the same items again therefore makes a file of the same name.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.store.files import sha256_of
from observer.store.manifest import FileEntry, Item
from observer.store.schemas import Table

GROUP_ROWS = 16_384
MAX_OPEN_PARTS = 16
_COMPRESSION_LEVEL = 3
# Times run in nearly even steps, which deltas store in a few bits; everything else repeats, which dictionaries like.
_DELTA_COLUMNS = ("recv_ns", "venue_ns", "seq")


def parquet_options(table: Table) -> dict[str, Any]:
    """How this table's Parquet files are encoded; every page carries a checksum."""
    deltas = [name for name in table.schema.names if name in _DELTA_COLUMNS]
    flat = [name for name in table.schema.names if name not in deltas and not pa.types.is_boolean(_type(table, name))]
    return {
        "compression": "zstd",
        "compression_level": _COMPRESSION_LEVEL,
        "use_dictionary": flat,
        "column_encoding": dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
        "write_page_checksum": True,
        "write_statistics": deltas,
    }


def _type(table: Table, name: str) -> pa.DataType:
    return table.schema.field(name).type


@dataclass(frozen=True, slots=True)
class ClosedPart:
    """A finished file that still lies in `.incoming/`."""

    table: Table
    partition: str
    temporary: Path
    name: str
    entry: FileEntry
    items: dict[str, Item]


class PartFile:
    """One file being filled."""

    def __init__(self, table: Table, partition: str, temporary: Path) -> None:
        self.table, self.partition, self.temporary = table, partition, temporary
        self._parquet = pq.ParquetWriter(temporary, table.schema, **parquet_options(table))
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._group = self._rows = 0
        self._items: dict[str, Item] = {}

    def add(self, key: str, sha256: str, columns: pa.Table, min_ns: int, max_ns: int) -> None:
        """Append one item; it stays within one row group."""
        place = Item("", self._group, self._waiting_rows, columns.num_rows, sha256, min_ns, max_ns)
        self._items[key] = place
        self._waiting.append(columns)
        self._waiting_rows += columns.num_rows
        if self._waiting_rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> ClosedPart:
        """Write what waits and close the file; the commit forces it to the disk."""
        self._flush()
        self._parquet.close()
        lines = "\n".join(sorted(f"{key} {item.sha256}" for key, item in self._items.items()))
        name = f"part-{hashlib.sha256(lines.encode()).hexdigest()[:16]}.parquet"
        items = {
            key: Item(name, i.group, i.first, i.rows, i.sha256, i.min_ns, i.max_ns) for key, i in self._items.items()
        }
        entry = FileEntry(sha256_of(self.temporary), self.temporary.stat().st_size, self._rows)
        return ClosedPart(self.table, self.partition, self.temporary, name, entry, items)

    def abandon(self) -> None:
        """Close without finishing; the caller removes the file."""
        self._waiting.clear()
        self._parquet.close()

    def _flush(self) -> None:
        if self._waiting:
            # One call, one row group: `group` and `first` of the items depend on it.
            self._parquet.write_table(pa.concat_tables(self._waiting).combine_chunks(), self._waiting_rows)
            self._rows += self._waiting_rows
            self._group += 1
            self._waiting.clear()
            self._waiting_rows = 0


class PartsInProgress:
    """The open files of one writer, at most `MAX_OPEN_PARTS`; the one longest unused is finished first."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming
        self._open: OrderedDict[tuple[str, str], PartFile] = OrderedDict()
        self.closed: list[ClosedPart] = []
        self._made = 0

    def add(
        self, table: Table, partition: str, key: str, sha256: str, columns: pa.Table, span: tuple[int, int]
    ) -> None:
        """Append one item to its partition's file, opening the file if need be."""
        place = (table.name, partition)
        if place not in self._open:
            if len(self._open) >= MAX_OPEN_PARTS:
                _, oldest = self._open.popitem(last=False)
                self.closed.append(oldest.close())
            self._made += 1
            self._open[place] = PartFile(table, partition, self._incoming / f"{self._made:06d}.parquet")
        self._open.move_to_end(place)
        self._open[place].add(key, sha256, columns, *span)

    def close_all(self) -> list[ClosedPart]:
        """Finish every file and return all that were finished."""
        while self._open:
            _, part = self._open.popitem(last=False)
            self.closed.append(part.close())
        return self.closed

    def abandon(self) -> None:
        """Drop everything."""
        for part in self._open.values():
            part.abandon()
        self._open.clear()
        self.closed.clear()


def write_merged(table: Table, rows: list[dict[str, Any]], temporary: Path) -> FileEntry:
    """Write a merged table's partition as one file."""
    columns = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(columns, temporary, **parquet_options(table))
    return FileEntry(sha256_of(temporary), temporary.stat().st_size, len(rows))
