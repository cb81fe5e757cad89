"""The interval of a mean per window covers the truth as often as it says, also where traders are awkward."""

import math

import numpy as np
import pytest
from scipy import stats

from mlx_rl.evaluation.statistics.bootstrap import mean_interval, studentised_interval, t_interval
from mlx_rl.evaluation.statistics.clusters import as_equals, gather, standard_error
from mlx_rl.evaluation.statistics.distributions import normal_quantile, t_cdf, t_quantile
from mlx_rl.evaluation.statistics.time_dependence import block_length, hac_error, hac_interval, stationary_interval
from mlx_rl.evaluation.statistics.worst_case import worst_case_bounds

REPEATS = 2500


def coverage(x: np.ndarray, sizes: np.ndarray | None = None) -> float:
    """Share of samples (R, C) with true mean 0 whose 95 % interval holds 0."""
    rng = np.random.default_rng(1)
    sizes = np.ones(x.shape[-1]) if sizes is None else sizes
    ((low, high),) = mean_interval(x, sizes, (0.95,), rng, resamples=1000)
    return float(((low <= 0) & (high >= 0)).mean())


@pytest.mark.parametrize("n", [30, 60, 200])
@pytest.mark.parametrize("shape", ["gaussian", "heavy", "lopsided", "clustered"])
def test_the_95_percent_interval_holds_the_truth_93_to_97_times_in_100(n: int, shape: str) -> None:
    rng = np.random.default_rng([n, len(shape)])
    sizes = np.ones(n)
    if shape == "gaussian":
        x = rng.normal(size=(REPEATS, n))
    elif shape == "heavy":
        x = rng.standard_t(3, size=(REPEATS, n))
    elif shape == "lopsided":
        x = rng.exponential(size=(REPEATS, n)) - 1
    else:  # one to four markets share a clock window and half of their variance
        sizes = rng.integers(1, 5, size=n).astype(float)
        x = sizes * rng.normal(size=(REPEATS, n)) + np.sqrt(sizes) * rng.normal(size=(REPEATS, n))

    assert 0.93 <= coverage(x, sizes) <= 0.97


@pytest.mark.parametrize("n", [2, 5, 6, 9, 12, 20])
def test_few_gaussian_windows_are_not_called_certain(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(REPEATS, n))

    assert 0.93 <= coverage(x) <= 0.975


def test_ignoring_the_clock_window_would_undercover() -> None:
    # Control of the clustered case: four markets moving together, treated as four observations.
    rng = np.random.default_rng(3)
    x = np.repeat(rng.normal(size=(1000, 50)), 4, axis=1)

    assert coverage(x) < 0.75
    assert 0.93 <= coverage(x.reshape(1000, 50, 4).sum(-1), np.full(50, 4.0)) <= 0.975


def test_the_bootstrap_equals_the_closed_form_for_gaussian_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.3, 2, size=400)
    ((low, high),) = studentised_interval(x, np.ones(400), (0.95,), rng, resamples=20_000)
    exact_low, exact_high = t_interval(x, np.ones(400), 0.95)
    scipy_low, scipy_high = stats.t.interval(0.95, 399, x.mean(), stats.sem(x))
    width = exact_high - exact_low

    assert exact_low == pytest.approx(scipy_low, rel=1e-9)
    assert exact_high == pytest.approx(scipy_high, rel=1e-9)
    assert abs(low - exact_low) < 0.04 * width
    assert abs(high - exact_high) < 0.04 * width


def test_a_large_sample_meets_scipys_bootstrap() -> None:
    rng = np.random.default_rng(5)
    x = rng.exponential(size=800)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=4000, method="BCa", rng=1).confidence_interval
    ((low, high),) = studentised_interval(x, np.ones(800), (0.95,), rng, resamples=8000)
    width = theirs.high - theirs.low

    assert abs(low - theirs.low) < 0.06 * width
    assert abs(high - theirs.high) < 0.06 * width


