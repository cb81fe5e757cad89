"""What every rule strategy must pass, made-up or recorded tapes alike.

A member is driven over tapes with a plain account (an order fills at the next tick) and must: repeat itself,
never choose a masked action, hold without quotes and near the close, know only the past, forget at a window's
start, and leave its inputs as they were.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mlx_rl.market.binary import action_mask, position_after
from mlx_rl.strategies.contract import Strategy
from observer.kit.clock import NS_PER_S
from observer.kit.errors import ToolkitError
from observer.records import ACTIONS, FLAT, HOLD, POSITIONS, Tape


class ContractBroken(ToolkitError):
    """A strategy does not do what every strategy owes."""


def check_strategy(make: Callable[[], Strategy], tapes: Sequence[Tape]) -> None:
    """Check one family member over at least two windows.

    Raises:
        ContractBroken: naming the strategy and the rule it breaks.
    """
    one, two = make(), make()
    for tape in tapes:
        actions = drive(one, tape)
        _require(np.array_equal(actions, drive(two, tape)), one, "gives other actions the second time")
        _require(np.array_equal(actions, drive(make(), tape)), one, "remembers the window before")
        half = len(tape) // 2
        past = drive(make(), tape.until(int(tape.recv_ns[half - 1])))
        _require(np.array_equal(actions[:half], past), one, "changes a past action when the future is cut off")
        _check_masks(make(), tape)
        _check_blind(make(), tape)
        left_s = (tape.market.close_ns - tape.recv_ns) / NS_PER_S
        quiet_s = one.Settings().model_dump().get("quiet_s", 0.0)
        _require(bool((actions[left_s <= quiet_s] == HOLD).all()), one, f"acts in the last {quiet_s:g} s")


def drive(strategy: Strategy, tape: Tape) -> np.ndarray:
    """Run a strategy over one window, orders filling at the next tick -> (T,) int64 actions.

    Raises:
        ContractBroken: it chose a masked action, or changed what it was shown.
    """
    strategy.start(tape.market)
    actions = np.empty(len(tape), dtype=np.int64)
    position = FLAT
    for t in range(len(tape)):
        row, mask = tape.rows[t].copy(), action_mask(position)
        action = strategy.act(int(tape.recv_ns[t]), row, None, position, mask)
        _require(np.array_equal(row, tape.rows[t], equal_nan=True), strategy, "writes into the tick it is shown")
        _require(np.array_equal(mask, action_mask(position)), strategy, "writes into the mask")
        _require(bool(mask[action]), strategy, f"chose {ACTIONS[action]} while {POSITIONS[position]}, which is masked")
        actions[t], position = action, int(position_after(position, action))
    return actions


def _check_masks(strategy: Strategy, tape: Tape) -> None:
    """With an order in flight only HOLD is allowed, whatever the position and the price."""
    strategy.start(tape.market)
    for t in range(len(tape)):
        position = t % len(POSITIONS)
        action = strategy.act(int(tape.recv_ns[t]), tape.rows[t], None, position, action_mask(position, True))
        _require(action == HOLD, strategy, "acts while an order is in flight")


def _check_blind(strategy: Strategy, tape: Tape) -> None:
    """At every seventh tick the quotes are gone: hold, and say why."""
    strategy.start(tape.market)
    for t in range(len(tape)):
        is_blind = t % 7 == 3
        row = np.full_like(tape.rows[t], np.nan) if is_blind else tape.rows[t]
        action = strategy.act(int(tape.recv_ns[t]), row, None, FLAT, action_mask(FLAT))
        if is_blind:
            _require(action == HOLD, strategy, "acts without quotes")
            _require(bool(strategy.note), strategy, "does not say why it holds without quotes")


def _require(holds: bool, strategy: Strategy, broken: str) -> None:
    if not holds:
        raise ContractBroken(f"strategy {strategy.name} {broken}. See mlx_rl/strategies/contract.py for what it owes.")
