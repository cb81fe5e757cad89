"""How a writer's work becomes visible, all at once.

The order: the new files are forced to the disk and renamed into place; then the manifests are replaced, `markets`
last; at the end the index, which makes it all count. A marker file exists while this lasts. A commit that was cut
short leaves the marker, and the reader says so.
"""

from pathlib import Path

from observer.kit.code_version import code_version
from observer.store.content import hash_rows
from observer.store.files import flush, flush_all, write_whole
from observer.store.filesystem import REAL
from observer.store.manifest import (
    COMMITTING,
    INDEX,
    LOGS,
    MANIFEST,
    Index,
    Listed,
    Manifest,
    folder_of,
    read_index,
    read_manifest,
    write_index,
)
from observer.store.parts import ClosedPart, write_merged
from observer.store.schemas import GAPS, MARKETS, OUTCOMES, TABLES, TICKS, Table
from observer.store.state import State


def commit(state: State, parts: list[ClosedPart], incoming: Path) -> tuple[Index, bool]:
    """Make everything visible; return the index and whether anything changed."""
    is_first = not (state.root / INDEX).exists()
    if not (parts or state.touched or state.new_logs or state.is_recovery or is_first):
        return read_index(state.root), False
    changed: dict[str, Manifest] = {}
    moves: dict[Path, Path] = {}
    for part in parts:
        key = f"{part.table.name}/{part.partition}"
        manifest = changed[key] if key in changed else _manifest(state, part.table, part.partition)
        changed[key] = manifest
        manifest.files[part.name] = part.entry
        manifest.items.update(part.items)
        manifest.seal_items()
        moves[part.temporary] = folder_of(state.root, key) / part.name
    stale: list[Path] = []
    for i, key in enumerate(sorted(state.touched)):
        name, where = key.split("/", 1)
        changed[key] = _manifest(state, OUTCOMES if name == OUTCOMES.name else TABLES[name], where)
        stale += _merge_anew(state, changed[key], incoming / f"merged-{i}.parquet", moves)
    _count_gaps(state, changed)
    for manifest in changed.values():
        manifest.code_version = code_version()
    listed = state.listed | {key: manifest.listed() for key, manifest in changed.items()}

    flush_all(moves)
    write_whole(state.root / COMMITTING, b"")
    for temporary, final in moves.items():
        REAL.make_folder(final.parent)
        temporary.replace(final)
    _write_manifests(state.root, sorted(changed.values(), key=lambda m: (m.table == MARKETS.name, m.key)))
    for file, data in state.new_logs.items():
        write_whole(state.root / LOGS / file, data)
    outcomes = {key: line for key, line in listed.items() if _is_outcome(key)}
    if outcomes:
        write_index(state.root / OUTCOMES.name, outcomes, {})
    index = write_index(state.root, {key: listed[key] for key in listed.keys() - outcomes.keys()}, state.logs)
    for path in _unlisted(state.root, listed) if state.is_recovery else stale:
        path.unlink()
    (state.root / COMMITTING).unlink()
    flush(state.root)
    state.catalog.update(changed.values(), listed)
    return index, True


def _write_manifests(root: Path, manifests: list[Manifest]) -> None:
    """Replace the manifests in this order, each whole."""
    temporaries: dict[Path, Path] = {}
    for manifest in manifests:
        folder = folder_of(root, manifest.key)
        temporary = folder / f".{MANIFEST}.tmp"
        temporary.write_bytes(manifest.to_bytes())
        temporaries[temporary] = folder / MANIFEST
    folders = {final.parent for final in temporaries.values()}
    flush_all([*temporaries, *folders])
    for temporary, final in temporaries.items():
        temporary.replace(final)
    flush_all(folders)


def _merge_anew(state: State, manifest: Manifest, temporary: Path, moves: dict[Path, Path]) -> list[Path]:
    """Write a merged partition anew under a temporary name; return the files it will replace."""
    table = OUTCOMES if manifest.table == OUTCOMES.name else TABLES[manifest.table]
    by_key = state.merged(table, manifest.partition)
    rows = [by_key[key] for key in sorted(by_key)]
    manifest.content = hash_rows(rows)
    name = f"part-{manifest.content[:16]}.parquet"
    folder = folder_of(state.root, manifest.key)
    moves[temporary] = folder / name
    stale = [folder / old for old in manifest.files if old != name]
    manifest.files = {name: write_merged(table, rows, temporary)}
    times = [row[table.time_column] for row in rows]
    manifest.min_ns, manifest.max_ns = min(times), max(times)
    return stale


def _manifest(state: State, table: Table, where: str) -> Manifest:
    """A copy of the partition's manifest to be changed, or a new one."""
    known = state.manifest(f"{table.name}/{where}")
    if known is None:
        return Manifest(table.name, where, table.schema_hash)
    return Manifest(
        known.table, known.partition, known.schema_hash, dict(known.files), dict(known.items), known.content,
        known.min_ns, known.max_ns, known.gaps,
    )  # fmt: skip


def _count_gaps(state: State, changed: dict[str, Manifest]) -> None:
    """Write the number of gaps of the same venue and hour into the manifests of `ticks`."""
    hours = {m.partition for m in changed.values() if m.table in (TICKS.name, GAPS.name)}
    for where in hours:
        gaps = changed.get(f"{GAPS.name}/{where}") or state.manifest(f"{GAPS.name}/{where}")
        ticks = f"{TICKS.name}/{where}"
        known = changed.get(ticks) or state.manifest(ticks)
        count = 0 if gaps is None else gaps.rows
        if known is not None and known.gaps != count:
            changed.setdefault(ticks, _manifest(state, TICKS, where)).gaps = count


def _unlisted(root: Path, listed: dict[str, Listed]) -> list[Path]:
    """Parts that a cut-short commit had moved into place and no manifest came to list."""
    known: set[Path] = set()
    for key in listed:
        folder = folder_of(root, key)
        table = OUTCOMES if _is_outcome(key) else TABLES[key.split("/", 1)[0]]
        known |= {folder / name for name in read_manifest(folder / MANIFEST, table).files}
    places = [path for name in (*TABLES, OUTCOMES.name) for path in (root / name).rglob("part-*.parquet")]
    return [path for path in places if path not in known]


def _is_outcome(key: str) -> bool:
    return key.startswith(f"{OUTCOMES.name}/")
