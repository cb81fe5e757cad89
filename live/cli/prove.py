"""`mlx-rl prove`: hand over to `scripts/prove.py` of the source checkout; the proofs are not installed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from observer.kit.console import say

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prove.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script with the same arguments and return its exit code."""
    if not SCRIPT.is_file():
        say("error: the proofs come with the source checkout. Clone it, `pip install -e .`, and run this there.")
        return 2
    return subprocess.run(
        [sys.executable, str(SCRIPT), *(sys.argv[1:] if argv is None else argv)], check=False
    ).returncode
