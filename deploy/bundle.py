"""What a box installs: one tar of wheels, units and scripts, known by its SHA-256.

The box asks no package index: every library lies in the tar, at the version that `constraints.txt` names, as it was
downloaded here. The same commit makes the same bytes, so deploying twice changes nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from observer.kit.errors import ToolkitError

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("observer", "mlx_rl", "export", "live")
BUILT_FROM = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
MADE_OF = (*BUILT_FROM, "constraints.txt", "deploy/payload", "deploy/systemd")
# Amazon Linux 2023: Python 3.11 from its own packages, glibc 2.34.
PYTHON = "3.11"
ARM64 = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 27, 28, 31, 34)))
_EPOCH_S = 1_577_836_800  # the time of every file in the tar: 2020-01-01, after the year in which zip's clock begins


class CannotBuild(ToolkitError):
    """The bundle cannot be made here."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A finished tar.

    Attributes:
        path: where it lies.
        sha256: of the tar, hexadecimal.
        version: of the recorder in it, with its commit.
    """

    path: Path
    sha256: str
    version: str


def build(folder: Path, *, platforms: Sequence[str] = ARM64) -> Bundle:
    """Make the bundle of this checkout.

    Args:
        folder: an empty folder to work in; the tar stays there.
        platforms: tags of the wheels that the box can use; none means those of this machine.

    Raises:
        CannotBuild: this is no checkout, or pip failed.
    """
    version = version_here()
    content = folder / "content"
    wheel = _wheel(_source(folder / "source", version), content / "wheels")
    _pip(
        "download", "--only-binary=:all:", *wheel_tags(platforms), "--constraint", str(CHECKOUT / "constraints.txt"),
        "--dest", str(content / "wheels"), f"{wheel}[s3]",
    )  # fmt: skip
    for file in [*(CHECKOUT / "deploy/payload").iterdir(), *(CHECKOUT / "deploy/systemd").iterdir()]:
        shutil.copy(file, content)
    path = folder / "bundle.tar"
    pack(content, path)
    return Bundle(path, hashlib.sha256(path.read_bytes()).hexdigest(), version)


def version_here() -> str:
    """The version of this checkout: `0.1.0+g3bc820d`, the last commit that changed what goes into a bundle.

    It ends in `.dirty` where a file of that was changed since.

    Raises:
        CannotBuild: this is no Git checkout.
    """
    number = re.search(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    if number is None:
        raise CannotBuild(f"{CHECKOUT}/pyproject.toml names no version.")
    commit = _git("log", "-1", "--abbrev=7", "--format=%h", "--", *MADE_OF).strip()
    changed = _git("status", "--porcelain", "--", *MADE_OF).strip()
    return f"{number[1]}+g{commit}" + (".dirty" if changed else "")


def pack(content: Path, path: Path) -> None:
    """Write a folder as a tar whose bytes depend on names and contents only."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(file for file in content.rglob("*") if file.is_file()):
            entry = tarfile.TarInfo(str(file.relative_to(content)))
            entry.size, entry.mtime = file.stat().st_size, _EPOCH_S
            entry.mode = 0o755 if file.suffix == ".sh" else 0o644
            with file.open("rb") as data:
                tar.addfile(entry, data)


def wheel_tags(platforms: Sequence[str]) -> list[str]:
    """pip's flags for the wheels of a machine that is not this one; none for this one."""
    if not platforms:
        return []
    tags = ["--python-version", PYTHON, "--implementation", "cp"]
    for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
        tags += ["--abi", abi]
    for platform in platforms:
        tags += ["--platform", platform]
    return tags


def _source(folder: Path, version: str) -> Path:
    """A copy of the files that Git tracks, under the version that names their commit."""
    for name in _git("ls-files", "-z", "--", *BUILT_FROM).split("\0"):
        if not name or not (CHECKOUT / name).is_file():
            continue
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, copy)
        copy.chmod(0o644)
    project = folder / "pyproject.toml"
    text = re.sub(r'^version = ".+"$', f'version = "{version}"', project.read_text(), count=1, flags=re.MULTILINE)
    project.write_text(text)
    return folder


def _wheel(source: Path, folder: Path) -> Path:
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("mlx_rl-*.whl")
    return wheel


def _pip(*args: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH_S)}
    command = [sys.executable, "-m", "pip", *args, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")][-6:]
        raise CannotBuild(f"pip {args[0]} failed. It said:\n" + "\n".join(last))


def _git(*args: str) -> str:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(
            f"{CHECKOUT} is no Git checkout, so nobody could say what was deployed ({done.stderr.strip()}). "
            "Deploy from a clone."
        )
    return done.stdout
