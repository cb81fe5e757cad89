"""Every command the documentation shows is run here, in the order of the page, in a fresh folder.

A fenced block marked `bash` is run. `make` targets are what CI itself runs, so they are only checked to exist.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The page's commands, continued lines joined, comments left out."""
    text = "\n".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_commands_of_the_page_work(page: Path, tmp_path: Path) -> None:
    for part in ("scripts", "observer", *(f.name for f in ROOT.glob("*.py"))):
        (tmp_path / part).symlink_to(ROOT / part)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    for command in commands(page):
        words = shlex.split(command)
        if words[0] == "make":
            targets = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{word}:", targets, re.MULTILINE) for word in words[1:]), command
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
