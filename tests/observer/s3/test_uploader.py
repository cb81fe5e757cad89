"""Pass after pass: all of a data folder is in the bucket, once, byte for byte, and the status says so."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from observer.kit.clock import NS_PER_S
from observer.s3.address import content_key
from observer.s3.bucket import Bucket
from observer.s3.errors import LocalChanged, OtherRecording, StoreError
from observer.s3.published import find_newest
from observer.s3.uploader import Uploader
from tests.observer.s3.conftest import BUCKET, bucket_at
from tests.observer.s3.test_folder import files_below
from tests.samples.archives import HOUR, add_archive
from tests.samples.fault_proxy import HEAD_BYTES, FaultProxy
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small recording with archives."""
    root = make_recording(tmp_path / "data", windows=5)
    add_archive(root, "100-a", b"frames" * 50)
    return root


def upload(root: Path, bucket: Bucket) -> Uploader:
    """One pass by a process of its own."""
    uploader = Uploader(root, bucket, publish_every_s=0.0)
    uploader.step()
    uploader.close()
    return uploader


def objects(server: QuirkServer) -> dict[str, bytes]:
    """The uploaded files, without what the uploader writes for itself."""
    start = f"/{BUCKET}/pre/fix/"
    found = {path.removeprefix(start): data for path, (data, _) in server.objects.items()}
    return {key: data for key, data in found.items() if key.split("/")[0] not in ("index", "lists", "_probe")}


def expected(root: Path) -> dict[str, bytes]:
    return {content_key(path, sha256): (root / path).read_bytes() for path, sha256 in files_below(root).items()}


def status_of(root: Path) -> dict[str, Any]:
    return json.loads((root / "spool" / "upload.json").read_text())


def test_every_file_is_there_once_and_byte_equal(quirky: QuirkServer, root: Path) -> None:
    uploader = upload(root, bucket_at(quirky.endpoint))

    assert objects(quirky) == expected(root)
    assert uploader.status.uploaded_files == len(expected(root))
    assert find_newest(uploader.bucket)[0] is not None


def test_nothing_is_sent_twice(quirky: QuirkServer, root: Path) -> None:
    upload(root, bucket_at(quirky.endpoint))
    before = dict(quirky.objects)

    again = upload(root, bucket_at(quirky.endpoint))

    assert (again.status.uploaded_files, again.status.found_files) == (0, 0)
    assert {path for path in quirky.objects if path not in before and "_probe" not in path} == set()


def test_only_what_is_new_is_sent(quirky: QuirkServer, root: Path) -> None:
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    uploader.step()
    before = uploader.status.uploaded_files
    old = objects(quirky)

    make_recording(root, windows=6)
    add_archive(root, "200-b", b"more")

    assert uploader.step()
    assert {**old, **expected(root)} == objects(quirky)
    assert uploader.status.uploaded_files - before == len(set(expected(root)) - set(old))
    uploader.close()


def test_without_its_ledger_it_asks_and_sends_nothing_again(quirky: QuirkServer, root: Path) -> None:
    upload(root, bucket_at(quirky.endpoint))
    shutil.rmtree(root / ".upload")
    puts = quirky.puts

    again = upload(root, bucket_at(quirky.endpoint))

    assert (again.status.uploaded_files, again.status.found_files) == (0, 0)  # the newest index named them
    assert quirky.puts - puts == 3  # the probe's


def test_without_ledger_or_index_every_file_is_found_by_asking(quirky: QuirkServer, root: Path) -> None:
    upload(root, bucket_at(quirky.endpoint))
    shutil.rmtree(root / ".upload")
    for path in [path for path in quirky.objects if "/index/" in path]:
        del quirky.objects[path]
    puts = quirky.puts

    again = upload(root, bucket_at(quirky.endpoint))

    assert quirky.puts - puts == 3 + 3  # the probe's, two lists and the index: no file is sent to be refused
    assert again.status.uploaded_files == 0
    assert again.status.found_files == len(expected(root))


def test_another_address_has_a_ledger_of_its_own(quirky: QuirkServer, root: Path) -> None:
    upload(root, bucket_at(quirky.endpoint))

    other = upload(root, bucket_at(quirky.endpoint, "other"))

    assert other.status.uploaded_files == len(expected(root))


def test_while_somebody_commits_files_go_up_but_no_index(quirky: QuirkServer, root: Path) -> None:
    (root / ".committing").touch()
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)

    assert not uploader.step()
    assert objects(quirky) == expected(root)
    assert find_newest(uploader.bucket)[0] is None

    (root / ".committing").unlink()

    assert uploader.step()
    assert find_newest(uploader.bucket)[0] is not None
    uploader.close()


def test_a_folder_without_anything_publishes_nothing(quirky: QuirkServer, tmp_path: Path) -> None:
    uploader = upload(tmp_path, bucket_at(quirky.endpoint))

    assert find_newest(uploader.bucket)[0] is None


def test_an_index_is_published_at_most_so_often(quirky: QuirkServer, root: Path) -> None:
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=3600.0)
    first = uploader.step()
    make_recording(root, windows=6)

    second = uploader.step()

    assert first
    assert not second  # sent, not named by an index yet
    assert set(expected(root)) <= set(objects(quirky))
    assert uploader.status.oldest_unuploaded_s > 0
    uploader.close()


