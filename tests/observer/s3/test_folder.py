"""What of a data folder is to be sent, and when it may be published."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording
from observer.s3 import layout
from observer.s3.folder import Folder
from observer.s3.layout import Entry, check_path, group_of, unheld
from observer.store import archive, manifest, schemas
from tests.samples.archives import HOUR, add_archive
from tests.samples.recordings import make_recording


def files_below(root: Path) -> dict[str, str]:
    """Path -> hash of all that belongs into a bucket, looked up on the disk."""
    own = (".upload", "spool", ".lock", manifest.COMMITTING)
    found = (path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in own)
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
        if path.name not in (manifest.INDEX, archive.INDEX)
    }


def test_a_shot_names_every_file_but_the_indexes(tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=6)
    add_archive(root, "100-a", b"frames")

    shot = Folder(root).look()

    assert {path: entry.sha256 for path, entry in shot.entries.items()} == files_below(root)
    assert all(entry.bytes == (root / path).stat().st_size for path, entry in shot.entries.items())
    assert set(shot.heads) == {"dataset.json", "outcomes/dataset.json"}
    assert shot.is_settled
    assert not shot.damaged


def test_an_unchanged_folder_is_the_same_shot(tmp_path: Path) -> None:
    folder = Folder(make_recording(tmp_path / "data", windows=2))

    assert folder.look() is folder.look()


def test_new_windows_and_new_archives_are_seen(tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=2)
    folder = Folder(root)
    before = folder.look()

    make_recording(root, windows=3)
    add_archive(root, "100-a", b"frames")
    after = folder.look()

    assert {path: entry.sha256 for path, entry in after.entries.items()} == files_below(root)
    assert len(after.entries) > len(before.entries)
    assert folder.is_still()


def test_a_folder_of_archives_alone_has_no_heads(tmp_path: Path) -> None:
    add_archive(tmp_path, "100-a", b"frames")

    shot = Folder(tmp_path).look()

    assert not shot.heads
    assert f"raw/{HOUR}/100-a.zst" in shot.entries


def test_an_unfinished_commit_is_not_settled(tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=2)
    (root / manifest.COMMITTING).touch()

    shot = Folder(root).look()

    assert not shot.is_settled
    assert shot.entries


def test_a_manifest_that_is_not_the_listed_one_is_damaged(tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=2)
    broken = next((root / "ticks").rglob("manifest.json"))
    broken.write_bytes(broken.read_bytes() + b" ")

    shot = Folder(root).look()

    path = broken.relative_to(root).as_posix()
    assert shot.is_settled
    assert path in shot.damaged
    assert path not in shot.entries


@pytest.mark.parametrize(
    ("old", "new"), [(b'"logs"', b'"Logs"'), (b'"dataset_id": "', b'"dataset_id": "0'), (b"{", b"")]
)
def test_a_damaged_index_is_named(tmp_path: Path, old: bytes, new: bytes) -> None:
    root = make_recording(tmp_path / "data", windows=2)
    index = root / "dataset.json"
    index.write_bytes(index.read_bytes().replace(old, new, 1))
    add_archive(root, "100-a", b"frames")

    shot = Folder(root).look()

    assert set(shot.damaged) == {"dataset.json"}
    assert f"raw/{HOUR}/100-a.zst" in shot.entries  # what can be told is still sent


def test_a_damaged_manifest_of_an_archive_is_named(tmp_path: Path) -> None:
    add_archive(tmp_path, "100-a", b"frames")
    broken = tmp_path / "raw" / HOUR / "manifest.json"
    broken.write_bytes(broken.read_bytes().replace(b'"rows": 1', b'"rows": 2'))

    assert set(Folder(tmp_path).look().damaged) == {f"raw/{HOUR}/manifest.json"}


@pytest.mark.parametrize("path", ["/etc/passwd", "ticks/../../x", "ticks//x", "models/x", "ticks", "raw/./x", "raw/\0"])
def test_a_path_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(BadRecording, match="no file of a recording"):
        check_path(path)


def test_a_later_state_holds_what_an_earlier_one_held() -> None:
    part = Entry("ticks/venue=v/date=d/hour=h/part-0.parquet", "a", 1)
    other = Entry("ticks/venue=v/date=d/hour=h/part-0.parquet", "b", 1)
    merged = Entry("markets/venue=v/date=d/hour=h/part-x.parquet", "c", 1)
    partition = Entry("markets/venue=v/date=d/hour=h/manifest.json", "d", 1)
    raw = Entry("raw/venue=v/date=d/hour=h/1-a.zst", "e", 1)

    assert unheld({part.path: part}, [part]) == []
    assert unheld({part.path: other}, [part]) == [part.path]  # another tape under the same name
    assert unheld({}, [part]) == [part.path]
    assert unheld({}, [merged]) == []  # written anew under another name
    assert unheld({}, [partition]) == [partition.path]
    assert unheld({}, [raw]) == []
    assert unheld({}, [raw], with_archives=True) == [raw.path]


def test_files_are_listed_by_day() -> None:
    assert group_of("ticks/venue=v/date=2026-07-01/hour=04/part-0.parquet") == "recording-2026-07-01"
    assert group_of("raw/venue=v/date=2026-07-01/hour=04/1-a.zst") == "archive-2026-07-01"
    assert group_of("imports/x-1.json") == "recording-undated"


def test_the_layout_is_the_store_s() -> None:
    grows = {name: table.grows for name, table in schemas.TABLES.items()}

    assert set(layout.APPENDED) == {name for name, how in grows.items() if how == "append"}
    assert set(layout.MERGED) == {name for name, how in grows.items() if how == "merged"} | {schemas.OUTCOMES.name}
    assert set(layout.ARCHIVES) == set(archive.ARCHIVES)
    assert (layout.INDEX, layout.MANIFEST, layout.LOGS) == (manifest.INDEX, manifest.MANIFEST, manifest.LOGS)
    assert (manifest.COMMITTING, schemas.OUTCOMES.name) == (layout.COMMITTING, layout.OUTCOMES)
    assert (layout.ARCHIVE_INDEX, layout.ARCHIVE_FORMAT) == (archive.INDEX, archive.FORMAT)


def test_the_uploader_needs_no_pyarrow() -> None:
    code = "import observer.s3.uploader, sys; sys.exit(any(m in sys.modules for m in ('pyarrow', 'numpy', 'boto3')))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
