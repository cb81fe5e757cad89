"""The interval that a verdict is read from, the widest of four, holds the truth at least as often as it says."""

import numpy as np
import pytest

from mlx_rl.evaluation.statistics.estimate import Estimate, estimate

QUARTER = 900_000_000_000
REPEATS = 250
WORST_USD = 50.0  # 50 shares


def money(shape: str, rng: np.random.Generator, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """USD of traders without an edge, one to four in each clock window who share luck; and the window of each."""
    which = np.repeat(np.arange(clusters), rng.integers(1, 5, size=clusters))
    if shape == "flips":  # buys 50 shares at 0.5 and wins or loses 25; seven in ten end as the clock window does
        shared, own = (np.where(rng.random(n) < 0.5, 25.0, -25.0) for n in (clusters, len(which)))
        return np.where(rng.random(len(which)) < 0.7, shared[which], own), which
    draw = {"gaussian": rng.standard_normal, "skewed": lambda n: rng.exponential(size=n) - 1}[shape]
    return 8 * (draw(clusters)[which] + draw(len(which))), which


def covered(shape: str, clusters: int, *, is_clustered: bool = True) -> tuple[float, float]:
    """How often the truth, zero, lies in the interval; and in the one that would be left without the worst case."""
    hits = np.zeros(2)
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, clusters, len(shape)])
        values, which = money(shape, rng, clusters)
        found = estimate(values, (which if is_clustered else np.arange(len(which))) * QUARTER, rng, worst=WORST_USD)
        hits += found.low <= 0 <= found.high, three(found)[0] <= 0 <= three(found)[1]
    return float(hits[0] / REPEATS), float(hits[1] / REPEATS)


def three(found: Estimate) -> tuple[float, float]:
    ends = [ends for name, ends in found.parts.items() if name != "worst_case"]
    return min(low for low, _ in ends), max(high for _, high in ends)


@pytest.mark.parametrize("clusters", [30, 60])
@pytest.mark.parametrize("shape", ["gaussian", "skewed", "flips"])
def test_the_interval_of_the_verdict_covers_at_least_93_times_in_100(shape: str, clusters: int) -> None:
    four, without_worst_case = covered(shape, clusters)

    assert four >= without_worst_case >= 0.93


def test_it_would_not_if_windows_that_open_together_counted_singly() -> None:
    # Control: the same trades, taken for as many independent observations as there are markets.
    four, without_worst_case = covered("flips", 30, is_clustered=False)

    assert without_worst_case <= four < 0.92


def test_the_interval_is_the_widest_of_its_parts_on_both_sides_and_at_both_levels() -> None:
    values, which = money("skewed", np.random.default_rng(3), 30)
    found = estimate(values, which * QUARTER, np.random.default_rng(0), worst=WORST_USD)
    lows, highs = zip(*found.parts.values(), strict=True)

    assert set(found.parts) == {"clusters", "autocorrelation", "blocks", "worst_case"}
    assert (found.low, found.high) == (min(lows), max(highs))
    assert found.low < found.low_one_sided < found.mean < found.high_one_sided < found.high
