"""Cross-checks for what clustering by clock window leaves out: windows that lean on the windows before them.

* `hac_interval`: t interval with Bartlett-weighted autocovariances (Newey and West 1987, lag by their 1994 rule).
* `stationary_interval`: percentile interval of the stationary bootstrap (Politis and Romano 1994), blocks of random
  length whose mean follows Politis and White (2004) as corrected by Patton, Politis and White (2009).

Both read one number per cluster in time order; gaps in the recording are not seen.
"""

import numpy as np

from mlx_rl.evaluation.statistics.clusters import F64
from mlx_rl.evaluation.statistics.distributions import t_quantile

_CHUNK = 2_000_000


def hac_error(values: F64, lag: int | None = None) -> F64:
    """Autocorrelation-robust standard error of the mean of `values` (…, C), never below zero."""
    c = values.shape[-1]
    used = newey_west_lag(c) if lag is None else lag
    d = values - values.mean(-1, keepdims=True)
    total = (d * d).sum(-1)
    for k in range(1, min(used, c - 1) + 1):
        total = total + 2 * (1 - k / (used + 1)) * (d[..., k:] * d[..., :-k]).sum(-1)
    return np.sqrt(np.maximum(total, 0) / max(c - 1, 1) / c)


def hac_interval(values: F64, level: float) -> tuple[F64, F64]:
    """t interval of the mean of `values` (…, C) with the autocorrelation-robust error."""
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], -np.inf), np.full(values.shape[:-1], np.inf)
    half = t_quantile((1 + level) / 2, values.shape[-1] - 1) * hac_error(values)
    mean = values.mean(-1)
    return mean - half, mean + half


def newey_west_lag(n: int) -> int:
    """Lags that enter the HAC error of n observations."""
    return int(4 * (n / 100) ** (2 / 9))


def block_length(values: F64) -> float:
    """Mean block length for the stationary bootstrap of one series (C,), between 1 and C/3."""
    n = len(values)
    d = values - values.mean()
    variance = float(d @ d) / n
    if n < 9 or variance == 0:
        return 1.0
    reach = int(np.ceil(np.sqrt(n))) + max(5, int(np.log10(n)))
    reach = min(reach, n - 1)
    rho = np.array([d[k:] @ d[: n - k] for k in range(1, reach + 1)]) / n / variance
    quiet = 2 * np.sqrt(np.log10(n) / n)
    run = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    below = np.abs(rho) < quiet
    m = next((k for k in range(len(rho) - run + 1) if below[k : k + run].all()), len(rho))
    width = min(2 * max(m, 1), reach)
    k = np.arange(1, width + 1)
    taper = np.minimum(1.0, 2 * (1 - k / width)) if width > 1 else np.ones(1)
    cov = taper * rho[:width] * variance
    slope, density = 2 * float((k * cov).sum()), variance + 2 * float(cov.sum())
    if density <= 0:
        return 1.0
    return float(np.clip((slope**2 / density**2 * n) ** (1 / 3), 1.0, n / 3))


def stationary_interval(
    values: F64, levels: tuple[float, ...], rng: np.random.Generator, resamples: int = 1000
) -> list[tuple[float, float]]:
    """Percentile interval of the mean of one series (C,), widened by √(C/(C−1)) for its own mean being known."""
    n = len(values)
    if n < 2:
        return [(-np.inf, np.inf) for _ in levels]
    length = block_length(values)
    means: list[F64] = []
    step = max(1, _CHUNK // n)
    for first in range(0, resamples, step):
        size = (min(step, resamples - first), n)
        fresh = rng.random(size) < 1 / length
        fresh[:, 0] = True
        start = rng.integers(0, n, size=size)
        column = np.arange(n)
        began = np.maximum.accumulate(np.where(fresh, column, 0), axis=1)
        index = (np.take_along_axis(start, began, 1) + column - began) % n
        means.append(values[index].mean(1))
    centre = float(values.mean())
    spread = (np.concatenate(means) - centre) * np.sqrt(n / (n - 1))
    ends = [np.quantile(spread, [(1 - level) / 2, (1 + level) / 2]) for level in levels]
    return [(centre - float(high), centre - float(low)) for low, high in ends]
