"""One flipped bit, in any file of a recording, is noticed and named; so is a cut, a lost and a stray file."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from observer.kit.errors import BadRecording, UsageError
from observer.records import BUY, UP
from observer.store.files import to_json_bytes
from observer.store.manifest import COMMITTING
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from observer.store.trades import Trades
from observer.store.verify import verify
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape

TABLES = ("ticks", "book", "trades", "reference", "markets", "gaps", "outcomes")
KINDS = [
    *(f"{table}/part" for table in TABLES), *(f"{table}/manifest" for table in TABLES),
    "dataset.json", "outcomes/dataset.json", "imports",
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    tape = make_tape(1, 80, ladder=True)
    name, start = tape.market.market_id, tape.market.open_ns
    with RecordingWriter(root) as writer:
        one = np.array([start])
        code = np.array([UP], np.int8)
        trades = Trades(one, one, code, np.array([BUY], np.int8), np.array([0.5]), np.array([2.0]))
        writer.write_tape(tape, trades)
        writer.write_reference("BTC", "spot", tape.recv_ns, tape.recv_ns, np.full(len(tape), 9e4))
        writer.write_gap(name, start, start + 1, "no ticks")
        writer.write_outcome(name, 1.0, "synthetic", "test")
        writer.write_log("test", {"seen": 1})
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def pick(root: Path, kind: str) -> Path:
    """The file of that kind; each is there once."""
    patterns = {"imports": "imports/*.json", "dataset.json": "dataset.json", "outcomes/dataset.json": kind}
    table, _, what = kind.partition("/")
    pattern = patterns.get(kind) or f"{table}/venue=*/date=*/hour=*/{'part-*' if what == 'part' else 'manifest.json'}"
    (path,) = root.glob(pattern)
    return path


def named(root: Path) -> set[str]:
    return {problem.path for problem in verify(root).problems}


def test_a_sound_recording_has_no_problem_and_every_file_was_looked_at(sound: Path) -> None:
    verdict = verify(sound)
    files = [path for path in sound.rglob("*") if path.is_file() and path.name != ".lock"]

    assert verdict.problems == []
    assert verdict.files >= len(files) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_bit_is_named(root: Path, kind: str) -> None:
    path = pick(root, kind)
    sound = path.read_bytes()
    for position in np.random.default_rng(len(kind)).integers(0, len(sound) * 8, size=12).tolist():
        damaged = bytearray(sound)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)

        assert str(path.relative_to(root)) in named(root), position


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_named(root: Path, kind: str) -> None:
    path = pick(root, kind)
    path.write_bytes(path.read_bytes()[:-1])

    assert str(path.relative_to(root)) in named(root)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_file_is_named(root: Path, kind: str) -> None:
    path = pick(root, kind)
    path.unlink()

    assert str(path.relative_to(root)) in named(root)


def test_lost_outcomes_are_named_although_no_reader_misses_them(root: Path) -> None:
    shutil.rmtree(root / "outcomes")

    assert named(root) == {"outcomes/dataset.json"}
    Recording(root)


@pytest.mark.parametrize(
    "place", ["ticks/venue=test/date=2025-12-29/hour=13/part-0.parquet", "outcomes/x", "imports/y"]
)
def test_a_stray_file_is_named(root: Path, place: str) -> None:
    (root / place).write_bytes(b"stray")

    problems = verify(root).problems
    assert [(p.path, "listed nowhere" in p.what) for p in problems] == [(place, True)]


def test_a_commit_cut_short_is_named(root: Path) -> None:
    (root / COMMITTING).touch()

    assert [(p.path, p.what) for p in verify(root).problems] == [(COMMITTING, "an import was cut short; run it again")]


def test_no_folder_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder. Pass --data-dir"):
        verify(tmp_path / "nothing")


def test_a_manifest_of_another_schema_or_shape_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from observer.store import schemas

    monkeypatch.setattr(schemas, "FORMAT", "mlx-rl-recording/2")  # every schema hash changes with it

    assert all("written as mlx-rl-recording/1 with schema" in p.what for p in verify(root).problems)
    assert len(verify(root).problems) == len(TABLES)
    with pytest.raises(BadRecording, match="Import the source again into a new data folder"):
        Recording(root)


@pytest.mark.parametrize("kind", ["ticks/part", "book/part", "markets/part"])
def test_the_reader_refuses_a_damaged_page_or_a_lost_file(root: Path, kind: str) -> None:
    path = pick(root, kind)
    name = Recording(root).markets()[0].market_id
    data = bytearray(path.read_bytes())
    data[40] ^= 4  # inside the first page
    path.write_bytes(data)
    with pytest.raises(BadRecording, match=rf"{path.name} is missing or damaged .*mlx-rl data verify"):
        Recording(root).tape(name)
    path.unlink()

    with pytest.raises(BadRecording, match=rf"{path.name} is missing or damaged"):
        Recording(root).tape(name)


def test_the_reader_refuses_damaged_manifests_and_indexes(root: Path) -> None:
    manifest, index = pick(root, "ticks/manifest"), root / "dataset.json"
    sound = manifest.read_bytes()
    manifest.write_bytes(sound.replace(b'"rows": 80', b'"rows": 81'))
    with pytest.raises(BadRecording, match="is not the one that dataset.json lists: it is missing or damaged"):
        Recording(root)
    manifest.write_bytes(sound)
    whole = index.read_bytes()
    for broken, message in (
        (whole.replace(b'"dataset_id": "', b'"dataset_id": "0'), "does not match its own hash"),
        (whole[:-9], "is damaged: not JSON"),
        (b"[]\n", "a JSON list, expected an object"),
    ):
        index.write_bytes(broken)
        with pytest.raises(BadRecording, match=message):
            Recording(root)


def test_damaged_outcomes_are_refused(root: Path) -> None:
    pick(root, "outcomes/manifest").write_bytes(b"{}")

    with pytest.raises(BadRecording, match="is not the one that dataset.json lists"):
        read_outcomes(root)


def test_an_index_that_binds_other_manifests_is_refused(root: Path) -> None:
    """Somebody rewrote the manifests and their hashes, but not the content's."""
    from observer.store.manifest import load, read_index

    index = read_index(root)
    index.dataset_id = "0" * 64
    (root / "dataset.json").write_bytes(index.to_bytes())
    with pytest.raises(BadRecording, match="the dataset id does not match the manifests"):
        load(root)

    import hashlib

    manifest = pick(root, "ticks/manifest")
    manifest.write_bytes(to_json_bytes({"format": "mlx-rl-recording/1"}))
    index.partitions[str(manifest.parent.relative_to(root))] = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (root / "dataset.json").write_bytes(index.to_bytes())
    with pytest.raises(BadRecording, match="is not a manifest"):
        load(root)
