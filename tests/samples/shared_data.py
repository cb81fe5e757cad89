"""Where the recorded development data lies, and how a test says that it is absent."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MLX_RL_RECORDINGS", "recordings-are-not-bundled"))


def shared(relative: str) -> Path:
    """Return the path of a development recording, or skip the test, naming what is missing."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"recorded data {relative} is absent; set MLX_RL_RECORDINGS to its folder")
    return path
