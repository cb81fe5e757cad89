"""The real bundle, built from this checkout and installed as a box installs it, with real pip and real wheels.

Slow, and it asks the package index; without one it is skipped.
"""

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from deploy import bundle
from deploy.bundle import Bundle, CannotBuild
from tests.deploy.rendered import DEPLOY

pytestmark = pytest.mark.slow

# What would make the recorder large or slow to start.
HEAVY = ("pyarrow", "pandas", "torch", "mlx", "boto3", "botocore", "numba", "aiohttp", "moto")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle with wheels for this machine."""
    try:
        return bundle.build(tmp_path_factory.mktemp("bundle"), platforms=())
    except CannotBuild as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip(f"no package index answers here: {error}")
        raise


@pytest.fixture(scope="module")
def unpacked(made: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root") / "opt/mlx-rl" / made.sha256
    with tarfile.open(made.path) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def bare(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and none of its extras; its `bin`."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links"]
    subprocess.run([*pip, unpacked / "wheels", "mlx-rl"], check=True, timeout=300)
    return folder / "bin"


def run(program: Path, *args: str, folder: Path) -> str:
    """What a program prints, run where no checkout is."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(program), *args]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recorder_starts_without_any_extra(bare: Path, tmp_path: Path) -> None:
    assert "--markets" in run(bare / "mlx-rl", "observe", "--help", folder=tmp_path)


def test_the_recorders_process_loads_nothing_heavy(bare: Path, tmp_path: Path) -> None:
    say = "import sys, observer.capture.session; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    loaded = set(run(bare / "python", "-c", say, folder=tmp_path).split())

    assert "observer" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_without_its_extra_the_uploader_says_what_to_install(bare: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [bare / "python", "-m", "observer.s3", "--local-dir", str(tmp_path), "--bucket", "recordings"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "boto3" in done.stderr


def test_the_wheel_names_the_commit_it_was_built_from(made: Bundle, bare: Path, tmp_path: Path) -> None:
    say = "from observer.kit.code_version import code_version; print(code_version())"

    assert run(bare / "python", "-c", say, folder=tmp_path).strip() == made.version
    assert "+g" in made.version


def test_a_box_installs_the_bundle_without_any_index(unpacked: Path, tmp_path: Path) -> None:
    stands_in = tmp_path / "bin"
    stands_in.mkdir()
    (stands_in / "python3.11").symlink_to(Path(sys.base_prefix) / "bin/python3")
    (stands_in / "systemctl").write_text("#!/bin/sh\n")
    (stands_in / "systemctl").chmod(0o755)
    environment = {
        **os.environ, "MLX_RL_ROOT": str(tmp_path), "HEARTBEAT": "no", "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PATH": f"{stands_in}:{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run([unpacked / "install.sh"], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    programs = unpacked.parent / "current/venv/bin"
    assert "--markets" in run(programs / "mlx-rl", "observe", "--help", folder=tmp_path)
    assert "--bucket" in run(programs / "python", "-m", "observer.s3", "--help", folder=tmp_path)
    unit = (tmp_path / "etc/systemd/system/mlx-rl-observer.service").read_text()
    assert unit == (DEPLOY / "systemd/mlx-rl-observer.service").read_text()
    assert f"ExecStart={Path('/opt/mlx-rl/current/venv/bin/mlx-rl')} observe " in unit


def test_the_box_gets_wheels_that_its_python_can_use() -> None:
    """Every library has a wheel for the box's processor; said by pip, in a dry run."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--only-binary=:all:",
        "--target",
        "none",
    ]
    command += [*bundle.wheel_tags(bundle.ARM64), "--constraint", str(bundle.CHECKOUT / "constraints.txt"), "--no-deps"]
    wanted = tomllib.loads((bundle.CHECKOUT / "pyproject.toml").read_text())["project"]
    done = subprocess.run(
        [*command, *wanted["dependencies"], *wanted["optional-dependencies"]["s3"]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "NewConnectionError" in done.stderr:
        pytest.skip("no package index answers here")

    assert done.returncode == 0, done.stderr
