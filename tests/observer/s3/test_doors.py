"""The doors: `mlx-rl sync`, and the trainer and the judge on `s3://`, through a real server on loopback."""

import json
import shutil
from pathlib import Path

import pytest

from live.cli.main import main as mlx_rl
from mlx_rl.cli.compare import main as compare
from mlx_rl.cli.evaluate import main as evaluate
from mlx_rl.cli.train import main as train
from observer.s3.uploader import Uploader
from observer.store.reader import Recording
from tests.observer.s3.conftest import bucket_at
from tests.samples.quirk_server import QuirkServer
from tests.samples.recordings import make_recording

PLACE = "s3://recordings/pre/fix"


@pytest.fixture
def root(tmp_path: Path, quirky: QuirkServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An uploaded recording; the endpoint is set as a user would."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", quirky.endpoint)
    monkeypatch.chdir(tmp_path)
    root = make_recording(tmp_path / "data", windows=24)
    uploader = Uploader(root, bucket_at(quirky.endpoint), publish_every_s=0.0)
    uploader.step()
    uploader.close()
    return root


def test_sync_takes_source_and_folder_first(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = mlx_rl(["sync", PLACE, str(tmp_path / "copy"), "--json"])

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["dataset_id"] == Recording(root).dataset_id == Recording(tmp_path / "copy").dataset_id
    assert result["fetched_files"] == result["files"]


def test_sync_says_what_it_did(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlx_rl(["sync", PLACE, str(tmp_path / "copy")])
    capsys.readouterr()

    code = mlx_rl(["sync", PLACE, str(tmp_path / "copy")])

    assert code == 0
    assert "every one as it was recorded; 0 (0 bytes) were fetched" in capsys.readouterr().out


def test_sync_of_nothing_is_an_error(quirky: QuirkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = mlx_rl(["sync", PLACE, str(tmp_path / "copy"), "--endpoint-url", quirky.endpoint])

    assert code == 1
    assert "holds no recording" in capsys.readouterr().err


def test_sync_of_what_was_damaged_before_brings_the_rest_and_fails(
    root: Path, quirky: QuirkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for hurt in (root / "ticks").rglob("part-*.parquet"):
        hurt.write_bytes(b"")
    uploader = Uploader(root, bucket_at(quirky.endpoint, "hurt"), publish_every_s=0.0)
    uploader.step()
    uploader.close()

    code = mlx_rl(["sync", "s3://recordings/hurt", str(tmp_path / "copy")])

    assert code == 1
    assert "were damaged before they could be uploaded" in capsys.readouterr().err
    assert (tmp_path / "copy" / "dataset.json").exists()


def test_a_recorder_that_starts_brings_down_what_was_recorded_before_and_disturbs_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--no-archives", "--fresh-only"]
    new = tmp_path / "new"
    assert mlx_rl(["sync", PLACE, str(new), *flags]) == 0
    assert Recording(new).dataset_id == Recording(root).dataset_id
    make_recording(new, windows=30)
    capsys.readouterr()

    codes = [mlx_rl(["sync", PLACE, str(new), *flags]), mlx_rl(["sync", "s3://recordings/none", str(new), *flags])]
    empty = mlx_rl(["sync", "s3://recordings/none", str(tmp_path / "empty"), *flags])
    said = capsys.readouterr().out

    assert (codes, empty) == ([0, 0], 0)
    assert said.count("was recorded into; nothing was brought") == 2
    assert "s3://recordings/none holds no recording yet; nothing was brought" in said


def test_a_recorder_that_starts_waits_for_a_store_that_is_down_only_while_its_folder_is_fresh(
    root: Path, quirky: QuirkServer, tmp_path: Path
) -> None:
    quirky.quirks.add("503")

    assert mlx_rl(["sync", PLACE, str(root), "--fresh-only"]) == 0
    assert mlx_rl(["sync", PLACE, str(tmp_path / "new"), "--fresh-only"]) == 1


def test_sync_without_a_folder_is_a_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert mlx_rl(["sync", PLACE]) == 2
    assert mlx_rl(["sync", "data", "copy"]) == 2
    assert "no place in a bucket" in capsys.readouterr().err


def test_a_model_is_trained_and_judged_from_a_bucket(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")  # or the kernels are compiled anew
    monkeypatch.setattr("observer.s3.cache._home", lambda bucket: tmp_path / "recordings")
    few = ["--random-traders", "1", "--json"]

    flags = ["--data-dir", PLACE, "--method", "bc", "--model", "base", "--preset", "small", "--epochs", "1"]
    trained = train([*flags, "--output", "base", "--json"])
    of_training = capsys.readouterr()
    shutil.copytree("base", "other")
    judged = evaluate(["--model", "base", "--test-data", PLACE, *few])
    of_judging = json.loads(capsys.readouterr().out)
    compared = compare(["--base-model", "other", "--transformer-model", "base", "--data-dir", PLACE, *few])
    of_comparing = json.loads(capsys.readouterr().out)

    assert (trained, judged, compared) == (0, 0, 0)
    assert json.loads(of_training.out)["data_dir"] == PLACE
    assert f"{PLACE}: dataset {Recording(root).dataset_id[:16]}" in of_training.err
    assert of_judging["windows"]["test_opening"] == 1
    assert of_comparing["windows"]["test_opening"] == 2  # the log lies beside the copy
