"""The oracle is the best that can be done: brute force finds no better and no other."""

import numpy as np
import pytest

from mlx_rl.market import LawSettings
from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.oracle import best_action, class_balance, solve
from observer.kit.errors import BadRecording
from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP
from tests.mlx_rl.market.slow_law import START_POSITIONS, brute_force, random_case, slow_ticks


@pytest.mark.parametrize("block", range(6))
def test_every_action_sequence_on_short_paths_confirms_the_oracle(block: int) -> None:
    for index in range(block * 60, block * 60 + 60):
        tape, law, payoff = random_case(0, index, most_ticks=7)
        oracle = solve(price_fills(tape, law), payoff)

        for position in START_POSITIONS:
            found = brute_force(tape, law, payoff, position)
            np.testing.assert_allclose(oracle.q[0, position], found, rtol=0, atol=1e-9, err_msg=f"case {index}")
            assert oracle.value[0, position] == pytest.approx(found.max(), abs=1e-9)


def test_pricing_equals_exact_fractions() -> None:
    n_filled = 0
    for index in range(240):
        tape, law, _ = random_case(1, index)
        fills = price_fills(tape, law)

        for t, slow in enumerate(slow_ticks(tape, law)):
            n_filled += int((~np.isnan(slow.cash)).sum())
            for name in ("cash", "fee_usd", "spread_usd", "slippage_usd", "dust_shares"):
                np.testing.assert_allclose(
                    getattr(fills, name)[t], getattr(slow, name), rtol=0, atol=2e-9, err_msg=f"{index} {t} {name}"
                )
    assert n_filled > 1000


def _by_hand() -> Fills:
    """Three ticks, 10 shares, no costs: Up is bid/asked at 0.40, 0.50, 0.70; Down at the complement."""
    up = np.array([4.0, 5.0, 7.0])
    cash = np.stack([-up, up, -(10 - up), 10 - up], axis=1)
    zero = np.zeros((3, 4))
    return Fills(cash, zero, zero, zero, zero, np.array([1, 2, 3]), 10.0)


def test_value_by_hand() -> None:
    oracle = solve(_by_hand(), payoff_up=0.0)

    # Up settles at 0. From flat at tick 0: buy Up at tick 1 for 5, sell at tick 2 for 7: +2, then nothing is left.
    # Or Down at tick 1 for 5, settles at 10: +5. Or wait, Down at tick 2 for 3, settles at 10: +7, the best.
    np.testing.assert_allclose(oracle.q[0, FLAT], [7.0, 2.0, 5.0])
    # Holding Up at tick 0: sell at tick 1 for 5 and, decided at tick 1, Down at tick 2 for 3, paying 10: 5 + 7 = 12.
    # Hold and sell at tick 2 for 7: 7.
    np.testing.assert_allclose(oracle.q[0, UP], [7.0, -np.inf, 12.0])
    # Holding Down: keep it, 10. Close at tick 1 for 5 and open again at tick 2 for 3: 5 - 3 + 10 = 12.
    np.testing.assert_allclose(oracle.q[0, DOWN], [10.0, 12.0, -np.inf])
    # At the last tick nothing executes any more: every allowed action equals HOLD.
    np.testing.assert_allclose(oracle.q[2], [[0, 0, 0], [0, -np.inf, 0], [10, 10, -np.inf]])
    np.testing.assert_allclose(oracle.value[3], [0.0, 0.0, 10.0])


def test_ties_go_to_hold_and_the_balance_counts_them() -> None:
    oracle = solve(_by_hand(), payoff_up=0.0)

    best = best_action(oracle)
    assert best[:, FLAT].tolist() == [HOLD, SELL, HOLD]
    assert best[:, UP].tolist() == [SELL, SELL, HOLD]
    assert best[0, DOWN] == BUY
    assert class_balance(oracle, FLAT) == pytest.approx({"HOLD": 2 / 3, "BUY": 0.0, "SELL": 1 / 3})


def test_an_order_that_cannot_be_filled_leaves_the_position_as_it_was() -> None:
    fills = _by_hand()
    fills.cash[1] = np.nan

    oracle = solve(fills, payoff_up=0.0)

    # An order of tick 0 dies at tick 1; the decision of tick 1 still opens Down at tick 2 for 3: +7.
    np.testing.assert_allclose(oracle.q[0, FLAT], [7.0, 7.0, 7.0])


def test_a_position_without_any_bid_is_held_to_settlement() -> None:
    fills = _by_hand()
    fills.cash[:, 1] = np.nan

    oracle = solve(fills, payoff_up=1.0)

    assert oracle.value[0, UP] == 10.0
    assert oracle.q[0, FLAT, BUY] == pytest.approx(5.0)  # pays 5 at tick 1, settles at 10


def test_a_payoff_outside_its_range_is_refused() -> None:
    with pytest.raises(BadRecording, match="payoff nan USD per Up share; wanted 1, 0 or 0.5"):
        solve(_by_hand(), float("nan"))


def test_a_window_without_ticks_is_worth_its_settlement() -> None:
    none = np.empty((0, 4))
    oracle = solve(Fills(none, none, none, none, none, np.empty(0, dtype=np.int64), 50.0), 0.5)

    assert oracle.value.tolist() == [[0.0, 25.0, 25.0]]
    assert class_balance(oracle, FLAT) == {"HOLD": 0.0, "BUY": 0.0, "SELL": 0.0}


def test_the_law_defaults_are_what_the_manifests_assume() -> None:
    law = LawSettings()

    assert (law.size_shares, law.latency_s, law.fees, law.fills) == (50.0, None, "dated", "base")
