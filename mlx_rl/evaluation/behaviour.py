"""What a trader does, apart from what it earns: actions, holding times, turnover, agreement with hindsight."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.rollout import Play
from mlx_rl.evaluation.run_strategy import holding_spans
from observer.records import ACTIONS


def describe(play: Play, left_s: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    """Summarise one trader; `left_s` holds the seconds to the close at each tick, per window.

    The action mix counts only ticks on which the trader was free to act (no order in flight).
    """
    counts = np.zeros(len(ACTIONS))
    held: list[float] = []
    for actions, positions, free, left in zip(play.actions, play.positions, play.is_free, left_s, strict=True):
        counts += np.bincount(actions[free], minlength=len(ACTIONS))
        for first, end in holding_spans(positions):
            held.append(float(left[first] - (left[end] if end < len(left) else 0.0)))
    trades = play.ledger["trades"].astype(np.float64)
    return {
        "decisions": int(counts.sum()),
        "action_share": {name: float(c / max(counts.sum(), 1)) for name, c in zip(ACTIONS, counts, strict=True)},
        "trades_per_window": float(trades.mean()),
        "windows_traded_share": float((trades > 0).mean()),
        "turnover_usd_per_window": float(play.ledger["turnover_usd"].mean()),
        "held_to_settlement_share": float(play.ledger["held_to_settlement"].mean()),
        "median_holding_s": float(np.median(held)) if held else None,
        "win_share_of_traded": float((play.net[trades > 0] > 0).mean()) if (trades > 0).any() else None,
    }


def confusion(play: Play, best: Sequence[NDArray[np.int8]]) -> list[list[int]]:
    """How often each action (row) was taken where hindsight preferred each action (column), in the same position."""
    table = np.zeros((len(ACTIONS), len(ACTIONS)), dtype=np.int64)
    for actions, positions, free, wanted in zip(play.actions, play.positions, play.is_free, best, strict=True):
        ideal = wanted[np.arange(len(actions)), positions]
        np.add.at(table, (actions[free], ideal[free]), 1)
    return table.tolist()
