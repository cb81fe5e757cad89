"""A new box goes on with the recording in its bucket: what the unit runs before the recorder starts."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from observer.capture.settings import ObserveSettings
from observer.cli.sync import SyncSettings
from observer.kit.cli import parse
from tests.deploy.rendered import DEPLOY, SAMPLE, user_data

UNIT = (DEPLOY / "systemd/mlx-rl-observer.service").read_text()
PROGRAM = "/opt/mlx-rl/current/venv/bin/mlx-rl"


def before_start(folder: Path, **environment: str) -> list[str]:
    """What the unit asks of `mlx-rl` before the recorder starts; its words, none where it asks nothing."""
    stand_in = folder / "mlx-rl"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/asked\n')
    stand_in.chmod(0o755)
    (line,) = re.findall(r"^ExecStartPre=(.+)$", UNIT.replace("\\\n", " "), re.MULTILINE)
    command = shlex.split(line.replace(PROGRAM, str(stand_in)))
    assert command[0] == "/bin/sh"
    subprocess.run(command, env={"PATH": os.environ["PATH"], **environment}, check=True, timeout=10)
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_a_box_with_a_bucket_asks_it_first(tmp_path: Path) -> None:
    asked = before_start(tmp_path, RESUME_FROM="s3://recordings/observer", STATE_DIRECTORY="/var/lib/mlx-rl")

    assert asked[:3] == ["sync", "s3://recordings/observer", "/var/lib/mlx-rl"]
    told = parse(SyncSettings, ["--source", asked[1], "--data-dir", asked[2], *asked[3:]], prog="", about="")
    assert told.fresh_only  # a box that has recorded is left alone, and waits for no store
    assert not told.archives  # or its disk would be full before it records


@pytest.mark.parametrize("environment", [{}, {"RESUME_FROM": ""}])
def test_a_box_without_one_asks_nobody(tmp_path: Path, environment: dict[str, str]) -> None:
    assert before_start(tmp_path, STATE_DIRECTORY="/var/lib/mlx-rl", **environment) == []


def test_it_resumes_from_where_the_recorder_uploads_to() -> None:
    (place,) = re.findall(r"RESUME_FROM=(\S+)", user_data())

    assert place == f"s3://{SAMPLE['Bucket']}/{ObserveSettings().s3_prefix}"
    assert "--local-dir %S/mlx-rl " in UNIT
    assert "StateDirectory=mlx-rl\n" in UNIT
