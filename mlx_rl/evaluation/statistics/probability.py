"""How good a stated probability of Up is: Brier, log-loss, reliability, calibration error.

One window gives thousands of ticks and one outcome, so ticks are not observations. Wherever an error is stated the
window counts once: its ticks are averaged first.

Shapes: N decisions (ticks), W market windows, K bins.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.statistics.clusters import F64

CLIP = 1e-4  # a probability is kept this far from 0 and 1, so one wrong certainty costs 9.2 nats and not infinity
BINS = 10
BAND_DRAWS = 1000


def brier(p: F64, payoff: F64) -> F64:
    """Squared error of each probability (N,) against the payoff (N,) in {0, 0.5, 1}."""
    return (p - payoff) ** 2


def log_loss(p: F64, payoff: F64) -> F64:
    """Negative log-likelihood in nats of each probability (N,); a payoff of 0.5 counts half for each side."""
    q = np.clip(p, CLIP, 1 - CLIP)
    return -(payoff * np.log(q) + (1 - payoff) * np.log1p(-q))


def by_window(values: F64, window: NDArray[np.int64], n_windows: int) -> F64:
    """Mean of the finite `values` (N,) in each window, (W,); NaN for a window without any."""
    ok = np.isfinite(values)
    count = np.bincount(window[ok], minlength=n_windows)
    total = np.bincount(window[ok], weights=values[ok], minlength=n_windows)
    return np.divide(total, count, out=np.full(n_windows, np.nan), where=count > 0)


@dataclass(frozen=True)
class Reliability:
    """Stated against seen, in bins of the stated probability.

    Attributes:
        stated: (K,) mean stated probability in the bin.
        seen: (K,) share of windows that ended Up, each window counted once per bin.
        low, high: (K,) where 95 % of `seen` would fall if the probabilities were right (consistency band).
        windows: (K,) windows with a decision in the bin.
        ece: mean distance of stated from seen, weighted by windows.
        ece_if_right: what `ece` would be on average if the probabilities were right: its floor for this sample.
    """

    stated: list[float]
    seen: list[float]
    low: list[float]
    high: list[float]
    windows: list[int]
    ece: float
    ece_if_right: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def reliability(
    p: F64,
    payoff: F64,
    window: NDArray[np.int64],
    cluster: NDArray[np.int64],
    rng: np.random.Generator,
    bins: int = BINS,
) -> Reliability:
    """Reliability of probabilities with consistency bands (Bröcker and Smith 2007), windows as observations.

    Bins hold equal numbers of decisions. Within a bin a window counts once, with the mean of its stated
    probabilities. The band redraws each outcome from the stated probability; windows of one clock window share
    the draw, which widens the band as their dependence might.

    Args:
        p: (N,) stated probabilities, finite.
        payoff: (W,) what Up paid.
        window: (N,) which market window each decision belongs to.
        cluster: (W,) which clock window.
    """
    order = np.argsort(p, kind="stable")
    which = np.empty(len(p), dtype=np.int64)
    which[order] = np.arange(len(p)) * bins // max(len(p), 1)
    key, inverse = np.unique(which * len(payoff) + window, return_inverse=True)
    cell_bin, cell_window = key // len(payoff), key % len(payoff)
    cell_p = np.bincount(inverse, weights=p) / np.bincount(inverse)
    used, k = np.unique(cell_bin, return_inverse=True)
    count = np.bincount(k).astype(np.float64)
    stated = np.bincount(k, weights=cell_p) / count
    seen = np.bincount(k, weights=payoff[cell_window]) / count
    drawn = np.empty((BAND_DRAWS, len(used)))
    uniform = rng.random((BAND_DRAWS, int(cluster.max(initial=0)) + 1))
    for i in range(len(used)):
        mine = k == i
        drawn[:, i] = (uniform[:, cluster[cell_window[mine]]] < cell_p[mine]).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    share = count / count.sum()
    return Reliability(
        stated.tolist(), seen.tolist(), low.tolist(), high.tolist(), count.astype(int).tolist(),
        float(share @ np.abs(stated - seen)), float((np.abs(stated - drawn) @ share).mean()),
    )  # fmt: skip
