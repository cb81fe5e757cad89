"""What a writer knows of a recording, and how its work becomes visible all at once.

Order of a commit: parts are already on the disk; they are renamed into place, then the manifests are replaced
one by one, `markets` last, and at the end the index, which makes it all count. A marker file exists while this
lasts. A commit that was cut short leaves the marker, the reader then says so, and the next writer reads the
manifests that did arrive, so that running the same import again completes it.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.code_version import code_version
from observer.kit.errors import BadRecording
from observer.store.content import hash_rows
from observer.store.files import flush_folder, write_whole
from observer.store.manifest import (
    COMMITTING,
    INDEX,
    LOGS,
    MANIFEST,
    Index,
    Manifest,
    folder_of,
    load,
    scan,
    write_index,
)
from observer.store.parts import ClosedPart, write_merged
from observer.store.schemas import GAPS, MARKETS, OUTCOMES, TABLES, TICKS, Table
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


def commit(state: State, parts: list[ClosedPart], incoming: Path) -> tuple[Index, bool]:
    """Make everything visible; return the index and whether anything changed."""
    base_of = {True: state.root / OUTCOMES.name, False: state.root}
    is_first = not (state.root / INDEX).exists()
    if not (parts or state.touched or state.new_logs or state.is_recovery or is_first):
        return load(state.root)[0], False
    write_whole(state.root / COMMITTING, b"")
    stale: list[Path] = []
    changed: dict[str, Manifest] = {}
    for part in parts:
        manifest = changed.setdefault(
            f"{part.table.name}/{part.partition}", _manifest(state, part.table, part.partition)
        )
        manifest.files[part.name], manifest.items = part.entry, {**manifest.items, **part.items}
        _move(part.temporary, folder_of(state.root, manifest.key) / part.name)
        manifest.seal_items()
    for place in sorted(state.touched):
        name, where = place.split("/", 1)
        manifest = _manifest(state, OUTCOMES if name == OUTCOMES.name else TABLES[name], where)
        stale += _replace_merged(state, manifest, incoming)
        changed[place] = manifest
    _count_gaps(state, changed)
    state.manifests.update(changed)
    for manifest in sorted(changed.values(), key=lambda m: (m.table == MARKETS.name, m.key)):
        manifest.code_version = code_version()
        write_whole(folder_of(state.root, manifest.key) / MANIFEST, manifest.to_bytes())
    for file, data in state.new_logs.items():
        write_whole(state.root / LOGS / file, data)
    for is_outcome in (True, False):
        own = [m for m in state.manifests.values() if (m.table == OUTCOMES.name) == is_outcome]
        if own or not is_outcome:
            index = write_index(base_of[is_outcome], own, {} if is_outcome else state.logs)
    for path in stale if not state.is_recovery else _unlisted(state):
        path.unlink()
    (state.root / COMMITTING).unlink()
    flush_folder(state.root)
    return index, True


def _unlisted(state: State) -> list[Path]:
    """Parts that a cut-short commit had moved into place and no manifest came to list."""
    listed = {folder_of(state.root, m.key) / name for m in state.manifests.values() for name in m.files}
    places = [path for name in (*TABLES, OUTCOMES.name) for path in (state.root / name).rglob("part-*.parquet")]
    return [path for path in places if path not in listed]


def _base(root: Path, table: Table) -> Path:
    return root / OUTCOMES.name if table is OUTCOMES else root


def _key(table: Table, row: dict[str, Any]) -> str:
    """The key under which the writer merges a row of this table."""
    if table is GAPS:
        return f"{row['market_id']}@{row['start_ns']:020d}-{row['end_ns']:020d} {row['reason']}"
    return f"{row['market_id']}@{row['kind']}" if table is OUTCOMES else row["market_id"]


def _short(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("market_id", "close_ns"))


def _manifest(state: State, table: Table, where: str) -> Manifest:
    """A copy of the partition's manifest to be changed, or a new one."""
    known = state.manifests.get(f"{table.name}/{where}")
    if known is None:
        return Manifest(table.name, where, table.schema_hash)
    return Manifest(
        known.table, known.partition, known.schema_hash, dict(known.files), dict(known.items), known.content,
        known.min_ns, known.max_ns, known.gaps,
    )  # fmt: skip


def _move(temporary: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    flush_folder(final.parent)


def _replace_merged(state: State, manifest: Manifest, incoming: Path) -> list[Path]:
    """Write a merged partition anew; return the files it replaces."""
    table = OUTCOMES if manifest.table == OUTCOMES.name else TABLES[manifest.table]
    by_key = state.merged(table, manifest.partition)
    rows = [by_key[key] for key in sorted(by_key)]
    folder = folder_of(state.root, manifest.key)
    manifest.content = hash_rows(rows)
    name = f"part-{manifest.content[:16]}.parquet"
    entry = write_merged(table, rows, incoming / "merged.parquet")
    _move(incoming / "merged.parquet", folder / name)
    stale = [folder / old for old in manifest.files if old != name]
    manifest.files = {name: entry}
    times = [row[table.time_column] for row in rows]
    manifest.min_ns, manifest.max_ns = min(times), max(times)
    return stale


def _count_gaps(state: State, changed: dict[str, Manifest]) -> None:
    """Write the number of gaps of the same venue and hour into the manifests of `ticks`."""
    hours = {m.partition for m in changed.values() if m.table in (TICKS.name, GAPS.name)}
    for where in hours:
        gaps = changed.get(f"{GAPS.name}/{where}", state.manifests.get(f"{GAPS.name}/{where}"))
        ticks = f"{TICKS.name}/{where}"
        count = 0 if gaps is None else gaps.rows
        if ticks in changed:
            changed[ticks].gaps = count
        elif ticks in state.manifests and state.manifests[ticks].gaps != count:
            changed[ticks] = _manifest(state, TICKS, where)
            changed[ticks].gaps = count
