"""What a writer must know of every partition without reading it: how it is listed, and where each market lies.

Weeks of recording are thousands of manifests; reading them all at each commit takes half a minute and a gigabyte (a
month of 200 quarter-hour markets). The catalog holds one line for each, and one for each market, in SQLite beside the
recording (`.catalog.sqlite`; in memory while the recording is small).

It is a cache, and the index is the truth: a manifest that is not listed by the hash in the catalog, or whose file has
another size or time, is read again and checked; a catalog that is lost or damaged is made anew.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from observer.store.manifest import MANIFEST, Listed, Manifest, folder_of, read_listed
from observer.store.schemas import TICKS

FILE = ".catalog.sqlite"
MIN_ON_DISK = 200  # manifests; below, reading them is as quick
_TABLES = """
create table if not exists partitions (
    number integer primary key, key text unique, sha256 text, schema_hash text, content text, bytes int, mtime_ns int);
create table if not exists markets (id text primary key, number int) without rowid;
create index if not exists by_number on markets (number);
"""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A manifest's file as it was when it was read."""

    sha256: str
    bytes: int
    mtime_ns: int


class Catalog:
    """Lines about all partitions of a recording, outcomes included.

    Args:
        root: the recording.
        indexed: manifest key -> hash of its bytes, as the indexes list it.

    Raises:
        BadRecording: a manifest that has to be read is missing or damaged.
    """

    def __init__(self, root: Path, indexed: dict[str, str]) -> None:
        self._root = root
        self._path = root / FILE
        self._db = self._opened(len(indexed) >= MIN_ON_DISK)
        try:
            self._follow(indexed)
        except BaseException:
            self._db.close()
            raise

    def listed(self) -> dict[str, Listed]:
        """How every partition is listed, by manifest key."""
        rows = self._db.execute("select key, sha256, schema_hash, content from partitions")
        return {key: Listed(*line) for key, *line in rows}

    def partition_of_market(self, market_id: str) -> str | None:
        """The partition that holds a market's ticks, or None."""
        asked = "select key from markets join partitions using (number) where id = ?"
        found = self._db.execute(asked, (market_id,)).fetchone()
        return None if found is None else found[0].split("/", 1)[1]

    def update(self, changed: Iterable[Manifest], listed: dict[str, Listed]) -> None:
        """These manifests have been written, and are listed so."""
        with self._db:
            for manifest in changed:
                self._put(manifest, listed[manifest.key].sha256)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _opened(self, is_large: bool) -> sqlite3.Connection:
        if not is_large:
            self._path.unlink(missing_ok=True)
            return _database(":memory:")
        try:
            return _database(self._path)
        except sqlite3.DatabaseError:  # damaged: it is only a cache
            self._path.unlink()
            return _database(self._path)

    def _follow(self, indexed: dict[str, str]) -> None:
        """Read what the catalog does not know, and forget what is no longer listed."""
        rows = self._db.execute("select key, sha256, bytes, mtime_ns from partitions")
        known = {key: _Stamp(*stamp) for key, *stamp in rows}
        with self._db:
            for key in known.keys() - indexed.keys():
                self._remove(key)
            for key, sha256 in indexed.items():
                path = self._file(key)
                if key not in known or not path.is_file() or known[key] != _stamp(path, sha256):
                    self._put(read_listed(self._root, key, sha256), sha256)

    def _file(self, key: str) -> Path:
        return folder_of(self._root, key) / MANIFEST

    def _put(self, manifest: Manifest, sha256: str) -> None:
        self._remove(manifest.key)
        stamp = _stamp(self._file(manifest.key), sha256)
        added = self._db.execute(
            "insert into partitions values (null, ?, ?, ?, ?, ?, ?)",
            (manifest.key, stamp.sha256, manifest.schema_hash, manifest.content, stamp.bytes, stamp.mtime_ns),
        )
        if manifest.table == TICKS.name:
            places = [(market_id, added.lastrowid) for market_id in manifest.items]
            self._db.executemany("insert or replace into markets values (?, ?)", places)

    def _remove(self, key: str) -> None:
        number = "(select number from partitions where key = ?)"
        self._db.execute(f"delete from markets where number = {number}", (key,))
        self._db.execute("delete from partitions where key = ?", (key,))


def _stamp(path: Path, sha256: str) -> _Stamp:
    status = path.stat()
    return _Stamp(sha256, status.st_size, status.st_mtime_ns)


def _database(path: Path | str) -> sqlite3.Connection:
    """A database with our tables, every commit on the disk; raises `sqlite3.DatabaseError` where it is none."""
    database = sqlite3.connect(path)
    try:
        database.execute("pragma synchronous = full")
        database.executescript(_TABLES)
        if database.execute("pragma quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError(f"{path} is damaged")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
