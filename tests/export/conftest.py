"""Exported folders for tests, made once; a NumPy policy stands in for MLX, which a machine may lack."""

import shutil
from pathlib import Path

import pytest

from export import to_torch
from export.load import open_policy
from export.runtimes import Runtime, policy_runtime
from mlx_rl.artifact.manifest import read_manifest
from tests.samples.model_folder import make_model_folder


def stand_in(folder: Path) -> Runtime:
    """The trained model of `folder` as NumPy computes it, under the name of MLX."""
    return policy_runtime("mlx", open_policy(folder, read_manifest(folder))[0])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `x` as training saves it and `x_torch` exported from it; not to be changed."""
    folder = tmp_path_factory.mktemp("models")
    make_model_folder(folder / "x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_torch, "trained", stand_in)
        to_torch.export(folder / "x", folder / "x_torch", onnx=True)
    return folder


@pytest.fixture
def exported(made: Path, tmp_path: Path) -> Path:
    """An exported folder of one's own, to break."""
    return Path(shutil.copytree(made / "x_torch", tmp_path / "x_torch"))
