"""The folder of a walk-forward is whole and in order, or it is refused."""

import shutil
from pathlib import Path

import pytest

from mlx_rl.artifact.manifest import read_manifest, write_manifest
from mlx_rl.artifact.walk_forward import check_folds_output, model_folders
from mlx_rl.datasets.splits import Folds, SplitSettings
from observer.kit.errors import BadArtifact
from tests.samples.model_folder import make_model_folder


def make_folds(root: Path, n_folds: int = 3) -> Path:
    for fold in range(1, n_folds + 1):
        folder = make_model_folder(root / f"fold_{fold}", "base")
        folds = Folds(
            market=None, settings=SplitSettings(), fold=fold, n_folds=n_folds, train_windows=1, valid_windows=0,
            trained_from_ns=0, trained_until_ns=1, unseen_from_ns=1,
        )  # fmt: skip
        write_manifest(folder, read_manifest(folder).model_copy(update={"folds": folds}))
    return root


def test_a_path_is_one_model_or_the_folds_in_order(tmp_path: Path) -> None:
    one, many = make_model_folder(tmp_path / "one", "base"), make_folds(tmp_path / "many", 11)

    assert model_folders(one) == [one]
    assert model_folders(tmp_path / "nothing") == [tmp_path / "nothing"]  # the loader says what is wrong with it
    assert model_folders(many) == [many / f"fold_{fold}" for fold in range(1, 12)]


def test_a_missing_or_foreign_fold_is_refused(tmp_path: Path) -> None:
    many, other = make_folds(tmp_path / "many"), make_folds(tmp_path / "other", 4)
    shutil.rmtree(many / "fold_2")

    with pytest.raises(BadArtifact, match="fold_2 is missing; the walk-forward has 3 folds"):
        model_folders(many)
    shutil.copytree(other / "fold_2", many / "fold_2")
    with pytest.raises(BadArtifact, match="fold_2 is not fold 2 of 3"):
        model_folders(many)


def test_nothing_but_as_many_folds_is_overwritten(tmp_path: Path) -> None:
    many = make_folds(tmp_path / "many")

    check_folds_output(many, 3)
    check_folds_output(tmp_path / "new", 3)
    with pytest.raises(BadArtifact, match="holds other things than 2 folds"):
        check_folds_output(many, 2)
    with pytest.raises(BadArtifact, match="nothing there is overwritten"):
        check_folds_output(make_model_folder(tmp_path / "one", "base"), 3)
