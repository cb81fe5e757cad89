"""A small dataset with the trainer's arrays, for tests."""

from dataclasses import dataclass

import numpy as np

from mlx_rl.training.data import F32, I64


@dataclass
class ToyData:
    """Random states and labels in the shape of `mlx_rl.training.data.TrainingData`."""

    features: F32
    row: I64
    first_row: I64
    q: F32
    value: F32
    payoff: F32
    market_mid: F32
    entry: F32  # (S, 2, 4) four imagined profits per side to draw from

    def pnl(self, ids: I64, draw: int) -> F32:
        """The draw picks one of four imagined profits, by sample and counter."""
        return self.entry[ids, :, (ids * 7 + draw) % 4]

    @classmethod
    def random(cls, windows: int, ticks: int, features: int, seq_len: int, seed: int) -> "ToyData":
        """Make `windows` market windows of `ticks` ticks each; labels follow the newest state's first features."""
        rng = np.random.default_rng(seed)
        n = windows * ticks
        stride = ticks + seq_len - 1
        x = np.zeros((windows, stride, features), np.float32)
        x[:, seq_len - 1 :] = rng.uniform(-1, 1, (windows, ticks, features))
        x[:, :, 12:15] = 0.0
        first = np.repeat(np.arange(windows) * stride + seq_len - 1, ticks)
        row = first + np.tile(np.arange(ticks), windows)
        flat = x.reshape(-1, features)
        q = rng.normal(0, 0.02, (n, 3, 3)).astype(np.float32)
        q[:, 0, 1] += 0.05 * flat[row, 0]
        q[:, 0, 2] -= 0.05 * flat[row, 0]
        q[:, 1, 1] = q[:, 2, 2] = -np.inf
        mid = rng.uniform(0.1, 0.9, n).astype(np.float32)
        mid[::11] = np.nan
        payoff = np.repeat((rng.random(windows) < 0.5).astype(np.float32), ticks)
        entry = rng.uniform(-0.3, 0.3, (n, 2, 4)).astype(np.float32)
        return cls(flat, row, first, q, q.max(axis=2), payoff, mid, entry)
