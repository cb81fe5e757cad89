"""Whole evaluations on markets whose truth is known."""

import numpy as np
import pytest

from mlx_rl.evaluation.assess import HOLD_ROW, ORACLE_ROW, RANDOM_ROW, assess, break_even, random_traders
from mlx_rl.evaluation.contrast import contrast
from mlx_rl.evaluation.exam import NO_OUTCOME, make_exam
from mlx_rl.evaluation.rollout import Play
from mlx_rl.evaluation.runs import Candidate, ModelRun, run_all
from mlx_rl.market.law import LawSettings
from observer.kit.console import finite
from observer.kit.errors import UsageError
from tests.mlx_rl.evaluation.policies import Scripted, coin, follower, future_states, holder, synthetic_exam
from tests.samples.tapes import make_tape


@pytest.fixture(scope="module")
def runs():
    exam = synthetic_exam("null", windows=150, ticks=60, half_spread=0.005, step=0.01, fees="polymarket-crypto-v2")
    knows = Candidate(follower("knows", 5), 10, lambda: future_states(30)())
    models = [Candidate(coin("coin", 0.05, 1), 5), Candidate(holder(), 1), knows]
    return run_all(exam, models, random_traders=5, rules=("momentum", "fair_value"))


def test_the_future_is_worth_a_lot_and_the_canary_sees_it(runs) -> None:
    found = assess(runs, "knows")

    assert found["net_usd_per_window"]["low"] > 0
    assert found["verdict"]["word"] == "INVALID"
    assert "looks ahead" in found["verdict"]["reason"]
    assert found["deployment"]["word"] == "DO-NOT-DEPLOY"


def test_a_random_trader_is_not_better_than_nothing_and_its_waterfall_adds_up(runs) -> None:
    found = assess(runs, "coin")
    fall = found["waterfall"]["base"]

    assert found["verdict"]["word"] in ("WORSE", "INCONCLUSIVE")
    assert fall["net"] == pytest.approx(fall["gross"] - fall["spread"] - fall["fees"] - fall["slippage"])
    assert fall["net"] == pytest.approx(found["net_usd_per_window"]["mean"])
    assert fall["fees"] > 0
    assert set(found["waterfall"]) == {"optimistic", "base", "pessimistic"}
    assert found["oracle"]["regret_usd_per_window"] > 0
    assert sum(map(sum, found["confusion"]["counts"])) == found["behaviour"]["decisions"]


def test_every_baseline_is_there_and_what_cannot_be_known_says_so(runs) -> None:
    rows = {row["trader"]: row for row in assess(runs, "coin")["against"]}

    assert {HOLD_ROW, "market price", "momentum", "fair_value", RANDOM_ROW, ORACLE_ROW} == set(rows)
    assert rows["fair_value"]["note"].startswith("not applicable: no reference price")
    assert rows[HOLD_ROW]["net_usd_per_window"] == 0
    assert rows[ORACLE_ROW]["verdict"] == "WORSE"


def test_holding_is_a_tie_with_doing_nothing_at_best(runs) -> None:
    found = assess(runs, "holder")

    # 150 windows without a trade leave room for a loss of 50 USD in one of them: more than the margin of 0.5 USD.
    assert found["verdict"]["word"] == "INCONCLUSIVE"
    assert found["verdict"]["windows_needed"] == 349
    assert any("never traded" in w for w in found["warnings"])
    assert found["break_even"] == {"fee_multiple": None, "cost_usd_per_share": None}
    # A zero correction is the market's price itself.
    assert found["calibration"]["verdict"]["word"] == "NOT WORSE"
    assert len(found["calibration"]["by_time_left"]) >= 2


def test_comparing_recommends_the_simpler_of_two_that_cannot_be_told_apart(runs) -> None:
    found = contrast(runs, "coin", "holder")
    same = contrast(runs, "holder", "holder")

    assert found["verdict"]["word"] in ("WORSE", "INCONCLUSIVE")
    assert found["recommended"] == "holder"
    assert found["windows_differing"] > 20
    assert found["difference_usd_where_differing"] * found["windows_differing"] == pytest.approx(
        found["difference_usd_per_window"]["mean"] * found["windows"]
    )
    assert same["action_disagreement_share"] == 0
    assert same["difference_usd_where_differing"] is None


def test_results_are_plain_data_and_come_out_the_same_again(runs) -> None:
    first, second = finite(assess(runs, "coin")), finite(assess(runs, "coin"))

    assert first == second
    assert isinstance(first["calibration"]["reliability"]["market"]["ece"], float)


def test_break_even_by_hand() -> None:
    # Net −10 after 20 of fees on 4 orders of 50 shares: 10 is left before fees, so half of today's fees, or
    # 10 / 200 = 5 cents per share, would leave nothing.
    ledger = {"net": np.array([-10.0]), "fees": np.array([20.0]), "trades": np.array([4])}

    assert break_even(Play(ledger, [], [], [], []), 50.0) == {"fee_multiple": 0.5, "cost_usd_per_share": 0.05}


def test_standing_among_random_traders_by_hand() -> None:
    # Totals of four random traders: 3, 5, 5, 9; ours is 5, so three did as well or better: (1 + 3) / (1 + 4).
    totals = np.array([[1.0, 2.0], [2.0, 3.0], [0.0, 5.0], [9.0, 0.0]])
    play = Play({"net": np.array([5.0, 0.0])}, [], [], [], [])
    found = random_traders(ModelRun(Candidate(holder()), {}, totals, None, None), play)

    assert (found["as_good_or_better"], found["p_value"]) == (3, 0.8)


def test_windows_without_an_outcome_are_counted_and_inferred_ones_are_named() -> None:
    tapes = {t.market.market_id: t for t in (make_tape(i, 40, index=i, missing_frac=0) for i in range(3))}
    ids = list(tapes)
    exam = make_exam(
        [t.market for t in tapes.values()], tapes.__getitem__, {ids[0]: 1.0, ids[2]: 0.0},
        {ids[0]: "inferred", ids[2]: "official"}, LawSettings(size_shares=1),
    )  # fmt: skip
    found = assess(run_all(exam, [Candidate(holder())], random_traders=2, rules=()), "holder")

    assert exam.left_out == {NO_OUTCOME: [ids[1]]}
    assert found["windows"]["judged"] == 2
    assert "1 of 2 outcomes are inferred" in found["warnings"][0]
    with pytest.raises(UsageError, match=r"none of 3 windows can be judged \(no recorded outcome: 3\)"):
        make_exam([t.market for t in tapes.values()], tapes.__getitem__, {}, {}, LawSettings())


def test_a_probability_worse_than_the_markets_is_named() -> None:
    exam = synthetic_exam("null", windows=150, ticks=30)
    worse = Scripted("shouts", lambda s, z: np.tile([1.0, 0, 0], (len(s), 1)), lambda s: np.full(len(s), 1.5))
    found = assess(run_all(exam, [Candidate(worse)], random_traders=1, rules=()), "shouts")

    assert found["calibration"]["verdict"]["word"] == "WORSE"
    assert (
        found["calibration"]["by_time_left"][0]["log_loss"] > found["calibration"]["by_time_left"][0]["log_loss_market"]
    )
