"""The ledger: what it says is on the disk, and it may be lost."""

from pathlib import Path

from observer.s3.layout import Entry
from observer.s3.ledger import Ledger

ENTRY = Entry("ticks/venue=v/date=d/hour=h/part-0.parquet", "a" * 64, 10)


def test_what_was_noted_is_known_after_a_restart(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "l.sqlite")
    first.add([(ENTRY, 2)])
    first.close()

    second = Ledger(tmp_path / "l.sqlite")

    assert first.is_new
    assert not second.is_new
    assert second.copy_of(ENTRY.path, ENTRY.sha256) == 2
    assert second.copy_of(ENTRY.path, "b" * 64) is None
    second.close()


def test_it_is_forced_to_the_disk_at_every_note(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")

    pragmas = {
        name: ledger._db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "fullfsync")
    }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}
    ledger.close()


def test_a_damaged_ledger_is_laid_aside(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    first = Ledger(path)
    first.add([(ENTRY, 1)])
    first.close()
    path.write_bytes(b"not a database" * 100)

    second = Ledger(path)

    assert second.is_new
    assert second.copy_of(ENTRY.path, ENTRY.sha256) is None
    assert len(list(tmp_path.glob("l.bad-*"))) == 1
    second.close()
