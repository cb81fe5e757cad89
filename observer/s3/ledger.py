"""What has been sent and seen to be whole, in SQLite beside the spool.

Only a cache: the bucket is the truth. Without it every file is asked for once (HEAD) before it is sent again. A row
is written after the object was verified, so it never says more than the bucket holds.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from observer.kit.console import say
from observer.s3.layout import Entry

_TABLE = """CREATE TABLE IF NOT EXISTS sent (
    path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, copy INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    PRIMARY KEY (path, sha256)) WITHOUT ROWID"""


class Ledger:
    """The sent files of one data folder to one address; used by one thread.

    Args:
        path: the database; a damaged one is laid aside and begun anew.

    Attributes:
        is_new: whether nothing was known when it was opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            aside = path.with_suffix(f".bad-{time.time_ns()}")
            say(f"{path} is damaged ({error}); laid aside as {aside.name}. The bucket is asked instead.")
            path.rename(aside)
            for companion in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + companion).unlink()
            self._open(path)
        self.is_new = not self._copies

    def _open(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=1", "checkpoint_fullfsync=1"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(_TABLE)
        rows = self._db.execute("SELECT path, sha256, copy FROM sent")
        self._copies = {(path, sha256): copy for path, sha256, copy in rows}

    def copy_of(self, path: str, sha256: str) -> int | None:
        """Under which of its keys a file lies in the bucket, or None where that is not known."""
        return self._copies.get((path, sha256))

    def add(self, sent: Iterable[tuple[Entry, int]]) -> None:
        """Note verified files with the copy that holds them; on the disk when this returns."""
        rows = [(entry.path, entry.sha256, entry.bytes, copy, time.time_ns()) for entry, copy in sent]
        if not rows:
            return
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self._copies.update({(row[0], row[1]): row[3] for row in rows})

    def forget(self, entry: Entry) -> None:
        """Note that a file is not in the bucket after all."""
        self._db.execute("DELETE FROM sent WHERE path = ? AND sha256 = ?", (entry.path, entry.sha256))
        self._copies.pop((entry.path, entry.sha256), None)

    def close(self) -> None:
        """Close the database."""
        self._db.close()
