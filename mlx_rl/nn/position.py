"""Sinusoidal positions: slot p of a window is the same vector whatever the market does.

PE[p, 2i] = sin(p / 10000^(2i/D)), PE[p, 2i+1] = cos(the same); slot 0 is the oldest. Shapes: L slots, D width.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.nn.backend import mx, nn


def sinusoid(seq_len: int, width: int) -> NDArray[np.float32]:
    """The (L, D) table, computed in float64 and rounded once."""
    angle = np.arange(seq_len)[:, None] / 10000.0 ** (np.arange(0, width, 2) / width)
    table = np.empty((seq_len, width))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return table.astype(np.float32)


class PositionalTable(nn.Module):
    """Gives each slot its vector. The table is a constant: no parameter, never saved, never decayed."""

    def __init__(self, seq_len: int, width: int) -> None:
        super().__init__()
        self._table = mx.array(sinusoid(seq_len, width))

    def __call__(self, x: mx.array) -> mx.array:
        """x + table: (…, L, D) -> (…, L, D)."""
        return x + self._table
