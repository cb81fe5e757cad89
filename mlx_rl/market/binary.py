"""A binary market's three positions, three actions and four orders, and what the state shows of a position.

HOLD does nothing. BUY opens Up from flat and closes Down; SELL opens Down from flat and closes Up. Everything
here is vectorised: positions and actions may be single numbers or arrays of one shape (…,).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.records import DOWN, FLAT, UP

OPEN_UP, CLOSE_UP, OPEN_DOWN, CLOSE_DOWN = 0, 1, 2, 3
ORDERS: tuple[str, ...] = ("OPEN_UP", "CLOSE_UP", "OPEN_DOWN", "CLOSE_DOWN")
NO_ORDER = -1

# Indexed [position][action]; positions FLAT, UP, DOWN; actions HOLD, BUY, SELL.
IS_ALLOWED: NDArray[np.bool_] = np.array([[True, True, True], [True, False, True], [True, True, False]])
_MASKS = np.stack([IS_ALLOWED, IS_ALLOWED & [True, False, False]])  # [is an order in flight][position][action]
ORDER_OF: NDArray[np.int64] = np.array(
    [[NO_ORDER, OPEN_UP, OPEN_DOWN], [NO_ORDER, NO_ORDER, CLOSE_UP], [NO_ORDER, CLOSE_DOWN, NO_ORDER]]
)
POSITION_AFTER: NDArray[np.int64] = np.array([[FLAT, UP, DOWN], [UP, UP, FLAT], [DOWN, FLAT, DOWN]])


def action_mask(position: ArrayLike, pending: ArrayLike = False) -> NDArray[np.bool_]:
    """Return which actions are allowed, (…,) -> (…, 3), True where allowed.

    Args:
        position: FLAT, UP or DOWN.
        pending: True where an order is in flight; then only HOLD is allowed.
    """
    return _MASKS[np.asarray(pending, np.intp), np.asarray(position)]


def order_of(position: ArrayLike, action: ArrayLike) -> NDArray[np.int64]:
    """Return the order that `action` sends from `position`, (…,); NO_ORDER (-1) for HOLD and masked actions."""
    return ORDER_OF[np.asarray(position), np.asarray(action)]


def position_after(position: ArrayLike, action: ArrayLike) -> NDArray[np.int64]:
    """Return the position once the order of `action` has filled, (…,); a masked action changes nothing."""
    return POSITION_AFTER[np.asarray(position), np.asarray(action)]


def position_entries(position: ArrayLike, pnl_usd: ArrayLike, size_shares: float) -> NDArray[np.float32]:
    """Return the three state entries that describe a position, (…,) -> (…, 3) float32 in [-1, 1].

    Args:
        position: FLAT, UP or DOWN.
        pnl_usd: liquidation value less what the position cost; ignored where flat.
        size_shares: shares per position, so also its highest payout in USD.

    Returns:
        has_position (0 or 1), position_side (+1 Up, -1 Down, 0 flat), position_pnl as a fraction of the payout.
    """
    held = np.asarray(position)
    entries = np.zeros((*held.shape, 3), dtype=np.float32)
    entries[..., 0] = held != FLAT
    entries[..., 1] = (held == UP).astype(np.float32) - (held == DOWN)
    entries[..., 2] = np.where(held == FLAT, 0.0, np.clip(np.asarray(pnl_usd) / size_shares, -1.0, 1.0))
    return entries
