"""`--data-dir s3://...`: a verified copy in the cache, up to date, undisturbed while it is read."""

import os
from pathlib import Path

import pytest

from observer.kit.errors import BadRecording
from observer.s3.bucket import Bucket
from observer.s3.cache import local_folder
from observer.s3.uploader import Uploader
from observer.store.reader import Recording
from tests.samples.archives import add_archive
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording

PLACE = Path("s3://recordings/pre/fix")


@pytest.fixture(autouse=True)
def nothing_is_held(monkeypatch: pytest.MonkeyPatch, quirky: QuirkServer) -> list[int]:
    """The locks of this process's readers, to be dropped as the end of a process would; the endpoint is ours."""
    held: list[int] = []
    monkeypatch.setattr("observer.s3.cache._held", held)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", quirky.endpoint)
    return held


def upload(root: Path, bucket: Bucket) -> None:
    uploader = Uploader(root, bucket, publish_every_s=0.0)
    uploader.step()
    uploader.close()


@pytest.fixture
def root(tmp_path: Path, bucket: Bucket) -> Path:
    root = make_recording(tmp_path / "data", windows=5)
    add_archive(root, "100-a", b"frames")
    upload(root, bucket)
    return root


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert local_folder(tmp_path) is tmp_path


def test_a_bucket_becomes_a_folder_in_the_cache(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = local_folder(PLACE)

    assert Recording(folder).dataset_id == Recording(root).dataset_id
    assert folder.is_relative_to(tmp_path / "cache" / "mlx-rl" / "recordings")
    assert not (folder / "raw").exists()
    assert f"s3://recordings/pre/fix: dataset {Recording(root).dataset_id[:16]}" in capsys.readouterr().err
    assert local_folder(PLACE) == folder


def test_a_newer_state_leaves_readers_of_the_old_one_alone(root: Path, bucket: Bucket) -> None:
    old = local_folder(PLACE)
    reader = Recording(old)
    make_recording(root, windows=6)
    upload(root, bucket)

    new = local_folder(PLACE)

    assert new != old
    assert len(list(reader.tapes())) == 5
    assert len(Recording(new).markets()) == 6
    same = next((old / "ticks").rglob("part-*.parquet")).relative_to(old)
    assert os.path.samefile(old / same, new / same)  # linked, not fetched again


def test_a_state_that_nobody_reads_goes(root: Path, bucket: Bucket, nothing_is_held: list[int]) -> None:
    old = local_folder(PLACE)
    for fd in nothing_is_held:
        os.close(fd)
    make_recording(root, windows=6)
    upload(root, bucket)

    new = local_folder(PLACE)

    assert new.exists()
    assert not old.exists()


def test_what_a_reader_wrote_beside_the_recording_is_carried_over(root: Path, bucket: Bucket) -> None:
    (local_folder(PLACE) / "test_openings.jsonl").write_text("opened\n")
    make_recording(root, windows=6)
    upload(root, bucket)

    assert (local_folder(PLACE) / "test_openings.jsonl").read_text() == "opened\n"


def test_a_damaged_copy_is_repaired(root: Path) -> None:
    folder = local_folder(PLACE)
    hurt = next((folder / "ticks").rglob("part-*.parquet"))
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[:-1] + b"x")

    local_folder(PLACE)

    assert hurt.read_bytes() == whole


def test_archives_alone_are_no_recording(tmp_path: Path, bucket: Bucket) -> None:
    add_archive(tmp_path / "data", "100-a", b"frames")
    upload(tmp_path / "data", bucket)

    with pytest.raises(BadRecording, match="holds archives only"):
        local_folder(PLACE)
