"""What the trainer needs from a dataset, and how a batch is gathered from it. NumPy only; nothing is copied whole.

The trainer never sees a market: it sees ids of samples. A fold is an array of ids; the arrays below hold one
entry per sample of the whole dataset, so folds share them.

    features    (N, F) float32   scaled states, position entries zero; L−1 zero rows before each market window
    row         (S,) int64       row of the sample's newest state in `features`
    first_row   (S,) int64       row of the first recorded state of the sample's market window
    q           (S, 3, 3) float32  [position, action] USD per share of size; −inf where the mask forbids the action
    value       (S, 3) float32   best q of each position, USD per share of size
    payoff      (S,) float32     what one share of Up paid: 1, 0 or 0.5; NaN where unknown
    market_mid  (S,) float32     the market's own P(Up); NaN where a side was not quoted
    pnl(ids, draw) -> (B, 2) float32   profit of an imagined Up / Down position held at the sample, USD per share of
                                 size, entered at an earlier tick that was really quoted (0 where there is none);
                                 a pure function of (ids, draw), so that a resumed run imagines the same entries

Letters: N rows, S samples, B batch, L window length, F features; positions FLAT, UP, DOWN; actions HOLD, BUY, SELL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from observer.kit.errors import UsageError
from observer.kit.rng import stream

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class TrainingData(Protocol):
    """The arrays of the module's docstring."""

    @property
    def features(self) -> F32: ...
    @property
    def row(self) -> I64: ...
    @property
    def first_row(self) -> I64: ...
    @property
    def q(self) -> F32: ...
    @property
    def value(self) -> F32: ...
    @property
    def payoff(self) -> F32: ...
    @property
    def market_mid(self) -> F32: ...

    def pnl(self, ids: I64, draw: int) -> F32:
        """(B,) ids, a counter -> (B, 2) USD per share of size, of imagined Up and Down positions."""
        ...


@dataclass(frozen=True)
class Batch:
    """One batch, in buffers that the next batch overwrites.

    Attributes:
        window: (B, L, F) scaled states, oldest first, position entries zero.
        is_real: (B, L) bool, True where the slot holds a recorded state of this market window.
        pnl: (B, 2), q: (B, 3, 3), value: (B, 3), payoff: (B,), market_mid: (B,) as in the module's docstring.
    """

    window: F32
    is_real: NDArray[np.bool_]
    pnl: F32
    q: F32
    value: F32
    payoff: F32
    market_mid: F32


class Gather:
    """Fills one set of buffers again and again, batch by batch.

    Args:
        data: where to read.
        seq_len: states in one window, L.
        batch_size: most samples a batch can hold.
    """

    def __init__(self, data: TrainingData, seq_len: int, batch_size: int) -> None:
        self.data, self.seq_len = data, seq_len
        self.offsets = np.arange(1 - seq_len, 1)
        self.rows = np.empty((batch_size, seq_len), np.int64)
        self.window = np.empty((batch_size, seq_len, data.features.shape[1]), np.float32)

    def __call__(self, ids: I64, draw: int) -> Batch:
        """Gather the samples `ids`; `draw` selects which entries are imagined for the held positions."""
        data, n = self.data, len(ids)
        rows, window = self.rows[:n], self.window[:n]
        np.add(data.row[ids, None], self.offsets, out=rows)
        is_real = rows >= data.first_row[ids, None]
        np.take(data.features, rows, axis=0, out=window, mode="clip")
        window[~is_real] = 0.0  # a neighbour's rows, or a shorter zero margin than L−1, never show through
        return Batch(
            window,
            is_real,
            data.pnl(ids, draw),
            data.q[ids],
            data.value[ids],
            data.payoff[ids],
            data.market_mid[ids],
        )


def epoch_order(ids: I64, seed: int, epoch: int) -> I64:
    """Return the samples of one epoch in its own order, a pure function of seed and epoch."""
    return stream(seed, "order", epoch).permutation(ids)


def step_ids(order: I64, batch_size: int, start: int = 0) -> Iterator[tuple[int, I64]]:
    """Yield (step, ids) of an epoch from step `start` on; all full; a remainder sits this epoch out."""
    for step in range(start, len(order) // batch_size):
        yield step, order[step * batch_size : (step + 1) * batch_size]


def check_data(data: TrainingData, ids: I64) -> None:
    """Refuse a dataset whose arrays do not belong together.

    Raises:
        UsageError: a shape or a type other than the module's docstring says, or no sample to learn from.
    """
    n, f = len(data.row), data.features.shape[1]
    shapes: dict[str, tuple[int, ...]] = {
        "features": (len(data.features), f),
        "first_row": (n,),
        "q": (n, 3, 3),
        "value": (n, 3),
        "payoff": (n,),
        "market_mid": (n,),
    }
    for name, shape in shapes.items():
        found = getattr(data, name)
        kind = np.int64 if name == "first_row" else np.float32
        if found.shape != shape or found.dtype != kind:
            raise UsageError(
                f"dataset array {name} is {found.shape} {found.dtype}; the trainer wants {shape} {np.dtype(kind)}. "
                "Build the dataset again."
            )
    if len(ids) == 0:
        raise UsageError("the training fold holds no sample. Record more windows, or widen --markets or the dates.")
