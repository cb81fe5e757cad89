"""A recording whose raw frames and events were pruned after their upload: everything that reads it copes, honestly."""

import json
import shutil
from pathlib import Path

import pytest

from observer.cli import data
from observer.compact.compactor import compact
from observer.compact.rebuild import rebuild
from observer.kit.errors import BadRecording, UsageError
from observer.store.archive import ARCHIVES, archived_hours
from observer.store.pruned import PRUNED, Pruned, kept_in_s3, note_pruned, read_pruned
from observer.store.verify import verify
from tests.observer.compact.scripted import START_NS, ScriptedRecorder, two_books, window
from tests.observer.compact.test_compactor import RUN_A, play

PLACE = "s3://recordings/observer"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A window that is written, and a segment that waits for another."""
    root = tmp_path_factory.mktemp("made")
    recorder = ScriptedRecorder(root, RUN_A)
    play(recorder, 15, two_books(window("m", 0, 10)), two_books(window("long", 0, 900)))
    recorder.stop()
    compact(root, START_NS)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def prune(root: Path) -> int:
    """Record and delete every raw file and every file of events; how many."""
    files = 0
    for name in ARCHIVES:
        for partition, hour in archived_hours(root, name).items():
            folder = root / name / partition
            note_pruned(folder, {file: Pruned(entry.sha256, PLACE) for file, entry in hour.items()})
            for file in hour:
                (folder / file).unlink()
                files += 1
    assert files > 2
    return files


def asked(*args: str | Path, capsys: pytest.CaptureFixture[str]) -> dict:
    assert data.main([*map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_verify_counts_them_and_calls_nothing_damaged(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(e.bytes for name in ARCHIVES for hour in archived_hours(root, name).values() for e in hour.values())
    before = verify(root)
    files = prune(root)

    after = verify(root)
    code = data.main(["verify", "--data-dir", str(root)])
    text = capsys.readouterr().out

    assert after.problems == []
    assert (after.in_s3_files, after.in_s3_bytes, after.in_s3) == (files, total, [PLACE])
    assert after.files == before.files - files + len(list(root.rglob(PRUNED)))
    assert code == 0
    assert f"{files} files, {total} bytes, of raw frames and events are kept in S3 only" in text
    assert f"mlx-rl sync {PLACE} OTHER_DIR" in text


def test_verify_still_names_what_is_missing_without_a_record_or_under_another_hash(root: Path) -> None:
    lost, other = sorted((root / "raw").rglob("*.zst"))[:2]
    lost.unlink()
    other.unlink()
    note_pruned(other.parent, {other.name: Pruned("0" * 64, PLACE)})

    assert {p.path for p in verify(root).problems} == {str(path.relative_to(root)) for path in (lost, other)}


def test_verify_names_a_damaged_record(root: Path) -> None:
    files = prune(root)
    record = sorted(root.rglob(PRUNED))[0]
    record.write_bytes(record.read_bytes()[:-2])

    found = verify(root)

    assert str(record.relative_to(root)) in {problem.path for problem in found.problems}
    assert found.in_s3_files + len(found.problems) == files + 1
    with pytest.raises(BadRecording, match="pruned.json is damaged"):
        read_pruned(record.parent)


def test_du_tells_the_same_day_wherever_its_bytes_lie(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = asked("du", "--data-dir", root, capsys=capsys)
    prune(root)
    records = sum(path.stat().st_size for path in root.rglob(PRUNED))

    after = asked("du", "--data-dir", root, capsys=capsys)
    data.main(["du", "--data-dir", str(root)])

    assert after["bytes"] == before["bytes"] + records
    assert after["days"] == before["days"]
    assert after["in_s3_bytes"] == sum(
        entry.bytes for name in ARCHIVES for hour in archived_hours(root, name).values() for entry in hour.values()
    )
    assert before["in_s3_bytes"] == 0
    assert f"{after['in_s3_bytes']:,} of them kept in S3 only" in capsys.readouterr().out


def test_the_report_is_the_same(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = asked("report", "--data-dir", root, capsys=capsys)
    prune(root)

    assert asked("report", "--data-dir", root, capsys=capsys) == before


def test_a_rebuild_says_what_it_lacks_and_from_where(root: Path, tmp_path: Path) -> None:
    prune(root)

    with pytest.raises(UsageError, match=rf"2 of the 2 raw files .* in S3 only.*mlx-rl sync {PLACE} OTHER_DIR"):
        rebuild(root, tmp_path / "again", {}, START_NS)
    assert not (tmp_path / "again").exists()


def test_a_rebuild_refuses_to_go_on_without_a_file_that_is_lost(root: Path, tmp_path: Path) -> None:
    lost = sorted((root / "raw").rglob("*.zst"))[0]
    lost.unlink()

    with pytest.raises(BadRecording, match=rf"lacks 1 of its 2 raw files, the first is {lost}"):
        rebuild(root, tmp_path / "again", {}, START_NS)


def test_a_segment_that_outlives_its_pruned_files_does_not_bring_them_back(root: Path) -> None:
    assert list(root.glob("spool/*/wal/*.wal"))  # it waits for the long window
    hours = {name: archived_hours(root, name) for name in ARCHIVES}
    prune(root)

    done = compact(root, START_NS)  # another process: it reads the segment again

    assert done.segments == 1
    assert not [path for name, ending in ARCHIVES.items() for path in (root / name).rglob(f"*{ending}")]
    assert {name: archived_hours(root, name) for name in ARCHIVES} == hours
    assert verify(root).problems == []


def test_a_record_names_more_and_more_and_says_nothing_of_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    note_pruned(tmp_path, {"here": Pruned("1" * 64, PLACE), "a": Pruned("2" * 64, PLACE)})
    note_pruned(tmp_path, {"b": Pruned("3" * 64, "s3://other")})

    listed = {"here": "1" * 64, "a": "2" * 64, "b": "3" * 64, "never": "4" * 64}

    assert set(read_pruned(tmp_path)) == {"here", "a", "b"}
    assert kept_in_s3(tmp_path, listed) == {"a": PLACE, "b": "s3://other"}
    assert kept_in_s3(tmp_path, {**listed, "a": "5" * 64}) == {"b": "s3://other"}
