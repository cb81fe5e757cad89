"""The confusion matrix, counted by hand."""

import numpy as np

from mlx_rl.evaluation.behaviour import confusion
from mlx_rl.evaluation.rollout import Play
from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP


def test_rows_are_what_was_done_and_columns_what_was_best_in_the_same_position() -> None:
    # Flat, hindsight says BUY at every tick; holding Up it says SELL, holding Down it says HOLD.
    best = np.tile(np.array([BUY, SELL, HOLD], np.int8), (6, 1))
    actions = np.array([HOLD, HOLD, BUY, HOLD, HOLD, SELL], np.int8)
    positions = np.array([FLAT, FLAT, FLAT, UP, UP, DOWN], np.int8)
    is_free = np.array([True, True, True, False, True, True])
    play = Play({}, [actions], [positions], [is_free], [])

    # HOLD twice where BUY was best and once (the other had an order in flight) where SELL was; BUY once where BUY
    # was best; SELL once where HOLD was.
    assert confusion(play, [best]) == [[0, 2, 1], [0, 1, 0], [1, 0, 0]]
    assert confusion(Play({}, [actions] * 2, [positions] * 2, [is_free] * 2, []), [best] * 2)[HOLD] == [0, 4, 2]
