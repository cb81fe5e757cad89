"""The verdict errs as seldom as it promises, and says what it does not know."""

import numpy as np
import pytest

from mlx_rl.evaluation.statistics.estimate import Estimate, estimate
from mlx_rl.evaluation.statistics.power import detectable_effect, windows_needed
from mlx_rl.evaluation.verdict import invalid, judge, recommend, release
from observer.kit.errors import ToolkitError

QUARTER = 900_000_000_000


def measured(values: np.ndarray, worst: float = 50.0, seed: int = 0) -> Estimate:
    return estimate(values, np.arange(len(values)) * QUARTER, np.random.default_rng(seed), worst=worst)


def words(draw, repeats: int, margin: float = 0.5, worst: float = 50.0) -> dict[str, float]:
    """Share of each verdict over `repeats` samples."""
    found = [judge(measured(draw(np.random.default_rng(s)), worst, s), margin).word for s in range(repeats)]
    return {word: found.count(word) / repeats for word in set(found)}


def flips(rng: np.random.Generator, n: int, edge: float = 0.0) -> np.ndarray:
    """Buys 50 shares at 0.5 in every window; wins 25 USD or loses 25."""
    return np.where(rng.random(n) < 0.5 + edge, 25.0, -25.0)


def test_six_windows_are_never_enough_and_the_verdict_says_how_many_are() -> None:
    verdict = judge(measured(np.array([20.0, 22.0, 19.0, 25.0, 21.0, 24.0])), margin=0.5)

    assert verdict.word == "INCONCLUSIVE"
    assert "6 clock windows are too few" in verdict.reason
    assert verdict.windows_needed is not None
    assert verdict.windows_needed == verdict.needed_for_margin > 100  # six windows are no basis to plan on
    assert verdict.needed_for_effect is not None
    assert verdict.needed_for_effect < verdict.windows_needed
    assert str(verdict) == f"INCONCLUSIVE (windows needed: {verdict.windows_needed:,})"


def test_six_windows_without_a_difference_still_ask_for_more() -> None:
    # Rule of three: n windows without a difference leave room for a loss of 50 USD in one of n/3.
    # ln(1/0.05) = 3.0 losses of 50 spread over n windows are below 0.5 USD each from n = 300; being right about that
    # four times in five asks for 50 × (1 + 1.645 + 0.842) / 0.5 = 349.
    verdict = judge(measured(np.zeros(6)), margin=0.5)

    assert verdict.word == "INCONCLUSIVE"
    assert verdict.windows_needed == 349


def test_without_an_edge_better_and_worse_are_each_rare() -> None:
    found = words(lambda rng: flips(rng, 120), 200)

    assert found.get("BETTER", 0) <= 0.05
    assert found.get("WORSE", 0) <= 0.05
    assert found["INCONCLUSIVE"] >= 0.9


def test_a_trader_with_hardly_a_trade_becomes_a_tie_after_enough_windows() -> None:
    # Two trades of a dollar in n windows: rounding away, so the worst case decides, as for no trade at all (349).
    def draw(n: int) -> np.ndarray:
        x = np.zeros(n)
        x[[n // 3, n // 2]] = 1.0, -1.0
        return x

    assert judge(measured(draw(200)), 0.5).word == "INCONCLUSIVE"
    assert judge(measured(draw(400)), 0.5).word == "NOT WORSE"


def test_a_large_edge_is_found_and_a_large_loss_too() -> None:
    assert words(lambda rng: flips(rng, 150, 0.25), 40)["BETTER"] >= 0.95
    assert words(lambda rng: flips(rng, 150, -0.25), 40)["WORSE"] >= 0.95


def test_not_worse_at_the_margin_errs_at_most_five_times_in_a_hundred() -> None:
    # Truth: exactly the margin worse, so NOT WORSE is an error; its allowed rate is 5 %.
    found = words(lambda rng: rng.normal(-0.5, 3, size=120), 300, margin=0.5, worst=0.0)

    assert 0.01 <= found.get("NOT WORSE", 0) + found.get("BETTER", 0) <= 0.07


def test_equal_policies_are_shown_not_worse_with_the_windows_it_names() -> None:
    n = windows_needed(0.5, 3.0, 10.0, alpha=0.05)
    assert n is not None
    found = words(lambda rng: rng.normal(0, 3, size=n), 60, margin=0.5, worst=10.0)

    assert found.get("NOT WORSE", 0) + found.get("BETTER", 0) >= 0.65


def test_the_windows_it_asks_for_find_the_effect_four_times_in_five() -> None:
    # Edge 0.2 at 0.5: mean 25 × 0.4 = 10 USD, deviation sqrt(625 − 100) = 22.9 USD a window.
    n = windows_needed(10.0, 22.9, 50.0)
    assert n is not None
    assert 40 <= n <= 70
    assert 0.65 <= words(lambda rng: flips(rng, n, 0.2), 100)["BETTER"] <= 0.95


def test_detectable_effect_is_the_closed_form() -> None:
    # (z_0.975 + z_0.8) × se = (1.95996 + 0.84162) × 0.1 for many clusters
    assert detectable_effect(0.1, 100_000) == pytest.approx(0.280158, rel=1e-3)
    # Without a worst case: (2.80158 × 10 / 2)² = 196.2, so 197 windows.
    assert windows_needed(2.0, 10.0, 0.0) == 197
    assert windows_needed(0.0, 10.0, 0.0) is None


def test_deploy_needs_profit_and_probabilities() -> None:
    good = judge(measured(flips(np.random.default_rng(0), 400, 0.3)), 0.5)
    tie = judge(measured(np.random.default_rng(0).normal(0, 0.001, 400), worst=0.0), 0.5)
    bad = judge(measured(flips(np.random.default_rng(0), 400, -0.3)), 0.5)

    assert (good.word, tie.word, bad.word) == ("BETTER", "NOT WORSE", "WORSE")
    assert release(good, tie).word == "DEPLOY"
    assert release(good, bad).word == "DO-NOT-DEPLOY"
    assert release(good, None).word == "DO-NOT-DEPLOY"
    assert release(tie, good).word == "DO-NOT-DEPLOY"


def test_a_tie_recommends_the_simpler_model() -> None:
    tie = judge(measured(np.random.default_rng(0).normal(0, 0.001, 400), worst=0.0), 0.5)
    win = judge(measured(flips(np.random.default_rng(0), 400, 0.3)), 0.5)

    assert recommend(tie, "transformer", "base", "base") == "base"
    assert recommend(win, "transformer", "base", "base") == "transformer"
    assert recommend(invalid("leak"), "transformer", "base", "base") == "base"


def test_figures_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ToolkitError, match="1 of 3 windows hold a value that is not finite"):
        measured(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ToolkitError, match="no market window is left"):
        measured(np.array([]))
