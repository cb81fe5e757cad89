"""Each package imports with only the libraries its install brings, and the versions are pinned."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

BLOCK_AND_IMPORT = """
import importlib, pkgutil, sys
blocked = set(sys.argv[2].split(","))
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Wall())
package = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(found.name)
"""


@pytest.mark.parametrize(
    ("package", "without"),
    [
        ("observer", "mlx,torch,numba,pandas,matplotlib,plotly,safetensors,onnx,onnxruntime,polars"),
        ("mlx_rl.market", "mlx,torch,pandas,matplotlib,plotly,safetensors,onnx,onnxruntime,polars"),
        ("mlx_rl.features", "mlx,torch,pandas,matplotlib,plotly,safetensors,onnx,onnxruntime,polars"),
        ("mlx_rl.evaluation", "mlx,torch,pandas,safetensors,onnx,onnxruntime,polars"),
        ("live", "mlx,torch,pandas,matplotlib,plotly,onnx,onnxruntime,polars"),
    ],
)
def test_a_package_needs_no_more_than_its_install_brings(package: str, without: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK_AND_IMPORT, package, without],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_base_install_brings_no_mlx_torch_or_plotting() -> None:
    base = " ".join(PROJECT["dependencies"])

    assert not any(name in base for name in ("mlx", "torch", "pandas", "matplotlib", "plotly", "numba"))
    holders = {
        name for name, wants in PROJECT["optional-dependencies"].items() if any(w.startswith("torch") for w in wants)
    }
    assert holders == {"export"}


def test_mlx_follows_the_platform() -> None:
    train = PROJECT["optional-dependencies"]["train"]

    assert any(w.startswith("mlx[cpu]") and "Linux" in w for w in train)
    assert any(w.startswith("mlx>") and "Darwin" in w for w in train)


def test_every_direct_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    wants = [w for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()) for w in group]
    names = {w.split(";")[0].split(">")[0].split("[")[0].strip().lower() for w in wants} - {"mlx-rl"}

    assert names <= pinned, names - pinned
    assert "torch==2.13.0" in lines
