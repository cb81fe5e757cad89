"""Let a policy trade many windows under the money law, all of them in lock step.

Every tick of every window is encoded first, in large batches, because the encoding does not know the position.
Then all windows step together: state with position entries, heads, mask, action, one tick on.

Shapes: W windows, T ticks of the longest, L window length, F features, Z width of the encoding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.envs.batch import BatchAccounts
from mlx_rl.features.schema import POSITION_COLUMNS
from mlx_rl.market.fills import Fills
from mlx_rl.policy import Policy, choose
from observer.kit.errors import ToolkitError

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
# (tick, windows still open (n,), their accounts, their mask (n, 3)) -> actions (n,)
Decide = Callable[[int, I64, BatchAccounts, NDArray[np.bool_]], I64]

LEDGER = ("gross", "spread", "fees", "slippage", "net", "trades", "turnover_usd", "held_to_settlement")
ENCODE_AT_ONCE = 2048


@dataclass
class Play:
    """What one trader did in each window, and what came of it.

    Attributes:
        ledger: name -> (W,), the columns of `LEDGER`; USD, orders filled, bool.
        actions: per window (T,) int8, the decision at each tick.
        positions: per window (T,) int8, the position it was taken in.
        is_free: per window (T,) bool, False where an order was in flight and only HOLD was possible.
        equity: per window (T + 1,) float32 USD before each decision; the last entry is the settled net.
        forecast: per window (T,) float32 correction to the market's log-odds of Up; None for traders without one.
    """

    ledger: dict[str, NDArray[Any]]
    actions: list[NDArray[np.int8]]
    positions: list[NDArray[np.int8]]
    is_free: list[NDArray[np.bool_]]
    equity: list[F32]
    forecast: list[F32] | None = None

    @property
    def net(self) -> NDArray[np.float64]:
        """(W,) USD after all costs."""
        return self.ledger["net"].astype(np.float64)


def join(parts: Sequence[Play]) -> Play:
    """Put batches of one trader back together."""
    has_forecast = all(p.forecast is not None for p in parts)
    return Play(
        {name: np.concatenate([p.ledger[name] for p in parts]) for name in parts[0].ledger},
        [a for p in parts for a in p.actions], [a for p in parts for a in p.positions],
        [a for p in parts for a in p.is_free], [a for p in parts for a in p.equity],
        [a for p in parts for a in p.forecast or ()] if has_forecast else None,
    )  # fmt: skip


def lock_step(fills: Sequence[Fills], payoffs: Sequence[float] | NDArray[np.float64], decide: Decide) -> Play:
    """Run all windows to settlement, asking `decide` for the open ones at every tick."""
    accounts = BatchAccounts(fills, [float(p) for p in payoffs])
    length = np.array([len(f) for f in fills])
    w, ticks = len(fills), int(length.max())
    actions, positions = np.zeros((w, ticks), np.int8), np.zeros((w, ticks), np.int8)
    is_free, equity = np.zeros((w, ticks), np.bool_), np.zeros((w, ticks + 1), np.float32)
    for t in range(ticks):
        is_open = np.flatnonzero(length > t)
        mask = accounts.mask()[is_open]
        positions[is_open, t] = accounts.position[is_open]
        is_free[is_open, t] = ~accounts.is_pending[is_open]
        equity[is_open, t] = accounts.equity_usd()[is_open]
        chosen = np.zeros(w, dtype=np.int64)
        chosen[is_open] = decide(t, is_open, accounts, mask)
        actions[is_open, t] = chosen[is_open]
        accounts.step(chosen)
    equity[np.arange(w), length] = accounts.equity_usd()
    return Play(
        accounts.ledger(),
        [a[:n].copy() for a, n in zip(actions, length, strict=True)],
        [a[:n].copy() for a, n in zip(positions, length, strict=True)],
        [a[:n].copy() for a, n in zip(is_free, length, strict=True)],
        [a[: n + 1].copy() for a, n in zip(equity, length, strict=True)],
    )


@dataclass(frozen=True)
class Encoded:
    """Every tick of some windows as a policy sees it: scaled states (W, T, F) and encodings (W, T, Z)."""

    states: F32
    encoded: F32
    length: I64


def encode_windows(policy: Policy, features: Sequence[F32]) -> Encoded:
    """Scale and encode every tick of each window; `features` holds one (T, F) array per window."""
    length = np.array([len(x) for x in features], dtype=np.int64)
    n_features, w, ticks, reach = features[0].shape[1], len(features), int(length.max()), policy.seq_len
    # L − 1 zero rows in front of each window: a tick's window is then a view of L rows.
    padded = np.zeros((w, ticks + reach - 1, n_features), np.float32)
    for i, x in enumerate(features):
        padded[i, reach - 1 : reach - 1 + len(x)] = policy.scaler.apply(x)
    encoded = np.zeros((w, ticks, policy.temporal_dim), np.float32)
    for i in range(w):
        views = np.lib.stride_tricks.sliding_window_view(padded[i], reach, axis=0).transpose(0, 2, 1)  # (T, L, F)
        for first in range(0, int(length[i]), ENCODE_AT_ONCE):
            last = min(first + ENCODE_AT_ONCE, int(length[i]))
            is_real = np.arange(reach)[None] >= reach - 1 - np.arange(first, last)[:, None]
            encoded[i, first:last] = policy.encode(np.ascontiguousarray(views[first:last]), is_real)
    return Encoded(padded[:, reach - 1 :], encoded, length)


def play_policy(
    policy: Policy, seen: Encoded, fills: Sequence[Fills], payoffs: Sequence[float] | NDArray[np.float64]
) -> Play:
    """Let a policy trade the windows it has encoded.

    Raises:
        ToolkitError: the policy answered with a number that is not finite.
    """
    forecast = np.zeros(seen.states.shape[:2], np.float32)

    def decide(t: int, is_open: I64, accounts: BatchAccounts, mask: NDArray[np.bool_]) -> I64:
        state = seen.states[is_open, t]
        state[:, POSITION_COLUMNS] = accounts.entries()[is_open]
        logits, _, correction = policy.heads(state, seen.encoded[is_open, t])
        if not (np.isfinite(logits).all() and np.isfinite(correction).all()):
            raise ToolkitError(f"{policy.name} answered tick {t} with NaN or infinity; it cannot be judged or traded.")
        forecast[is_open, t] = correction
        return choose(logits, mask)

    play = lock_step(fills, payoffs, decide)
    play.forecast = [f[:n].copy() for f, n in zip(forecast, seen.length, strict=True)]
    return play
