"""How many windows an answer costs, and the smallest effect the windows at hand could have shown."""

import math

from mlx_rl.evaluation.statistics.distributions import normal_quantile, t_quantile

POWER = 0.8


def detectable_effect(error: float, n_clusters: int, level: float = 0.95, power: float = POWER) -> float:
    """Smallest true mean that a two-sided test at `level` finds with probability `power`; infinite when unknown."""
    if n_clusters < 2 or not math.isfinite(error):
        return math.inf
    dof = n_clusters - 1
    return (t_quantile((1 + level) / 2, dof) + t_quantile(power, dof)) * error


def windows_needed(
    effect: float, deviation: float, worst: float, *, alpha: float = 0.025, power: float = POWER, limit: int = 10**9
) -> int | None:
    """Clock windows after which a true mean of `effect` is told from zero with probability `power`.

    Both hurdles of the verdict count: the ordinary scatter, and one unseen window as bad as `worst`.

    Args:
        effect: distance of the true mean from the value it must be told from, per clock window, > 0.
        deviation: standard deviation per clock window.
        worst: largest loss one clock window can bring.
        alpha: one-sided error allowed.
        power: chance wanted of seeing it.
        limit: None is returned above this many.

    Returns:
        The number of clock windows, at least 2; None where no number up to `limit` is enough.
    """
    if not effect > 0 or not math.isfinite(deviation):
        return None
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    unseen = worst * math.log(1 / alpha) / effect  # until then n wins of `effect` may hide one loss of `worst`

    def enough(n: int) -> bool:
        scatter = math.sqrt(deviation**2 / n + (worst / n) ** 2)
        return n >= unseen and effect >= worst / n + z * scatter

    if not enough(limit):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
