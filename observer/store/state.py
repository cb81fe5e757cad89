"""What a writer knows of a recording: what is in it, what was learnt since, and what was added.

After a commit that was cut short (its marker is still there) the writer takes the manifests that did arrive as
they are, so that running the same import again completes it.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.store.manifest import (
    COMMITTING,
    INDEX,
    LOGS,
    Manifest,
    load,
    scan,
)
from observer.store.schemas import GAPS, OUTCOMES, Table
from observer.store.tables import read_merged

Rows = dict[str, dict[str, Any]]


@dataclass
class State:
    """The manifests as they are, what was learnt since, and the merged tables being added to.

    Attributes:
        root: the recording.
        manifests: manifest key -> manifest, outcomes included.
        logs: file name -> hash of the import logs on record.
        is_recovery: the last commit was cut short, so the index must be written again.
    """

    root: Path
    manifests: dict[str, Manifest]
    logs: dict[str, str]
    is_recovery: bool
    new_logs: dict[str, bytes] = field(default_factory=dict)
    _known: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    _spans: dict[tuple[str, str, str], list[tuple[int, int]]] = field(default_factory=dict)
    _merged: dict[str, Rows] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, root: Path) -> "State":
        """Read the manifests of a recording, new, sound, or left by a commit that was cut short.

        Raises:
            BadRecording: a sound recording it is not, and not a cut-short one either.
        """
        is_recovery = (root / COMMITTING).exists()
        manifests: list[Manifest] = []
        logs: dict[str, str] = {}
        for base in (root, root / OUTCOMES.name):
            if is_recovery:
                manifests += scan(base)
            elif (base / INDEX).exists():
                index, found = load(base)
                manifests += found
                logs.update(index.logs)
            elif scan(base):
                raise BadRecording(
                    f"{base} holds partitions but {INDEX} is missing. Restore it, or import into a new data folder."
                )
        if is_recovery:
            logs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (root / LOGS).glob("*.json")}
        state = cls(root, {m.key: m for m in manifests}, logs, is_recovery)
        for manifest in manifests:
            for key, item in manifest.items.items():
                state._known[manifest.table, key] = (manifest.partition, item.sha256)
                if "@" in key:
                    name = key.removeprefix(f"{manifest.partition}/").rsplit("@", 1)[0]
                    spans = state._spans.setdefault((manifest.table, manifest.partition, name), [])
                    spans.append((item.min_ns, item.max_ns))
        return state

    def known(self, table: Table, key: str) -> tuple[str, str] | None:
        """(partition, content hash) of an item, or None."""
        return self._known.get((table.name, key))

    def learn(self, table: Table, key: str, where: str, sha256: str) -> None:
        """Remember an item that is being written."""
        self._known[table.name, key] = (where, sha256)

    def overlap(self, table: Table, where: str, name: str, span: tuple[int, int]) -> tuple[int, int] | None:
        """The span of a stream's chunk on record that shares time with `span`, or None."""
        for first, last in self._spans.get((table.name, where, name), []):
            if first <= span[1] and span[0] <= last:
                return first, last
        return None

    def learn_span(self, table: Table, where: str, name: str, span: tuple[int, int]) -> None:
        """Remember a chunk that is being written."""
        spans = self._spans.setdefault((table.name, where, name), [])
        if span not in spans:
            spans.append(span)

    def merged(self, table: Table, where: str) -> Rows:
        """The rows of a merged table's partition, by key, read once."""
        place = f"{table.name}/{where}"
        if place not in self._merged:
            manifest = self.manifests.get(place)
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


def _base(root: Path, table: Table) -> Path:
    return root / OUTCOMES.name if table is OUTCOMES else root


def _key(table: Table, row: dict[str, Any]) -> str:
    """The key under which the writer merges a row of this table."""
    if table is GAPS:
        return f"{row['market_id']}@{row['start_ns']:020d}-{row['end_ns']:020d} {row['reason']}"
    return f"{row['market_id']}@{row['kind']}" if table is OUTCOMES else row["market_id"]


def _short(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("market_id", "close_ns"))
