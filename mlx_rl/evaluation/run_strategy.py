"""Traders to be measured against: the rule strategies, the oracle, and a random trader of equal turnover.

Doing nothing (HOLD) earns zero in every window and needs no run. The market's own price is a forecaster, judged in
`calibration`; as a trader it is HOLD, because by its own opinion no trade is worth its cost.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlx_rl.envs.batch import BatchAccounts
from mlx_rl.evaluation.exam import Batch
from mlx_rl.evaluation.rollout import I64, Play, lock_step
from mlx_rl.market.oracle import best_action, solve
from mlx_rl.strategies.contract import build
from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP

I8 = NDArray[np.int8]


def play_strategy(name: str, batch: Batch) -> tuple[Play, Counter[str]]:
    """Run the rule strategy `name` over a batch.

    Returns:
        What it did, and how many ticks it held for want of something, by reason.
    """
    rules = [build(name) for _ in batch.tapes]
    for rule, tape in zip(rules, batch.tapes, strict=True):
        rule.start(tape.market)
    wants: Counter[str] = Counter()

    def decide(t: int, is_open: I64, accounts: BatchAccounts, mask: NDArray[np.bool_]) -> I64:
        out = np.zeros(len(is_open), dtype=np.int64)
        position = accounts.position
        for i, w in enumerate(is_open):
            tape, rule = batch.tapes[int(w)], rules[int(w)]
            out[i] = rule.act(int(tape.recv_ns[t]), tape.rows[t], None, int(position[w]), mask[i])
            if rule.note:
                wants[rule.note] += 1
        return out

    return lock_step(batch.fills(), batch.payoffs, decide), wants


def play_oracle(batch: Batch) -> tuple[Play, list[I8]]:
    """Play the best actions in hindsight; also return them by tick and position, (T, 3) per window."""
    best = [
        best_action(solve(fills, float(payoff))).astype(np.int8)
        for fills, payoff in zip(batch.fills(), batch.payoffs, strict=True)
    ]

    def decide(t: int, is_open: I64, accounts: BatchAccounts, mask: NDArray[np.bool_]) -> I64:
        wanted = np.array([best[w][t, accounts.position[w]] for w in is_open], dtype=np.int64)
        return np.where(mask[np.arange(len(is_open)), wanted], wanted, HOLD)

    return lock_step(batch.fills(), batch.payoffs, decide), best


def holding_spans(positions: I8) -> list[tuple[int, int]]:
    """First and one-past-last tick of each stretch with a position, from (T,) positions."""
    side = np.concatenate([[FLAT], positions, [FLAT]])
    change = np.flatnonzero(side[1:] != side[:-1])
    spans: list[tuple[int, int]] = []
    for a, b in pairwise(change.tolist()):
        if side[a + 1] != FLAT:
            spans.append((a, b))
    return spans


def random_targets(positions: Sequence[I8], rng: np.random.Generator) -> list[I8]:
    """Shuffle when and on which side a trader held, keeping how often and how long.

    Stretches that ended before the window did are moved to random free places of the same window. Stretches
    held to settlement keep to settlement and swap their entry times among the windows that have one. Every side
    is a fair coin.

    Args:
        positions: per window (T,) the positions to imitate.

    Returns:
        Per window (T,) the position to aim for at each tick.
    """
    spans = [holding_spans(p) for p in positions]
    settled = [len(p) - s[-1][0] if s and s[-1][1] == len(p) else 0 for p, s in zip(positions, spans, strict=True)]
    pool = np.array([n for n in settled if n], dtype=np.int64)
    rng.shuffle(pool)
    swapped = iter(pool.tolist())
    targets: list[I8] = []
    for p, own, held in zip(positions, spans, settled, strict=True):
        lengths = [b - a for a, b in (own[:-1] if held else own)]
        taken = sum(lengths) + len(lengths)  # one flat tick behind each, so that two never merge
        last = min(next(swapped), max(len(p) - taken, held)) if held else 0
        free = max(len(p) - last - taken, 0)
        rng.shuffle(lengths)
        gaps = np.sort(rng.integers(0, free + 1, size=len(lengths)))
        target = np.zeros(len(p), np.int8)
        at = 0
        for gap, n in zip(gaps, lengths, strict=True):
            target[gap + at : gap + at + n] = rng.choice((UP, DOWN))
            at += n + 1
        if last:
            target[len(p) - last :] = rng.choice((UP, DOWN))
        targets.append(target)
    return targets


def play_targets(targets: Sequence[I8], batch: Batch) -> Play:
    """Trade towards a planned position at every tick, one order at a time."""

    def decide(t: int, is_open: I64, accounts: BatchAccounts, mask: NDArray[np.bool_]) -> I64:
        goal = np.array([targets[int(w)][t] for w in is_open])
        now = accounts.position[is_open]
        opening = np.where(goal == UP, BUY, np.where(goal == DOWN, SELL, HOLD))
        closing = np.where(now == UP, SELL, BUY)
        wanted = np.where(goal == now, HOLD, np.where(now == FLAT, opening, closing))
        return np.where(mask[np.arange(len(is_open)), wanted], wanted, HOLD)

    return lock_step(batch.fills(), batch.payoffs, decide)
