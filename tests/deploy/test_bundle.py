"""The tar that a box installs: the same bytes for the same content, and a version that names its commit."""

import os
import re
import tarfile
from pathlib import Path

import pytest

from deploy import bundle


def test_the_same_content_is_the_same_tar(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "wheels").mkdir(parents=True)
        (tmp_path / name / "wheels/x.whl").write_text("x")
        (tmp_path / name / "install.sh").write_text("#!/bin/sh\n")
        os.utime(tmp_path / name / "install.sh", (1, 1) if name == "a" else (2, 2))
        bundle.pack(tmp_path / name, tmp_path / f"{name}.tar")

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [(member.name, oct(member.mode)) for member in tar] == [
            ("install.sh", "0o755"),
            ("wheels/x.whl", "0o644"),
        ]


@pytest.mark.parametrize("changed", ["", " M observer/book.py"])
def test_the_version_names_the_commit_and_says_when_files_were_changed(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*args: str) -> str:
        return "3bc820d\n" if args[0] == "log" else changed

    monkeypatch.setattr(bundle, "_git", git)

    assert re.fullmatch(r"\d+\.\d+\.\d+\+g3bc820d" + (r"\.dirty" if changed else ""), bundle.version_here())


def test_outside_a_checkout_nothing_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('version = "0.1.0"\n')
    monkeypatch.setattr(bundle, "CHECKOUT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    with pytest.raises(bundle.CannotBuild, match="no Git checkout"):
        bundle.version_here()


def test_what_pip_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(bundle.CannotBuild, match="pip download failed"):
        bundle._pip("download", "--no-index", "--dest", str(tmp_path), "no-such-library")
