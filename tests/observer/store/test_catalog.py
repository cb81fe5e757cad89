"""A writer of a long recording reads what it touches, and still knows the rest."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording
from observer.records import Tape
from observer.store import catalog, state
from observer.store import commit as commit_module
from observer.store.catalog import FILE
from observer.store.reader import Recording
from observer.store.verify import verify
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


@pytest.fixture(autouse=True)
def every_recording_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MIN_ON_DISK", 1)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the manifests that were read."""
    keys: list[str] = []
    for module in (catalog, state):
        plain = module.read_listed
        monkeypatch.setattr(
            module, "read_listed", lambda root, key, sha256, plain=plain: keys.append(key) or plain(root, key, sha256)
        )
    return keys


def write(root: Path, *tapes: Tape) -> RecordingWriter:
    with RecordingWriter(root) as writer:
        for tape in tapes:
            writer.write_tape(tape)
    return writer


def hourly(n: int) -> list[Tape]:
    return [make_tape(1, 20, index=4 * i) for i in range(n)]


def test_a_commit_reads_as_many_manifests_after_a_month_as_after_a_day(tmp_path: Path, read: list[str]) -> None:
    tapes = hourly(40)
    write(tmp_path, *tapes[:30])
    write(tmp_path, tapes[30])  # makes the catalog
    counts: list[int] = []
    for tape in tapes[31:]:
        read.clear()
        write(tmp_path, tape)
        counts.append(len(read))

    assert counts == [0] * 9
    assert [t.market.market_id for t in Recording(tmp_path).tapes()] == [t.market.market_id for t in tapes]


def test_the_dataset_is_the_same_with_and_without_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tapes = hourly(8)
    for tape in tapes:
        write(tmp_path / "with", tape)
    monkeypatch.setattr(catalog, "MIN_ON_DISK", 10**9)
    write(tmp_path / "without", *tapes)

    assert (tmp_path / "with" / FILE).exists()
    assert not (tmp_path / "without" / FILE).exists()
    assert Recording(tmp_path / "with").dataset_id == Recording(tmp_path / "without").dataset_id
    assert verify(tmp_path / "with").problems == []


def test_a_market_in_another_hour_under_the_same_name_is_refused(tmp_path: Path) -> None:
    tapes = hourly(6)
    write(tmp_path, *tapes[:5])
    write(tmp_path, tapes[5])
    moved = replace(tapes[5], market=replace(tapes[5].market, market_id=tapes[0].market.market_id))

    with pytest.raises(BadRecording, match="already holds other ticks under this name"):
        write(tmp_path, moved)


@pytest.mark.parametrize("damage", [b"", b"no database at all", None])
def test_a_lost_or_damaged_catalog_is_made_anew(tmp_path: Path, damage: bytes | None, read: list[str]) -> None:
    tapes = hourly(6)
    write(tmp_path, *tapes[:4])
    write(tmp_path, tapes[4])
    (tmp_path / FILE).unlink()
    if damage is not None:
        (tmp_path / FILE).write_bytes(damage)
    read.clear()
    write(tmp_path, tapes[5])

    assert len(read) == 2 * 5  # ticks and markets of each hour
    assert len(list(Recording(tmp_path).tapes())) == 6
    read.clear()
    assert write(tmp_path, tapes[5]).summary.changed is False
    assert set(read) == {key for key in read if "hour=18" in key}


def test_a_catalog_with_a_damaged_page_is_made_anew(tmp_path: Path) -> None:
    tapes = hourly(6)
    write(tmp_path, *tapes[:4])
    write(tmp_path, tapes[4])
    data = bytearray((tmp_path / FILE).read_bytes())
    data[4096:-4096] = b"\xaa" * (len(data) - 8192)
    (tmp_path / FILE).write_bytes(data)

    write(tmp_path, tapes[5])

    write(tmp_path / "expected", *tapes)
    assert Recording(tmp_path).dataset_id == Recording(tmp_path / "expected").dataset_id


def test_a_catalog_of_another_recording_follows_the_one_that_is_there(tmp_path: Path) -> None:
    write(tmp_path / "one", *hourly(3))
    write(tmp_path / "one", *hourly(4))
    other = [make_tape(2, 30, index=4 * i) for i in range(6)]
    write(tmp_path / "two", *other[:5])
    shutil.copy(tmp_path / "one" / FILE, tmp_path / "two" / FILE)

    write(tmp_path / "two", other[5])

    write(tmp_path / "expected", *other)
    assert Recording(tmp_path / "two").dataset_id == Recording(tmp_path / "expected").dataset_id


def test_a_manifest_that_was_changed_or_lost_is_noticed_when_a_writer_opens(tmp_path: Path) -> None:
    tapes = hourly(4)
    write(tmp_path, *tapes[:2])
    write(tmp_path, tapes[2])
    manifest = next(tmp_path.glob("ticks/**/hour=13/manifest.json"))
    sound = manifest.read_bytes()
    for damage in (sound.replace(b"0", b"1", 1), sound[:-1], None):
        manifest.unlink(missing_ok=True)
        if damage is not None:
            manifest.write_bytes(damage)
        with pytest.raises(BadRecording, match="is not the one that dataset.json lists"):
            write(tmp_path, tapes[3])

    manifest.write_bytes(sound)
    write(tmp_path, tapes[3])
    assert len(list(Recording(tmp_path).tapes())) == 4


@pytest.mark.parametrize("cut", ["_write_manifests", "write_index"])
def test_a_commit_cut_short_is_completed_with_a_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    tapes = hourly(5)
    write(tmp_path, *tapes[:3])
    write(tmp_path, tapes[3])

    def fail(*_: object) -> None:
        raise OSError("power")

    with monkeypatch.context() as patch:
        patch.setattr(commit_module, cut, fail)
        with pytest.raises(OSError, match="power"):
            write(tmp_path, tapes[4])
    write(tmp_path, tapes[4])

    write(tmp_path / "expected", *tapes)
    assert Recording(tmp_path).dataset_id == Recording(tmp_path / "expected").dataset_id
    assert verify(tmp_path).problems == []
