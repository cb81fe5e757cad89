"""The wheel holds what an installed copy needs, and nothing that only the checkout needs."""

import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("observer", "mlx_rl", "export", "live")
BUILDS_WITH = 77  # the first setuptools that knows pyproject's `license-files`


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel from a copy of what Git tracks and return the names in it."""
    try:
        has_setuptools = int(version("setuptools").split(".")[0]) >= BUILDS_WITH
    except PackageNotFoundError:
        has_setuptools = False
    if not has_setuptools:
        pytest.skip(f"a wheel is built without the network only where setuptools >= {BUILDS_WITH} is installed")
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "out"]
    done = subprocess.run([*command, "./source"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (folder / "out").glob("mlx_rl-*.whl")
    return set(zipfile.ZipFile(made).namelist())


def tracked() -> list[str]:
    """What Git tracks and the working tree still holds."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_file_of_the_packages_is_in_the_wheel(wheel: set[str]) -> None:
    wanted = {name for name in tracked() if name.split("/")[0] in PACKAGES}

    assert wanted - wheel == set()
    assert any(name.startswith("observer/samples/") and name.endswith(".parquet") for name in wheel)
    assert {"mlx_rl/nn/native/kernels.h", "mlx_rl/nn/native/bridge.cpp"} <= wheel


def test_no_test_proof_or_door_is_in_the_wheel(wheel: set[str]) -> None:
    (about,) = {name.split("/")[0] for name in wheel if name.split("/")[0] not in PACKAGES}

    assert about.endswith(".dist-info")
    assert f"{about}/licenses/LICENSE" in wheel
    assert not any(Path(name).name.startswith(("test_", "conftest")) for name in wheel)
