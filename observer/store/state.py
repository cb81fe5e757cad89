"""What a writer knows of a recording: what is in it, what was learnt since, and what was added.

After a commit that was cut short (its marker is still there) the writer takes the manifests that did arrive as
they are, so that running the same import again completes it.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.store.catalog import Catalog
from observer.store.manifest import (
    COMMITTING,
    INDEX,
    LOGS,
    Index,
    Listed,
    Manifest,
    check_id,
    read_index,
    read_listed,
    scan,
)
from observer.store.schemas import GAPS, OUTCOMES, TICKS, Table
from observer.store.tables import read_merged

Rows = dict[str, dict[str, Any]]
Spans = list[tuple[int, int]]


@dataclass
class State:
    """How every partition is listed, what was learnt since, and the merged tables being added to.

    Attributes:
        root: the recording.
        listed: manifest key -> how the index lists it, outcomes included.
        logs: file name -> hash of the import logs on record.
        is_recovery: the last commit was cut short, so the index must be written again.
        touched: merged partitions with new rows.
    """

    root: Path
    catalog: Catalog
    listed: dict[str, Listed]
    logs: dict[str, str]
    is_recovery: bool
    new_logs: dict[str, bytes] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    _manifests: dict[str, Manifest] = field(default_factory=dict)
    _learnt: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    _spans: dict[tuple[str, str], dict[str, Spans]] = field(default_factory=dict)
    _merged: dict[str, Rows] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "State":
        """Look at a recording, new, sound, or left by a commit that was cut short.

        Raises:
            BadRecording: a sound recording it is not, and not a cut-short one either.
        """
        is_recovery = (root / COMMITTING).exists()
        indexes: list[tuple[Path, Index]] = []
        indexed: dict[str, str] = {}
        for base in (root, root / OUTCOMES.name):
            if is_recovery:
                indexed |= scan(base)
            elif (base / INDEX).exists():
                indexes.append((base, read_index(base)))
                indexed |= indexes[-1][1].partitions
            elif scan(base):
                raise BadRecording(
                    f"{base} holds partitions but {INDEX} is missing. Restore it, or import into a new data folder."
                )
        catalog = Catalog(root, indexed)
        listed = catalog.listed()
        logs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (root / LOGS).glob("*.json")}
        for base, index in indexes:
            check_id(base, index, {key: listed[key] for key in index.partitions})
        if indexes:
            logs = indexes[0][1].logs
        return cls(root, catalog, listed, logs, is_recovery)

    def manifest(self, key: str) -> Manifest | None:
        """A partition's manifest, read and checked once; None where there is no such partition."""
        if key not in self._manifests and key in self.listed:
            self._manifests[key] = read_listed(self.root, key, self.listed[key].sha256)
        return self._manifests.get(key)

    def tape(self, market_id: str) -> tuple[str, str] | None:
        """(partition, content hash) of a market's ticks, wherever they lie, or None."""
        learnt = self._learnt.get((TICKS.name, market_id))
        if learnt is not None:
            return learnt
        where = self.catalog.partition_of_market(market_id)
        return None if where is None else self._item(TICKS, where, market_id)

    def known(self, table: Table, where: str, key: str) -> tuple[str, str] | None:
        """(partition, content hash) of an item, or None; a market's ticks are found in other partitions, too."""
        if table is TICKS:
            return self.tape(key)
        return self._learnt.get((table.name, key)) or self._item(table, where, key)

    def learn(self, table: Table, key: str, where: str, sha256: str) -> None:
        """Remember an item that is being written."""
        self._learnt[table.name, key] = (where, sha256)

    def overlap(self, table: Table, where: str, name: str, span: tuple[int, int]) -> tuple[int, int] | None:
        """The span of a stream's chunk on record that shares time with `span`, or None."""
        for first, last in self._chunks(table, where).get(name, []):
            if first <= span[1] and span[0] <= last:
                return first, last
        return None

    def learn_span(self, table: Table, where: str, name: str, span: tuple[int, int]) -> None:
        """Remember a chunk that is being written."""
        spans = self._chunks(table, where).setdefault(name, [])
        if span not in spans:
            spans.append(span)

    def merged(self, table: Table, where: str) -> Rows:
        """The rows of a merged table's partition, by key, read once."""
        place = f"{table.name}/{where}"
        if place not in self._merged:
            manifest = self.manifest(place)
            rows = [] if manifest is None else read_merged(_base(self.root, table), manifest)
            self._merged[place] = {_key(table, row): row for row in rows}
        return self._merged[place]

    def merge(self, table: Table, where: str, row: dict[str, Any]) -> None:
        """Add one row; a row that is already there, equal, changes nothing.

        Raises:
            BadRecording: another row is on record under the same key.
        """
        rows, key = self.merged(table, where), _key(table, row)
        if key not in rows:
            rows[key] = row
            self.touched.add(f"{table.name}/{where}")
        elif rows[key] != row:
            raise BadRecording(
                f"{table.name} of {key}: {self.root} already holds {_short(rows[key])}, found {_short(row)}. "
                "Import into a new data folder, or leave it out."
            )

    def add_log(self, name: str, data: bytes) -> None:
        """Keep an import's report under a name made of its content."""
        digest = hashlib.sha256(data).hexdigest()
        file = f"{name}-{digest[:16]}.json"
        if file not in self.logs:
            self.logs[file] = digest
            self.new_logs[file] = data

    def _item(self, table: Table, where: str, key: str) -> tuple[str, str] | None:
        manifest = self.manifest(f"{table.name}/{where}")
        item = None if manifest is None else manifest.items.get(key)
        return None if item is None else (where, item.sha256)

    def _chunks(self, table: Table, where: str) -> dict[str, Spans]:
        """The spans of a partition's chunks, by stream."""
        place = (table.name, where)
        if place not in self._spans:
            self._spans[place] = {}
            manifest = self.manifest(f"{table.name}/{where}")
            for key, item in ({} if manifest is None else manifest.items).items():
                if "@" in key:
                    name = key.removeprefix(f"{where}/").rsplit("@", 1)[0]
                    self._spans[place].setdefault(name, []).append((item.min_ns, item.max_ns))
        return self._spans[place]


def _base(root: Path, table: Table) -> Path:
    return root / OUTCOMES.name if table is OUTCOMES else root


def _key(table: Table, row: dict[str, Any]) -> str:
    """The key under which the writer merges a row of this table."""
    if table is GAPS:
        return f"{row['market_id']}@{row['start_ns']:020d}-{row['end_ns']:020d} {row['reason']}"
    return f"{row['market_id']}@{row['kind']}" if table is OUTCOMES else row["market_id"]


def _short(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("market_id", "close_ns"))
