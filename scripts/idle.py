"""Whether anything else runs here. A race on a busy machine says nothing about the runners."""

import sys
import time
from pathlib import Path

from scripts.proofs import NotRunHere

BUSY, LOOK_S = 0.15, 3.0  # share of all cores


def require_idle() -> None:
    """Raise `NotRunHere` while other programs use more than a little of the machine; only Linux can tell."""
    if sys.platform == "linux" and (busy := busy_share(LOOK_S)) > BUSY:
        raise NotRunHere(f"the machine is busy ({busy:.0%} of its cores): run it again on an idle one")


def busy_share(seconds: float) -> float:
    """Share of all cores that was used over so many seconds, this process asleep."""
    before = _times()
    time.sleep(seconds)
    after = _times()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def _times() -> tuple[int, int]:
    """Ticks of all cores since boot: busy ones, and all."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)
