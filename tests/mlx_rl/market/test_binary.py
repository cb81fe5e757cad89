"""Positions, actions and what the state shows of them."""

import numpy as np
import pytest

from mlx_rl.market.binary import (
    CLOSE_DOWN,
    CLOSE_UP,
    NO_ORDER,
    OPEN_DOWN,
    OPEN_UP,
    action_mask,
    order_of,
    position_after,
    position_entries,
)
from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP


def test_mask_by_position() -> None:
    assert action_mask(FLAT).tolist() == [True, True, True]
    assert action_mask(UP).tolist() == [True, False, True]
    assert action_mask(DOWN).tolist() == [True, True, False]


def test_only_hold_while_an_order_is_in_flight() -> None:
    mask = action_mask([FLAT, UP, DOWN, FLAT], [True, True, True, False])

    assert mask.tolist() == [[True, False, False]] * 3 + [[True, True, True]]


def test_a_mask_belongs_to_its_caller() -> None:
    action_mask(FLAT)[:] = False
    action_mask([FLAT, UP])[:] = False

    assert action_mask(FLAT).all()  # the table behind it was not changed


def test_orders_and_what_they_lead_to() -> None:
    assert order_of([FLAT, FLAT, UP, DOWN], [BUY, SELL, SELL, BUY]).tolist() == [
        OPEN_UP, OPEN_DOWN, CLOSE_UP, CLOSE_DOWN,
    ]  # fmt: skip
    assert order_of([FLAT, UP, UP, DOWN], [HOLD, HOLD, BUY, SELL]).tolist() == [NO_ORDER] * 4
    assert position_after([FLAT, FLAT, UP, DOWN, UP], [BUY, SELL, SELL, BUY, HOLD]).tolist() == [UP, DOWN, 0, 0, UP]


def test_an_order_exists_exactly_where_a_trade_is_allowed() -> None:
    position, action = np.indices((3, 3))

    has_order = order_of(position, action) != NO_ORDER
    assert (has_order == (action_mask(position)[position, action, action] & (action != HOLD))).all()
    assert ((position_after(position, action) != position) == has_order).all()


def test_entries_are_fractions_of_the_payout() -> None:
    # 50 shares pay 50 USD at most: +5 USD is +0.1, −10 USD is −0.2; flat shows nothing of an old profit.
    entries = position_entries([FLAT, UP, DOWN], [9.0, 5.0, -10.0], 50.0)

    assert entries.dtype == np.float32
    np.testing.assert_allclose(entries, [[0, 0, 0], [1, 1, 0.1], [1, -1, -0.2]], atol=1e-7)


def test_entries_stay_in_range() -> None:
    assert position_entries(UP, -50.2, 50.0).tolist() == pytest.approx([1.0, 1.0, -1.0])
