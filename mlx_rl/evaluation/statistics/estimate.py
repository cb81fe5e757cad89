"""One estimate of money per window, with everything a verdict needs to know about it.

The interval that is reported is the widest of four, side by side in `parts`, so that no single assumption can
make a verdict: clusters (bootstrap and Student's t), autocorrelation-robust t, stationary bootstrap, and the bound
that imagines one worst window more. Each is made for 95 %, so the widest holds the truth more often than that.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlx_rl.evaluation.statistics.bootstrap import mean_interval
from mlx_rl.evaluation.statistics.clusters import Clusters, as_equals, gather, standard_error
from mlx_rl.evaluation.statistics.power import detectable_effect
from mlx_rl.evaluation.statistics.time_dependence import hac_interval, stationary_interval
from mlx_rl.evaluation.statistics.worst_case import worst_case_bounds

LEVEL = 0.95  # two-sided: BETTER and WORSE
ONE_SIDED = 0.90  # two-sided level whose lower end errs in 5 %: NOT WORSE


@dataclass(frozen=True)
class Estimate:
    """A mean per market window in USD (or any unit), and how sure we are of it.

    Attributes:
        mean: mean per market window.
        se: cluster-robust standard error of the mean.
        low, high: the widest of `parts`; holds the truth in about 95 % of samples or more.
        low_one_sided, high_one_sided: widest bounds that each err in at most 5 %.
        n_windows, n_clusters: market windows, and the clock windows they fall in.
        n_nonzero: market windows whose value is not exactly zero.
        deviation: standard deviation of one cluster's contribution, on the scale of the mean.
        worst: largest loss one cluster can bring, on the same scale; 0 where no bound is known.
        detectable: smallest true mean this sample would have found with probability 0.8.
        parts: the four intervals by name, each made for 95 %.
    """

    mean: float
    se: float
    low: float
    high: float
    low_one_sided: float
    high_one_sided: float
    n_windows: int
    n_clusters: int
    n_nonzero: int
    deviation: float
    worst: float
    detectable: float
    parts: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def estimate(values: ArrayLike, open_ns: ArrayLike, rng: np.random.Generator, *, worst: float = 0.0) -> Estimate:
    """Estimate the mean of `values` (W,), one per market window, clustered by `open_ns` (W,).

    Args:
        values: one number per market window.
        open_ns: when each window's clock window opened, ns UTC.
        rng: draws of the resampling.
        worst: largest loss (and gain) one market window can bring; 0 leaves that bound out.

    Raises:
        ToolkitError: no value, or one that is not finite.
    """
    clusters = gather(values, open_ns)
    intervals = _intervals(clusters, rng, worst)
    equal = as_equals(clusters)
    se = float(standard_error(clusters.sums, clusters.sizes))
    both = [_widest([pair[k] for pair in intervals.values()]) for k in (0, 1)]
    return Estimate(
        mean=clusters.mean, se=se, low=both[0][0], high=both[0][1], low_one_sided=both[1][0],
        high_one_sided=both[1][1], n_windows=len(np.asarray(values)), n_clusters=len(clusters),
        n_nonzero=int(np.count_nonzero(np.asarray(values))),
        deviation=float(equal.std(ddof=1)) if len(equal) > 1 else float("nan"),
        worst=_worst_cluster(clusters, worst), detectable=detectable_effect(se, len(clusters)),
        parts={name: pair[0] for name, pair in intervals.items()},
    )  # fmt: skip


def _intervals(clusters: Clusters, rng: np.random.Generator, worst: float) -> dict[str, list[tuple[float, float]]]:
    """Each method's interval at `LEVEL` and at `ONE_SIDED`."""
    levels = (LEVEL, ONE_SIDED)
    equal = as_equals(clusters)
    found = {
        "clusters": mean_interval(clusters.sums, clusters.sizes, levels, rng),
        "autocorrelation": [hac_interval(equal, level) for level in levels],
        "blocks": stationary_interval(equal, levels, rng),
    }
    if worst > 0:
        found["worst_case"] = worst_case_bounds(equal, _worst_cluster(clusters, worst), levels, rng)
    return {name: [(float(low), float(high)) for low, high in pairs] for name, pairs in found.items()}


def _worst_cluster(clusters: Clusters, worst: float) -> float:
    return float(worst * clusters.sizes.max() * len(clusters) / clusters.sizes.sum())


def _widest(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in pairs), max(high for _, high in pairs)