def test_clusters_of_one_give_the_textbook_error_and_repeated_windows_add_nothing() -> None:
    x = np.random.default_rng(2).normal(size=40)
    single = gather(x, np.arange(40))
    doubled = gather(np.repeat(x, 2), np.repeat(np.arange(40), 2))

    assert standard_error(single.sums, single.sizes) == pytest.approx(stats.sem(x))
    assert standard_error(doubled.sums, doubled.sizes) == pytest.approx(stats.sem(x))
    assert as_equals(doubled).mean() == pytest.approx(x.mean())


def sparse(rng: np.random.Generator, n: int, trades: float, price: float) -> np.ndarray:
    """Traders without an edge: buy 50 shares at `price` in a share of the windows and hold to settlement, free."""
    does, wins = rng.random((REPEATS, n)) < trades, rng.random((REPEATS, n)) < price
    return np.where(does, np.where(wins, 50 * (1 - price), -50 * price), 0.0)


SPARSE = [(1, 0.95), (0.1, 0.95), (0.05, 0.97), (0.05, 0.5), (0.3, 0.05), (1.0, 0.5)]


@pytest.mark.parametrize("n", [12, 30, 100, 300])
@pytest.mark.parametrize(("trades", "price"), SPARSE)
def test_rare_trades_at_lopsided_prices_are_not_called_an_edge(n: int, trades: float, price: float) -> None:
    rng = np.random.default_rng([n, int(100 * trades), int(100 * price)])
    x = sparse(rng, n, trades, price)
    ((low, high),) = worst_case_bounds(x, 50.0, (0.95,), rng, draws=1000)

    assert (low > 0).mean() <= 0.03
    assert (high < 0).mean() <= 0.03


def test_without_the_worst_case_bound_luck_passes_for_an_edge() -> None:
    # Control: why the bound exists. 60 windows, one in ten buys at 0.95; usually no loss has been seen yet.
    x = sparse(np.random.default_rng(0), 60, 0.1, 0.95)
    ((low, _),) = mean_interval(x, np.ones(60), (0.95,), np.random.default_rng(1), resamples=1000)

    assert (low > 0).mean() > 0.2


def test_the_worst_case_bound_is_clopper_pearson_for_wins_and_losses() -> None:
    # 3 wins of +1 in 40 windows, losses of -1: the exact 97.5 % limits of the win rate are Beta quantiles.
    x = np.array([1.0] * 3 + [-1.0] * 37)
    ((low, high),) = worst_case_bounds(x, 1.0, (0.95,), np.random.default_rng(0), draws=60_000)

    assert (low + 1) / 2 == pytest.approx(stats.beta.ppf(0.025, 3, 38), rel=0.05)
    assert (high + 1) / 2 == pytest.approx(stats.beta.ppf(0.975, 4, 37), rel=0.05)


def test_windows_that_lean_on_each_other_need_the_robust_error() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(800, 1050))
    ar = np.zeros_like(noise)
    for t in range(1, noise.shape[1]):
        ar[:, t] = 0.4 * ar[:, t - 1] + noise[:, t]
    ar = ar[:, 50:]
    low, high = hac_interval(ar, 0.95)
    blocks = [stationary_interval(x, (0.95,), rng, resamples=300)[0] for x in ar[:300]]

    assert ((low <= 0) & (high >= 0)).mean() > 0.91
    assert np.mean([a <= 0 <= b for a, b in blocks]) > 0.89
    assert coverage(ar[:, :]) < 0.85
    assert block_length(ar[0]) > 2 * block_length(noise[0, 50:])


def test_the_robust_error_without_lags_is_the_textbook_error() -> None:
    x = np.random.default_rng(6).normal(size=50)

    assert hac_error(x, lag=0) == pytest.approx(stats.sem(x))


@pytest.mark.parametrize("dof", [1, 2, 5, 29, 1000])
@pytest.mark.parametrize("p", [0.001, 0.025, 0.2, 0.5, 0.8, 0.975, 0.9999])
def test_student_t_is_scipys(dof: int, p: float) -> None:
    x = stats.t.ppf(p, dof)

    assert t_quantile(p, dof) == pytest.approx(x, rel=1e-8, abs=1e-12)
    assert t_cdf(x, dof) == pytest.approx(p, rel=1e-9)
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-9)
    assert t_cdf(math.inf, dof) == 1.0
