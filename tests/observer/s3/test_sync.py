"""Bringing a recording down: whole, verified, resumable, and never over other recorded data."""

import json
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording, UsageError
from observer.s3 import sync as sync_module
from observer.s3.bucket import Bucket
from observer.s3.errors import OtherRecording, StoreError
from observer.s3.published import Published, find_newest
from observer.s3.sync import Archives, Synced, is_fresh, newest_index, sync
from observer.s3.uploader import Uploader
from observer.store.archive import archived_hours
from observer.store.files import FolderLock
from observer.store.outcomes import read_outcomes
from observer.store.pruned import PRUNED
from observer.store.reader import Recording
from observer.store.verify import verify
from tests.observer.s3.conftest import BUCKET
from tests.samples.archives import add_archive
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording

INDEXES = ("dataset.json", "outcomes/dataset.json", "raw/archive.json", "events/archive.json")
OWN = {".upload", "spool", ".lock"}


def upload(root: Path, bucket: Bucket) -> None:
    uploader = Uploader(root, bucket, publish_every_s=0.0)
    uploader.step()
    uploader.close()


def bring(bucket: Bucket, folder: Path, *, archives: Archives = "whole") -> Synced:
    return sync(bucket, folder, newest_index(bucket), archives=archives)


def content(root: Path) -> dict[str, bytes]:
    """Every file of a data folder by path, without what uploader and locks keep there."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in found if p.relative_to(root).parts[0] not in OWN}


@pytest.fixture
def root(tmp_path: Path, bucket: Bucket) -> Path:
    """An uploaded recording with archives."""
    root = make_recording(tmp_path / "data", windows=5)
    add_archive(root, "100-a", b"frames" * 50)
    upload(root, bucket)
    return root


def test_what_comes_down_is_what_went_up(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    done = bring(bucket, tmp_path / "copy")

    assert content(tmp_path / "copy") == content(root)
    assert verify(tmp_path / "copy").problems == []
    assert Recording(tmp_path / "copy").dataset_id == Recording(root).dataset_id == done.dataset_id
    assert read_outcomes(tmp_path / "copy") == read_outcomes(root)
    assert archived_hours(tmp_path / "copy", "raw") == archived_hours(root, "raw")
    assert done.fetched_files == done.files


def test_only_what_is_missing_is_fetched(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    bring(bucket, tmp_path / "copy")
    again = bring(bucket, tmp_path / "copy")
    make_recording(root, windows=6)
    upload(root, bucket)

    more = bring(bucket, tmp_path / "copy")

    assert (again.fetched_files, again.fetched_bytes) == (0, 0)
    assert 0 < more.fetched_files < more.files
    assert content(tmp_path / "copy") == content(root)  # the old files of merged partitions are gone
    assert verify(tmp_path / "copy").problems == []


def test_archives_may_be_left_out(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    bring(bucket, tmp_path / "copy", archives="none")

    assert not (tmp_path / "copy" / "raw").exists()
    assert Recording(tmp_path / "copy").dataset_id == Recording(root).dataset_id


def test_damaged_and_lost_files_are_brought_again(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    bring(bucket, copy)
    victims = sorted(path for path in copy.rglob("*") if path.is_file() and path.relative_to(copy).parts[0] not in OWN)
    for i, path in enumerate(victims):
        raw = path.read_bytes()
        path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:]) if i % 2 else path.unlink()

    bring(bucket, copy)

    assert content(copy) == content(root)


def test_a_sync_that_broke_off_goes_on_from_there(
    bucket: Bucket, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, read, keys = tmp_path / "copy", bucket.read, list[str]()

    def fail_after_nine(key: str):
        keys.append(key)
        if len(keys) > 9:
            raise StoreError(key, "ReadTimeoutError")
        return read(key)

    monkeypatch.setattr(bucket, "read", fail_after_nine)
    with pytest.raises(StoreError):
        bring(bucket, copy)
    monkeypatch.undo()
    there = content(copy)
    done = bring(bucket, copy)

    assert there
    assert "dataset.json" not in there  # nobody takes it for a recording
    assert done.fetched_files == done.files - len(there)
    assert content(copy) == content(root)


def test_a_sync_cut_short_in_its_last_step_says_so_and_is_completed(
    bucket: Bucket, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    bring(bucket, copy)
    make_recording(root, windows=6)
    upload(root, bucket)

    def power_cut(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    rename = Path.replace
    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", lambda p, t: power_cut(p, t) if p.name.endswith(".new") else rename(p, t))
        with pytest.raises(KeyboardInterrupt):
            bring(bucket, copy)

    assert (copy / ".committing").exists()
    bring(bucket, copy)
    assert content(copy) == content(root)


def test_a_manifest_left_by_a_sync_that_broke_off_is_not_taken_for_a_new_one(
    bucket: Bucket, root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    bring(bucket, copy)
    manifest = next((copy / "ticks").rglob("manifest.json"))
    manifest.with_name(".manifest.json.new").write_bytes(b"of an older index")
    (copy / ".committing").touch()

    bring(bucket, copy)

    assert content(copy) == content(root)


def test_wrong_bytes_in_the_bucket_are_never_put_in_place(
    quirky: QuirkServer, bucket: Bucket, root: Path, tmp_path: Path
) -> None:
    path = next(path for path in quirky.objects if "/ticks/" in path and path.endswith(".parquet"))
    data, metadata = quirky.objects[path]
    quirky.objects[path] = data[:-1] + b"x", metadata

    with pytest.raises(BadRecording, match=r"ticks/.* is not what the index names: its SHA-256 differs"):
        bring(bucket, tmp_path / "copy")

    there = content(tmp_path / "copy")
    parts = {name: raw for name, raw in there.items() if not name.endswith("/.manifest.json.new")}
    assert parts.items() < content(root).items()


def test_a_folder_with_more_than_the_bucket_is_refused(bucket: Bucket, root: Path) -> None:
    make_recording(root, windows=6)
    before = content(root)

    with pytest.raises(OtherRecording, match="Nothing was changed"):
        bring(bucket, root)

    assert content(root) == before


def test_a_folder_with_another_recording_is_refused(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    other = make_recording(tmp_path / "other", windows=5, missing_frac=0.5)

    with pytest.raises(OtherRecording, match=r"holds recorded data that s3://recordings/pre/fix lacks"):
        bring(bucket, other)


def test_a_folder_with_other_archives_is_refused(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    add_archive(tmp_path / "copy", "999-z", b"of another machine")

    with pytest.raises(OtherRecording, match="999-z"):
        bring(bucket, tmp_path / "copy")


def test_a_folder_in_use_is_not_touched(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.take()

    with pytest.raises(UsageError, match="written by another process"):
        bring(bucket, tmp_path)

    lock.release()


def test_a_reader_follows_one_index_while_uploads_go_on(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    before, id_before = newest_index(bucket), Recording(root).dataset_id
    make_recording(root, windows=9)
    upload(root, bucket)

    done = sync(bucket, tmp_path / "copy", before)

    assert done.dataset_id == id_before == Recording(tmp_path / "copy").dataset_id
    assert verify(tmp_path / "copy").problems == []


def test_what_was_damaged_before_it_was_sent_is_named(bucket: Bucket, tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=5)
    hurt = next((root / "ticks").rglob("part-*.parquet"))
    hurt.write_bytes(hurt.read_bytes()[:-1] + b"x")
    upload(root, bucket)

    done = bring(bucket, tmp_path / "copy")

    assert set(done.damaged) == {hurt.relative_to(root).as_posix()}
    assert [problem.what for problem in verify(tmp_path / "copy").problems] == ["is missing"]


def test_an_empty_prefix_holds_no_recording(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match=r"holds no recording \(index/ is empty\)"):
        bring(bucket, tmp_path / "copy")


def test_heads_that_do_not_fit_are_refused(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    true = newest_index(bucket)
    heads = json.loads(json.dumps(true.heads))
    heads["dataset.json"]["dataset_id"] = "0" * 64

    with pytest.raises(BadRecording, match=r"published dataset.json does not match its own hash"):
        sync(bucket, tmp_path / "copy", Published(heads, {}, true.lists))

    assert not (tmp_path / "copy" / "dataset.json").exists()


def test_a_list_that_names_files_elsewhere_is_refused(quirky: QuirkServer, bucket: Bucket, tmp_path: Path) -> None:
    from observer.s3.courier import Courier
    from observer.s3.layout import Entry
    from observer.s3.probe import Abilities
    from observer.s3.publisher import Publisher

    evil = Entry("ticks/../../../evil", "0" * 64, 1)
    Publisher(Courier(bucket, Abilities("honoured", "checked", False))).publish({evil.path: evil}, {}, {})

    with pytest.raises(BadRecording, match="no file of a recording"):
        bring(bucket, tmp_path / "copy")

    assert find_newest(bucket)[0] is not None
    assert f"/{BUCKET}/pre/fix/ticks" not in quirky.objects


def test_archives_may_stay_in_the_bucket_with_a_record_of_it(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"

    done = bring(bucket, copy, archives="listed")
    verdict = verify(copy)
    bring(bucket, copy)

    assert verdict.problems == []
    assert (verdict.in_s3_files, verdict.in_s3) == (2, [str(bucket.address)])
    assert done.files == len(content(root)) - 2 - len(INDEXES)
    whole = {path: data for path, data in content(copy).items() if not path.endswith(PRUNED)}
    assert whole == content(root)


def test_a_replaced_box_goes_on_in_the_same_hour_and_loses_nothing(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    bring(bucket, new, archives="listed")
    make_recording(new, windows=6)
    add_archive(new, "200-b", b"more frames")  # in the hour that the first box was in

    uploader = Uploader(new, bucket, publish_every_s=0.0, keep_local_s=0.0)
    uploader.step()
    uploader.close()
    bring(bucket, tmp_path / "copy")

    assert uploader.status.failures == {}
    assert verify(new).problems == []
    assert verify(new).in_s3_files == 4
    assert verify(tmp_path / "copy").problems == []
    assert {path.stem for path in (tmp_path / "copy" / "raw").rglob("*.zst")} == {"100-a", "200-b"}
    assert Recording(tmp_path / "copy").dataset_id == Recording(new).dataset_id != Recording(root).dataset_id


def test_archives_that_are_only_here_are_not_dropped_for_those_that_are_listed(bucket: Bucket, root: Path) -> None:
    add_archive(root, "200-b", b"more frames")
    before = content(root)

    with pytest.raises(OtherRecording, match="200-b"):
        bring(bucket, root, archives="listed")

    assert content(root) == before


def test_a_folder_is_fresh_until_something_was_recorded_into_it(
    bucket: Bucket, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, commit = tmp_path / "copy", sync_module.write_whole
    assert is_fresh(copy)
    (copy / "spool" / "run").mkdir(parents=True)
    assert is_fresh(copy)

    def stop_at_the_index(path: Path, data: bytes) -> None:
        if path.name == "dataset.json":
            raise KeyboardInterrupt
        commit(path, data)

    monkeypatch.setattr(sync_module, "write_whole", stop_at_the_index)
    with pytest.raises(KeyboardInterrupt):
        bring(bucket, copy, archives="listed")
    assert (copy / "raw" / "archive.json").exists()
    assert is_fresh(copy)  # the next start goes on with it
    monkeypatch.undo()
    bring(bucket, copy, archives="listed")
    assert not is_fresh(copy)

    log = tmp_path / "other" / "spool" / "run" / "wal"
    log.mkdir(parents=True)
    (log / "1.wal.open").touch()
    assert not is_fresh(tmp_path / "other")
    (tmp_path / "other" / ".committing").touch()  # the compactor's: it still has the segment
    assert not is_fresh(tmp_path / "other")
