"""Sharpe ratio per window, never annualised: mean over standard deviation of the profit of one market window.

The error follows Lo (2002) with the skew and tail terms of Mertens (2002), on cluster totals.
"""

import numpy as np

from mlx_rl.evaluation.statistics.clusters import F64


def sharpe_per_window(values: F64) -> tuple[float, float]:
    """Ratio and its standard error for one number per cluster (C,); NaN where nothing varies or C < 3."""
    n = len(values)
    deviation = float(values.std(ddof=1)) if n > 2 else 0.0
    if deviation == 0:
        return float("nan"), float("nan")
    z = (values - values.mean()) / values.std()
    ratio = float(values.mean()) / deviation
    variance = 1 - ratio * float((z**3).mean()) + ratio**2 * (float((z**4).mean()) - 1) / 4
    return ratio, float(np.sqrt(max(variance, 0) / (n - 1)))
