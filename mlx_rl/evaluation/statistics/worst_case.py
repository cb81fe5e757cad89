"""A bound on a mean that a run of small wins cannot fool.

Buying at 0.97 wins 3 cents ninety-seven times and then loses 97. Forty such windows often hold no loss at all;
their scatter is tiny and every interval built from it calls luck a certainty. So the verdict also asks: what if
the next window brought the worst that a window can bring? One imagined window with that worst result joins the
sample, all of them get random weights (Dirichlet, all ones), and the bound is the lower quantile of the weighted
mean.

For wins and losses of one size this is the exact (Clopper-Pearson) limit; for a long sample with ordinary scatter
it meets the usual interval. Reference: Gaffke, Three test statistics for a nonparametric one-sided hypothesis on the
mean of a nonnegative variable (2005); Phan, Thomas and Learned-Miller, Towards practical mean bounds for small
samples (2021).
"""

import numpy as np

from mlx_rl.evaluation.statistics.clusters import F64

DRAWS = 2000
_CHUNK = 4_000_000


def worst_case_bounds(
    values: F64, worst: float, levels: tuple[float, ...], rng: np.random.Generator, draws: int = DRAWS
) -> list[tuple[F64, F64]]:
    """Bounds of the mean of `values` (…, C), each of which could have been as low as −worst, as high as +worst.

    Args:
        values: (…, C) one number per cluster.
        worst: largest loss (and gain) one cluster could have brought, >= 0; raised to the largest seen.
        levels: two-sided levels; each side errs in at most (1 − level)/2.

    Returns:
        For each level low, high (…,).
    """
    c = values.shape[-1]
    flat = values.reshape(-1, c).T  # (C, R)
    reach = np.maximum(worst, np.abs(flat).max(0))
    step = max(1, _CHUNK // (c + 1))
    weighted: list[F64] = []
    phantom: list[F64] = []
    for first in range(0, draws, step):
        weights = rng.standard_exponential((min(step, draws - first), c + 1), dtype=np.float32).astype(np.float64)
        weights /= weights.sum(1, keepdims=True)
        weighted.append(weights[:, :c] @ flat)
        phantom.append(weights[:, c:])
    real, share = np.concatenate(weighted), np.concatenate(phantom)
    lows, highs = np.sort(real - share * reach, axis=0), np.sort(real + share * reach, axis=0)
    shape = values.shape[:-1]
    out: list[tuple[F64, F64]] = []
    for level in levels:
        k = int(np.floor((1 - level) / 2 * (draws + 1))) - 1
        k = min(max(k, 0), draws - 1)
        out.append((lows[k].reshape(shape), highs[draws - 1 - k].reshape(shape)))
    return out
