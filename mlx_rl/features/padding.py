"""The window a policy sees: the last L states of one market, zeros in front where there were fewer.

Live and datasets share this rule, so a market's first ticks look the same to both.
Shapes: N states so far, L window length, F features.
"""

import numpy as np
from numpy.typing import NDArray

from observer.kit.errors import UsageError


def padded_window(
    history: NDArray[np.float32], seq_len: int, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Take the last `seq_len` states of `history`.

    Args:
        history: (N, F) scaled states of one market, oldest first, N >= 1.
        seq_len: L, at least 1.
        out: (L, F) to write into instead of a new array.

    Returns:
        window (L, F) with zero rows in front of a short history, and is_real (L,), True where a row is a state.
        The last row is always real.
    """
    n = min(len(history), seq_len)
    if n < 1:
        raise UsageError(f"a window wants at least one state and one slot; got {len(history)} and {seq_len}.")
    window = np.empty((seq_len, history.shape[1]), np.float32) if out is None else out
    window[: seq_len - n] = 0.0
    window[seq_len - n :] = history[len(history) - n :]
    return window, np.arange(seq_len) >= seq_len - n
