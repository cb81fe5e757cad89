"""`data verify` over what the recorder leaves: raw frames, events and waiting segments are checked like the tables."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from observer.compact.compactor import compact
from observer.store.archive import ARCHIVES
from observer.store.verify import verify
from tests.observer.compact.scripted import START_NS, ScriptedRecorder, two_books, window
from tests.observer.compact.test_compactor import RUN_A, play

PLACES = [
    "raw/archive.json", "raw/venue=test/**/manifest.json", "raw/venue=test/**/*.zst", "events/archive.json",
    "events/**/manifest.json", "events/**/*.parquet", "spool/*/wal/*.wal",
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compacted window, and a segment that waits for another."""
    root = tmp_path_factory.mktemp("sound")
    recorder = ScriptedRecorder(root, RUN_A)
    long = two_books(window("long", 0, 900))
    play(recorder, 15, two_books(window("m", 0, 10)), long)
    recorder.stop()
    compact(root, START_NS)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def named(root: Path) -> set[str]:
    return {problem.path for problem in verify(root).problems}


def test_everything_that_lies_there_is_looked_at(sound: Path) -> None:
    verdict = verify(sound)
    files = [p for p in sound.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.parts)]

    assert verdict.problems == []
    assert verdict.files == len(files)
    assert verdict.bytes == sum(path.stat().st_size for path in files)
    assert {place.split("/")[0] for place in PLACES} == {*ARCHIVES, "spool"}


@pytest.mark.parametrize("place", PLACES)
def test_any_flipped_bit_a_cut_and_a_loss_are_named(root: Path, place: str) -> None:
    path = sorted(root.glob(place))[0]
    name, whole = str(path.relative_to(root)), path.read_bytes()
    for position in np.random.default_rng(1).integers(0, len(whole) * 8, size=12).tolist():
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)

        assert named(root) == {name}, position
    path.write_bytes(whole[:-1])
    assert named(root) == {name}
    path.unlink()
    if not place.startswith("spool"):  # a segment that is gone was compacted, as far as anyone can tell
        assert named(root) == {name}


@pytest.mark.parametrize("place", ["raw/x", "events/venue=test/y", "raw/venue=new/date=2027-01-15/hour=07/z.zst"])
def test_a_stray_file_is_named(root: Path, place: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(b"stray")

    assert named(root) == {place}


def test_a_whole_hour_that_is_gone_is_missed(root: Path) -> None:
    for folder in root.glob("raw/venue=test/date=*/hour=*"):
        shutil.rmtree(folder)

    assert all(name.endswith("manifest.json") and name.startswith("raw/venue=test") for name in named(root))
    assert named(root)


def test_archives_alone_are_a_recording_whose_first_window_has_not_closed(tmp_path: Path) -> None:
    recorder = ScriptedRecorder(tmp_path, RUN_A)
    play(recorder, 15, two_books(window("m", 0, 900)))
    recorder.stop()
    compact(tmp_path, START_NS)

    assert not (tmp_path / "dataset.json").exists()
    assert verify(tmp_path).problems == []
    (tmp_path / "ticks").mkdir()
    assert named(tmp_path) == {"dataset.json"}