def test_a_store_that_is_down_is_counted_and_tried_again(quirky: QuirkServer, root: Path) -> None:
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    uploader.step()
    make_recording(root, windows=6)
    quirky.quirks.add("503")

    with pytest.raises(StoreError) as caught:
        uploader.step()
    uploader.tell_waiting(caught.value, 1.5)
    down = status_of(root)
    quirky.quirks.clear()
    uploader.step()
    up = status_of(root)

    assert down["state"] == "waiting"
    assert down["wait_s"] == 1.5
    assert down["pending_files"] > 0
    assert down["oldest_unuploaded_s"] > 0
    assert set(down["failures"]) == {"SlowDown"}
    assert down["last_error"]["code"] == "SlowDown"
    assert up["state"] == "idle"
    assert (up["pending_files"], up["oldest_unuploaded_s"], up["wait_s"]) == (0, 0.0, 0.0)
    assert set(expected(root)) <= set(objects(quirky))
    uploader.close()


def test_what_waits_is_told_also_where_the_store_never_answered(quirky: QuirkServer, root: Path) -> None:
    quirky.quirks.add("503")
    for path in root.rglob("*.parquet"):
        os.utime(path, ns=(0, time.time_ns() - 7200 * NS_PER_S))
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            uploader.step()
        uploader.tell_waiting(caught.value, 1.5)
    down = status_of(root)
    quirky.quirks.clear()
    uploader.step()
    up = status_of(root)

    assert down["pending_files"] > 2
    assert down["oldest_unuploaded_s"] > 7000
    assert 0 < down["failing_since_ns"] < down["updated_ns"]
    assert (up["pending_files"], up["failing_since_ns"]) == (0, 0)
    uploader.close()


def test_what_failed_is_asked_for_before_it_is_sent_again(quirky: QuirkServer, root: Path) -> None:
    with FaultProxy(quirky.port) as proxy:
        uploader = Uploader(root, bucket_at(f"http://127.0.0.1:{proxy.port}"), publish_every_s=0.0)
        uploader.step()
        add_archive(root, "200-b", bytes(range(256)) * 100)
        proxy.set("lose", after=HEAD_BYTES, times=2)  # the two large files' answers
        with pytest.raises(StoreError):
            uploader.step()
        proxy.set("none")
        puts = quirky.puts
        uploader.step()
        uploader.close()

    assert quirky.puts - puts == 2  # a list and the index: the bucket held the files
    assert set(expected(root)) <= set(objects(quirky))


def test_a_dead_store_is_not_asked_for_every_file(quirky: QuirkServer, root: Path) -> None:
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    uploader._prepare()
    quirky.quirks.add("503")

    with pytest.raises(StoreError):
        uploader.step()

    assert 4 <= sum(uploader.status.failures.values()) + 1 < len(expected(root))
    uploader.close()


def test_a_damaged_file_is_told_and_does_not_hold_up_the_others(quirky: QuirkServer, root: Path) -> None:
    hurt = next((root / "ticks").rglob("part-*.parquet"))
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    path = hurt.relative_to(root).as_posix()
    sha256 = hashlib.sha256(whole).hexdigest()

    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    uploader.step()
    published = find_newest(uploader.bucket)[0]
    damaged = dict(uploader.damaged)
    hurt.write_bytes(whole)
    uploader.step()
    repaired = find_newest(uploader.bucket)[0]
    uploader.close()

    assert set(damaged) == {path}
    assert uploader.status.failures == {"LocalChanged": 1}
    assert published is not None
    assert published.damaged[path][0] == sha256
    assert repaired is not None
    assert repaired.damaged == {}
    assert objects(quirky) == expected(root)


def test_a_damaged_index_holds_up_the_index_alone(quirky: QuirkServer, root: Path) -> None:
    index = root / "dataset.json"
    index.write_bytes(index.read_bytes().replace(b'"logs"', b'"Logs"'))
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)

    with pytest.raises(LocalChanged, match=r"dataset.json is damaged.*no index is published"):
        uploader.step()

    assert f"raw/{HOUR}/100-a-{hashlib.sha256(b'frames' * 50).hexdigest()[:16]}.zst" in objects(quirky)
    uploader.close()


def test_a_prefix_that_holds_another_recording_gets_files_but_no_index(quirky: QuirkServer, tmp_path: Path) -> None:
    first = make_recording(tmp_path / "first", windows=2)
    upload(first, bucket_at(quirky.endpoint))
    second = make_recording(tmp_path / "second", windows=2, missing_frac=0.5)
    uploader = Uploader(second, bucket_at(quirky.endpoint), publish_every_s=0.0)

    with pytest.raises(OtherRecording):
        uploader.step()

    published = find_newest(uploader.bucket)[0]
    assert published is not None
    assert published.dataset_id == json.loads((first / "dataset.json").read_text())["dataset_id"]
    assert set(expected(second)) <= set(objects(quirky))
    uploader.close()


def test_wrong_bytes_under_our_key_are_told_and_gone_round(quirky: QuirkServer, root: Path) -> None:
    path, sha256 = next(iter(files_below(root).items()))
    quirky.objects[f"/{BUCKET}/pre/fix/{content_key(path, sha256)}"] = b"somebody else's", {}

    uploader = upload(root, bucket_at(quirky.endpoint))

    assert uploader.status.failures == {"WrongObject": 1}
    assert objects(quirky)[content_key(path, sha256, copy=2)] == (root / path).read_bytes()
    assert objects(quirky)[content_key(path, sha256)] == b"somebody else's"


def test_local_files_are_only_read(quirky: QuirkServer, root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    upload(root, bucket_at(quirky.endpoint))

    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    assert {path.relative_to(root).parts[0] for path in after.keys() - before.keys()} == {".upload", "spool"}
