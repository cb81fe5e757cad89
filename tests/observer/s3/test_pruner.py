"""Raw frames and events leave the disk once the bucket is known to keep them, and not one byte before."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording
from observer.s3 import pruner as pruner_module
from observer.s3.address import content_key
from observer.s3.bucket import Bucket
from observer.s3.published import find_newest, read_list
from observer.s3.sync import newest_index, sync
from observer.s3.uploader import Uploader
from observer.store.archive import ARCHIVES, Archive, archived_hours
from observer.store.filesystem import Space
from observer.store.pruned import FORMAT, PRUNED, read_pruned
from observer.store.sealed import seal
from observer.store.verify import verify
from tests.observer.s3.conftest import BUCKET, bucket_at
from tests.samples.archives import HOUR, add_archive
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording

DAY_S = 86_400
FRAMES = b"frames" * 50
LATER = "venue=test/date=2025-12-29/hour=14"
ROOMY, SHORT = Space(1000 << 30, 900 << 30), Space(1000 << 30, 100 << 30)


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the machine that runs these tests plays no part."""
    disk_has(monkeypatch, ROOMY)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A recording with archives of three segments, eight, two and no days old."""
    root = make_recording(tmp_path / "data", windows=2)
    for segment, hour, days in (("100-a", HOUR, 8.0), ("200-b", HOUR, 2.0), ("300-c", LATER, 0.0)):
        add_archive(root, segment, FRAMES + segment.encode(), hour)
        for path in root.rglob(f"{segment}.*"):
            written_s = time.time() - days * DAY_S
            os.utime(path, (written_s, written_s))
    return root


def disk_has(monkeypatch: pytest.MonkeyPatch, space: Space) -> None:
    monkeypatch.setattr(type(pruner_module.REAL), "space", lambda self, path: space)


def uploader_of(root: Path, bucket: Bucket, keep_days: float | None, publish_every_s: float = 0.0) -> Uploader:
    keep_s = None if keep_days is None else keep_days * DAY_S
    return Uploader(root, bucket, publish_every_s=publish_every_s, keep_local_s=keep_s)


def upload(root: Path, bucket: Bucket, keep_days: float | None, passes: int = 1) -> Uploader:
    """Some passes by a process of its own."""
    uploader = uploader_of(root, bucket, keep_days)
    for _ in range(passes):
        uploader.step()
    uploader.close()
    return uploader


def here(root: Path) -> set[str]:
    """Segments whose raw frames and events are here; each has both or none."""
    raw, events = ({path.stem for path in (root / top).rglob("*" + ARCHIVES[top])} for top in ("raw", "events"))
    assert raw == events
    return raw


def published(bucket: Bucket) -> set[str]:
    index, _ = find_newest(bucket)
    assert index is not None
    assert index.damaged == {}
    return {entry.path for group, listed in index.lists.items() for entry in read_list(bucket, group, listed)}


def key_of(root: Path, segment: str) -> tuple[str, bytes]:
    """Where a segment's raw file lies on the quirky server, and its bytes."""
    (path,) = (root / "raw").rglob(f"{segment}.zst")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return f"/{BUCKET}/pre/fix/{content_key(path.relative_to(root).as_posix(), sha256)}", data


def whole_after_sync(root: Path, bucket: Bucket, copy: Path) -> None:
    """What is here and what is in the bucket make the whole recording."""
    verdict = verify(root)
    assert verdict.problems == []
    sync(bucket, copy, newest_index(bucket))
    assert verify(copy).problems == []
    assert here(copy) == {"100-a", "200-b", "300-c"}
    assert archived_hours(copy, "raw") == archived_hours(root, "raw")


def test_what_the_bucket_keeps_goes_after_the_keep_time(moto: Bucket, root: Path, tmp_path: Path) -> None:
    uploader = upload(root, moto, keep_days=7)

    assert here(root) == {"200-b", "300-c"}
    assert uploader.status.pruned_files == 2
    assert set(read_pruned(root / "raw" / HOUR)) == {"100-a.zst"}
    assert read_pruned(root / "raw" / HOUR)["100-a.zst"].kept_at == f"s3://{BUCKET}/pre/fix"
    assert verify(root).in_s3_files == 2
    assert verify(root).in_s3 == [f"s3://{BUCKET}/pre/fix"]
    whole_after_sync(root, moto, tmp_path / "copy")


def test_zero_days_prune_all_as_soon_as_it_is_safe_and_no_table(moto: Bucket, root: Path, tmp_path: Path) -> None:
    tables = {path for path in root.rglob("part-*.parquet")}

    upload(root, moto, keep_days=0)

    assert here(root) == set()
    assert tables == {path for path in root.rglob("part-*.parquet")}
    assert len(list(root.rglob("manifest.json"))) == len(list(root.glob("*/venue=*/date=*/hour=*")))
    whole_after_sync(root, moto, tmp_path / "copy")


