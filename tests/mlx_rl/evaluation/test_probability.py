"""Probability scores are the textbook's, and a window's ticks do not count as observations."""

import numpy as np
import pytest

from mlx_rl.evaluation.statistics.probability import brier, by_window, log_loss, reliability
from mlx_rl.evaluation.statistics.sharpe import sharpe_per_window


def test_scores_by_hand() -> None:
    p, payoff = np.array([0.8, 0.8, 0.5]), np.array([1.0, 0.0, 0.5])

    # (0.2², 0.8², 0²); −ln 0.8 = 0.22314, −ln 0.2 = 1.60944, ln 2 = 0.69315
    assert brier(p, payoff) == pytest.approx([0.04, 0.64, 0.0])
    assert log_loss(p, payoff) == pytest.approx([0.22314, 1.60944, 0.69315], abs=1e-5)
    assert np.isfinite(log_loss(np.array([0.0]), np.array([1.0])))[0]


def test_windows_average_what_is_there() -> None:
    got = by_window(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 1]), 3)

    assert got[0] == 2.0
    assert np.isnan(got[1:]).all()


def made(rng: np.random.Generator, windows: int, power: float):
    """Windows whose true probability is p, stated as p^power scaled; 50 ticks each."""
    truth = rng.uniform(0.05, 0.95, windows)
    payoff = (rng.random(windows) < truth).astype(float)
    odds = power * np.log(truth / (1 - truth))
    window = np.repeat(np.arange(windows), 50)
    return np.repeat(1 / (1 + np.exp(-odds)), 50), payoff, window, np.arange(windows)


def test_right_probabilities_stay_in_the_band_and_overconfident_ones_leave_it() -> None:
    inside, ece, floor = [], [], []
    for seed in range(30):
        found = reliability(*made(np.random.default_rng(seed), 400, 1.0), np.random.default_rng(seed))
        inside += [lo <= s <= hi for lo, s, hi in zip(found.low, found.seen, found.high, strict=True)]
        ece.append(found.ece)
        floor.append(found.ece_if_right)
    wrong = reliability(*made(np.random.default_rng(0), 400, 3.0), np.random.default_rng(0))

    assert 0.92 <= np.mean(inside) <= 0.99
    assert np.mean(ece) == pytest.approx(np.mean(floor), rel=0.1)
    assert wrong.ece > 2 * wrong.ece_if_right
    assert not all(lo <= s <= hi for lo, s, hi in zip(wrong.low, wrong.seen, wrong.high, strict=True))


def test_more_ticks_in_a_window_do_not_narrow_the_band() -> None:
    p, payoff, window, cluster = made(np.random.default_rng(1), 200, 1.0)
    few = reliability(p[::50], payoff, window[::50], cluster, np.random.default_rng(0))
    many = reliability(p, payoff, window, cluster, np.random.default_rng(0))

    assert np.subtract(many.high, many.low).mean() == pytest.approx(np.subtract(few.high, few.low).mean(), rel=0.15)
    assert sum(many.windows) <= 220  # a window may straddle two bins, no more


def test_sharpe_error_matches_simulation() -> None:
    rng = np.random.default_rng(0)
    ratios = [sharpe_per_window(rng.normal(0.3, 1, 300)) for _ in range(400)]

    assert np.std([r for r, _ in ratios]) == pytest.approx(np.mean([e for _, e in ratios]), rel=0.1)
    assert np.isnan(sharpe_per_window(np.zeros(10))[0])
