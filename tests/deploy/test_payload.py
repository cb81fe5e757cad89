"""What a box does at boot, on good days and bad: fetch, check, install, start; run for real, below another root.

Python, pip, systemd and the AWS command are stand-ins that note their calls; `test_installed.py` has real ones.
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.bundle import pack
from tests.deploy.rendered import DEPLOY, written_at_boot

NOTED = 'echo "$(basename "$0") $*" >> "$NOTES"\n'
VENV = """
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin"
  cp "$(dirname "$0")/pip" "$3/bin/python"
  printf '#!/bin/sh\\necho recorder\\n' > "$3/bin/mlx-rl"
  chmod +x "$3/bin/mlx-rl"
fi
"""
STAND_INS = {
    "systemctl": "",
    "dnf": "",
    "python3.11": VENV,
    "pip": '[ -z "$PIP_FAILS" ] || exit 1\n',
    "aws": '[ "$1 $2" = "s3 cp" ] && cp "$BUCKET_FOLDER/$(basename "$4")" "$5"\n',
}


@dataclass
class Box:
    """A box below a folder."""

    root: Path
    notes: Path
    told: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "opt/mlx-rl"

    def tell(self, content: str) -> str:
        """Put a bundle with this content into the bucket and name it to the box; returns its hash."""
        bundle = self.root / "unpacked"
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(DEPLOY / "payload", bundle)
        for unit in (DEPLOY / "systemd").iterdir():
            shutil.copy(unit, bundle)
        (bundle / "wheels").mkdir()
        (bundle / "wheels/mlx_rl.whl").write_text(content)
        tar = self.root / "bucket/bundle.tar"
        pack(bundle, tar)
        sha256 = hashlib.sha256(tar.read_bytes()).hexdigest()
        self.told = {"SHA256": sha256, "BUNDLE": "s3://recordings/deploy/bundle.tar", "HEARTBEAT": "no"}
        return sha256

    def boot(self, **more: str) -> int:
        """Run the install service's program; returns its exit code."""
        environment = {
            **os.environ, **self.told, **more, "MLX_RL_ROOT": str(self.root), "NOTES": str(self.notes),
            "BUCKET_FOLDER": str(self.root / "bucket"), "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
        }  # fmt: skip
        self.notes.write_text("")
        program = self.root / "usr/local/sbin/mlx-rl-install"
        return subprocess.run([program], env=environment, capture_output=True, check=False, timeout=60).returncode

    def called(self, name: str) -> list[str]:
        """How a stand-in was called at the last boot."""
        return [line for line in self.notes.read_text().splitlines() if line.startswith(f"{name} ")]

    def installed(self) -> set[str]:
        return {folder.name for folder in self.home.iterdir() if folder.name != "current"}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    written_at_boot(tmp_path)
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bin").mkdir()
    for name, text in STAND_INS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{NOTED}{text}")
        program.chmod(0o755)
    return Box(tmp_path, tmp_path / "notes")


def test_a_first_boot_installs_and_starts_the_recorder(box: Box) -> None:
    sha256 = box.tell("one")

    assert box.boot() == 0
    assert os.readlink(box.home / "current") == sha256
    assert (box.home / "current/venv/bin/mlx-rl").exists()
    assert (box.root / "etc/systemd/system/mlx-rl-observer.service").exists()
    assert (box.root / "etc/mlx-rl/kalshi").stat().st_mode & 0o777 == 0o700
    assert "169.254.169.123" in (box.root / "etc/chrony.conf").read_text()
    assert box.called("systemctl")[-1] == "systemctl restart --no-block mlx-rl-observer.service"
    assert "systemctl enable --quiet chrony-wait.service mlx-rl-observer.service" in box.called("systemctl")
    assert any("--no-index" in call for call in box.called("python"))


def test_other_bytes_than_named_are_never_installed(box: Box) -> None:
    box.tell("one")
    with (box.root / "bucket/bundle.tar").open("r+b") as tar:
        tar.seek(600)
        tar.write(b"#")

    assert box.boot() != 0
    assert not (box.home / "current").exists()
    assert box.called("systemctl") == []
    assert box.called("python3.11") == []


def test_a_later_boot_fetches_and_installs_nothing(box: Box) -> None:
    box.tell("one")
    box.boot()

    assert box.boot() == 0
    assert box.called("aws") == []
    assert box.called("python3.11") == []


def test_a_new_bundle_takes_over_and_the_one_before_is_kept(box: Box) -> None:
    hashes = []
    for content in ("one", "two", "three"):
        hashes.append(box.tell(content))
        assert box.boot() == 0

    assert os.readlink(box.home / "current") == hashes[2]
    assert box.installed() == {hashes[1], hashes[2]}


def test_an_installation_that_fails_leaves_the_old_one_running(box: Box) -> None:
    old = box.tell("one")
    box.boot()
    new = box.tell("two")

    assert box.boot(PIP_FAILS="yes") != 0
    assert os.readlink(box.home / "current") == old
    assert box.called("systemctl") == []
    assert box.boot() == 0
    assert os.readlink(box.home / "current") == new


def test_a_fetch_that_was_cut_short_is_done_again(box: Box) -> None:
    sha256 = box.tell("one")
    half = box.home / f"{sha256}.new"
    half.mkdir(parents=True)
    (half / "bundle.tar").write_bytes(b"half")

    assert box.boot() == 0
    assert box.installed() == {sha256}


@pytest.mark.parametrize(("wanted", "word"), [("yes", "enable"), ("no", "disable")])
def test_the_heartbeat_follows_the_stack(wanted: str, word: str, box: Box) -> None:
    box.tell("one")
    box.boot(HEARTBEAT=wanted)

    assert f"systemctl {word} --quiet --now mlx-rl-heartbeat.timer" in box.called("systemctl")


@pytest.mark.parametrize(("answer", "value"), [(200, 1), (503, 0), (None, 0)])
def test_the_heartbeat_says_what_health_says(answer: int | None, value: int, box: Box) -> None:
    # curl as its manual has it: 7 where nobody listens, 22 for an error page if --fail is given, else 0.
    code = 7 if answer is None else 22 if answer >= 400 else 0
    curl = box.root / "bin/curl"
    curl.write_text(f'#!/bin/sh\ncase "$*" in *--fail*) exit {code} ;; *) exit {7 if answer is None else 0} ;; esac\n')
    curl.chmod(0o755)
    environment = {**os.environ, "STACK": "mine", "NOTES": str(box.notes), "PATH": f"{box.root / 'bin'}:/usr/bin:/bin"}
    subprocess.run([DEPLOY / "payload/heartbeat.sh"], env=environment, check=False, timeout=30)

    (said,) = box.called("aws")
    assert said.endswith(f"--dimensions Stack=mine --value {value}")