def test_without_a_keep_time_nothing_is_pruned_whatever_the_disk_says(
    moto: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_has(monkeypatch, SHORT)

    upload(root, moto, keep_days=None, passes=2)

    assert here(root) == {"100-a", "200-b", "300-c"}


def test_a_disk_that_runs_low_prunes_the_oldest_early_and_no_more_than_it_must(
    bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for top in ARCHIVES for path in (root / top).rglob("100-a.*"))
    total = 10 * size
    monkeypatch.setattr(pruner_module, "Watermarks", lambda: _marks())
    disk_has(monkeypatch, Space(total, int(0.24 * total) - size + 1))

    upload(root, bucket, keep_days=365)

    assert here(root) == {"200-b", "300-c"}


def _marks() -> object:
    from observer.store.watermarks import Watermarks

    return Watermarks(stop_bytes=0)


def test_a_full_disk_does_not_take_what_is_not_in_the_bucket(
    quirky: QuirkServer, bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_has(monkeypatch, Space(1000, 0))
    quirky.quirks.add("503")
    uploader = uploader_of(root, bucket, 0)

    with pytest.raises(Exception, match="SlowDown"):
        uploader.step()

    assert here(root) == {"100-a", "200-b", "300-c"}
    uploader.close()


def test_what_is_uploaded_and_not_published_stays(bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploader = uploader_of(root, bucket, 0, publish_every_s=3600.0)
    uploader.step()
    assert here(root) == set()
    add_archive(root, "400-d", b"later", LATER)

    assert not uploader.step()  # sent, and no index names it yet
    uploader._prune(uploader._folder.look(), *uploader._prepare(), now=True)

    assert here(root) == {"400-d"}
    uploader.publish_every_s = 0.0
    uploader.step()
    assert here(root) == set()
    uploader.close()


def test_while_somebody_commits_nothing_new_is_published_or_pruned(bucket: Bucket, root: Path) -> None:
    (root / ".committing").touch()

    upload(root, bucket, keep_days=0, passes=2)

    assert here(root) == {"100-a", "200-b", "300-c"}


def test_another_recordings_index_prunes_nothing(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    upload(make_recording(tmp_path / "other", windows=2, missing_frac=0.5), bucket, None)
    uploader = uploader_of(root, bucket, 0)

    with pytest.raises(Exception, match="holds another recording"):
        uploader.step()
    uploader._prune(uploader._folder.look(), *uploader._prepare(), now=True)

    assert here(root) == {"100-a", "200-b", "300-c"}
    uploader.close()


@pytest.mark.parametrize("same_size", [True, False])
@pytest.mark.parametrize("checks", [True, False])
def test_a_file_whose_object_is_wrong_stays_and_is_sent_again(
    quirky: QuirkServer, bucket: Bucket, root: Path, tmp_path: Path, *, same_size: bool, checks: bool
) -> None:
    if checks:
        quirky.quirks.add("check")
    upload(root, bucket, keep_days=None)
    key, data = key_of(root, "100-a")
    _, metadata = quirky.objects[key]
    quirky.objects[key] = bytes([data[0] ^ 1]) + data[1:] + (b"" if same_size else b"x"), metadata

    first = uploader_of(root, bucket, 7)
    first.step()
    stayed = {path.name for path in root.rglob("100-a.*")}
    first.step()
    first.close()

    assert stayed == {"100-a.zst"}  # its events were right, and went
    assert "WrongObject" in first.status.failures
    assert quirky.objects[key.replace(".zst", "-2.zst")][0] == data
    assert (root / "raw" / HOUR / "100-a.zst").exists() is False  # by its second key it was safe to go
    whole_after_sync(root, bucket, tmp_path / "copy")


def test_a_file_whose_object_was_deleted_stays_and_is_sent_again(
    quirky: QuirkServer, bucket: Bucket, root: Path
) -> None:
    upload(root, bucket, keep_days=None)
    key, data = key_of(root, "100-a")
    del quirky.objects[key]
    uploader = uploader_of(root, bucket, 7)

    uploader.step()
    stayed = (root / "raw" / HOUR / "100-a.zst").read_bytes()
    uploader.step()
    uploader.close()

    assert stayed == data
    assert quirky.objects[key][0] == data


def test_a_damaged_file_is_not_pruned_but_told(bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=None)
    (root / "raw" / HOUR / "100-a.zst").write_bytes(b"cut")

    upload(root, bucket, keep_days=0)

    assert [problem.path for problem in verify(root).problems] == [f"raw/{HOUR}/100-a.zst"]


def test_a_damaged_record_stops_the_pruning_of_its_hour_alone(bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=7)
    record = root / "raw" / HOUR / PRUNED
    record.write_bytes(record.read_bytes().replace(b"100-a", b"100-x"))

    upload(root, bucket, keep_days=0)

    assert {path.name for path in (root / "raw").rglob("*.zst")} == {"200-b.zst"}
    assert {problem.path for problem in verify(root).problems} == {f"raw/{HOUR}/{PRUNED}", f"raw/{HOUR}/100-a.zst"}


def test_a_record_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / PRUNED).write_bytes(seal({"files": {"100-a.zst": {"when": 7}}}, FORMAT))

    with pytest.raises(BadRecording, match="is no record of what was pruned"):
        read_pruned(tmp_path)


class _Killed(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("step", range(1, 13))
def test_killed_between_any_two_steps_nothing_is_lost_and_the_next_start_goes_on(
    bucket: Bucket, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    upload(root, bucket, keep_days=None)
    steps = 0

    def dies(work):
        def run(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == step:
                raise _Killed
            return work(*args, **kwargs)

        return run

    with monkeypatch.context() as killed:
        killed.setattr(pruner_module, "note_pruned", dies(pruner_module.note_pruned))
        killed.setattr(pruner_module, "flush", dies(pruner_module.flush))
        killed.setattr(Path, "unlink", dies(Path.unlink))
        uploader = uploader_of(root, bucket, 0)
        with pytest.raises(_Killed):
            uploader.step()
    uploader._pool.shutdown()
    uploader._ledger.close()
    after_kill = verify(root)

    assert after_kill.problems == []
    assert len(list(root.rglob("*-?.*"))) + after_kill.in_s3_files == 6
    upload(root, bucket, keep_days=0, passes=2)
    assert here(root) == set()
    whole_after_sync(root, bucket, tmp_path / "copy")


def test_what_was_pruned_stays_published_and_is_not_asked_for_again(
    quirky: QuirkServer, bucket: Bucket, root: Path
) -> None:
    upload(root, bucket, keep_days=0)
    before = published(bucket)
    add_archive(root, "400-d", b"later", LATER)
    make_recording(root, windows=3)

    again = upload(root, bucket, keep_days=0)

    assert before - published(bucket) <= {
        path for path in before if path.startswith(("gaps/", "markets/", "outcomes/"))
    }
    assert {f"raw/{LATER}/300-c.zst", f"raw/{LATER}/400-d.zst"} <= published(bucket)
    assert again.status.failures == {}
    assert again.damaged == {}


@pytest.mark.parametrize("index_too", [False, True])
def test_without_its_ledger_what_was_pruned_is_found_in_the_bucket(
    quirky: QuirkServer, bucket: Bucket, root: Path, tmp_path: Path, *, index_too: bool
) -> None:
    upload(root, bucket, keep_days=0)
    shutil.rmtree(root / ".upload")
    if index_too:
        for path in [path for path in quirky.objects if "/index/" in path]:
            del quirky.objects[path]

    again = upload(root, bucket, keep_days=0)

    assert again.status.failures == {}
    assert again.damaged == {}
    whole_after_sync(root, bucket, tmp_path / "copy")


def test_a_pruned_file_that_the_ledger_lost_is_asked_for_not_called_lost(bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=0)
    uploader = uploader_of(root, bucket, 0)
    (entry,) = [one for one in uploader._folder.look().entries.values() if one.path.endswith("100-a.zst")]
    uploader._ledger.forget(entry)

    uploader.step()

    assert uploader.status.found_files == 1
    assert uploader.status.failures == {}
    assert uploader.damaged == {}
    uploader.close()


def test_another_bucket_is_told_where_what_was_pruned_is_kept(quirky: QuirkServer, bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=7)
    other = bucket_at(quirky.endpoint, "other")

    uploader = upload(root, other, keep_days=7)

    index, _ = find_newest(other)
    assert index is not None
    assert {path: why for path, (_, why) in index.damaged.items()} == {
        f"{top}/{HOUR}/100-a{suffix}": f"is kept in s3://{BUCKET}/pre/fix only" for top, suffix in ARCHIVES.items()
    }
    assert uploader.status.failures == {}


def test_what_sync_brings_back_stays_for_another_keep_time(bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=7)

    sync(bucket, root, newest_index(bucket))
    brought = here(root)
    again = upload(root, bucket, keep_days=7)

    assert brought == here(root) == {"100-a", "200-b", "300-c"}
    assert again.status.pruned_files == 0
    assert verify(root).problems == []
    assert verify(root).in_s3_files == 0


def test_a_pruned_file_counts_as_archived_and_a_lost_one_does_not(bucket: Bucket, root: Path) -> None:
    upload(root, bucket, keep_days=7)
    (root / "raw" / HOUR / "200-b.zst").unlink()

    raw = Archive(root, "raw")

    assert raw.holds(HOUR, "100-a.zst")
    assert not raw.holds(HOUR, "200-b.zst")
    assert [problem.path for problem in verify(root).problems] == [f"raw/{HOUR}/200-b.zst"]


def test_a_backlog_does_not_hold_up_the_pruning(bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(root, bucket, keep_days=None)
    add_archive(root, "400-d", b"later", LATER)
    uploader = uploader_of(root, bucket, 7)
    gone: list[bool] = []
    tell = uploader._tell
    monkeypatch.setattr(uploader, "_publish", lambda *_: gone.append("100-a" not in here(root)) or tell("idle"))

    uploader.step()

    assert gone == [True]
    uploader.close()
