"""Dynamic programme over what the past says about the next fill.

Every trade is a leg: it moves the position by one step of (Down, flat, Up) at the mid of the next tick, plus or
minus the half spread. Let F be the fundamental, a martingale at whose last value a position settles on
average. Then the expected profit of *any* policy that sees only the past is the sum over its legs of

    BUY:  + edge − half_spread          SELL:  − edge − half_spread,

where edge = E[F − mid at the fill | past]. (Write each cash flow as the last F less what was paid over it. The
position held at the end settles at the last F on average, which cancels the last F of all legs; what is left of each
leg may be replaced by its expectation at the decision.) Holding costs nothing and settlement adds nothing, so the
end of the window needs no treatment.

If the edge is a function of a finite signal that moves by itself (no action changes it), whatever else the past
holds is of no use, and backward induction over (decisions left, position, signal) is exact.

Shapes: S signals, K next signals, N decisions, P = 3 positions (FLAT, UP, DOWN), A = 3 actions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP

F64 = NDArray[np.float64]

# (position, action, position after, direction of the leg); every other pair is masked.
LEGS = ((FLAT, BUY, UP, 1), (FLAT, SELL, DOWN, -1), (UP, SELL, FLAT, -1), (DOWN, BUY, FLAT, 1))


@dataclass(frozen=True)
class SignalChain:
    """A finite signal and what it says about the next fill.

    Attributes:
        edge: (S,) expected gain of buying one share of Up at the mid of the next tick, USD.
        next_signal: (S, K) where the signal may go at the next tick.
        chance: (K,) with which probability, the same in every signal.
        start: (S,) probability of each signal at the first decision.
    """

    edge: F64
    next_signal: NDArray[np.int64]
    chance: F64
    start: F64


@dataclass(frozen=True)
class Plan:
    """The solved programme.

    Attributes:
        usd_per_share: expected profit of a flat start over all decisions, USD per share of size.
        actions: (N + 1, P, S) int8 best action by decisions left; row 0 holds. A tie holds.
    """

    usd_per_share: float
    actions: NDArray[np.int8]


def independent(edges: list[float], chances: list[float]) -> SignalChain:
    """A signal drawn anew at every tick, from its first decision on."""
    n = len(edges)
    chance = np.array(chances, dtype=np.float64)
    return SignalChain(np.array(edges, dtype=np.float64), np.tile(np.arange(n), (n, 1)), chance, chance)


def solve_chain(chain: SignalChain, half_spread: float, n_decisions: int) -> Plan:
    """Backward induction, exact for `n_decisions` decisions in a row; size and fees do not enter."""
    n_signals = len(chain.edge)
    signal = np.arange(n_signals)
    value = np.zeros((3, n_signals))
    actions = np.zeros((n_decisions + 1, 3, n_signals), dtype=np.int8)
    for left in range(1, n_decisions + 1):
        ahead = value[:, chain.next_signal] @ chain.chance  # (P, S): expected value one tick on, position kept
        of_action = np.full((3, 3, n_signals), -np.inf)
        of_action[:, HOLD] = ahead
        for position, action, after, direction in LEGS:
            of_action[position, action] = direction * chain.edge - half_spread + ahead[after]
        best = _argmax_holding_ties(of_action)
        actions[left] = best
        value = of_action[np.arange(3)[:, None], best, signal]
    return Plan(float(value[FLAT] @ chain.start), actions)


def _argmax_holding_ties(of_action: F64) -> NDArray[np.int64]:
    """(P, A, S) -> (P, S); gains below a billionth of a dollar are rounding, and do not beat HOLD."""
    best = np.argmax(of_action, axis=1)
    gain = of_action.max(axis=1) - of_action[:, HOLD]
    return np.where(gain > 1e-9, best, HOLD)
