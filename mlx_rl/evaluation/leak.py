"""The canary: does a state, or a decision, change when the future is taken away?

Windows are cut at a few ticks and their features computed again from what was known then. If a state differs
by a single bit, something looked ahead, and no figure of the evaluation may be read.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.exam import Batch
from observer.records import Tape

States = Callable[[Batch], list[NDArray[np.float32]]]
CUTS = (0.25, 0.6, 0.95)  # of the window's ticks


def find_leak(states: Callable[[], States], batch: Batch, *, windows: int = 3) -> str | None:
    """Look for a state that knew its future in the first `windows` windows of a batch.

    Args:
        states: makes a fresh feature function for each try.
        batch: windows to try.

    Returns:
        What was found, in one sentence, or None.
    """
    for at in range(min(windows, len(batch.tapes))):
        tape = batch.tapes[at]
        whole = states()(_only(batch, at, tape))[0]
        for cut in CUTS:
            n = max(1, int(len(tape) * cut))
            past = states()(_only(batch, at, tape.until(int(tape.recv_ns[n - 1]))))[0]
            differs = ~((past == whole[:n]) | (np.isnan(past) & np.isnan(whole[:n])))
            if differs.any():
                tick, column = np.argwhere(differs)[0]
                return (
                    f"state entry {column} of {tape.market.market_id} at tick {tick} changes when the ticks after "
                    f"{n - 1} are taken away: it looks ahead"
                )
    return None


def _only(batch: Batch, at: int, tape: Tape) -> Batch:
    return Batch(batch.first + at, [tape], batch.payoffs[at : at + 1], batch.law)
