"""A paired sample gathered by clock window.

Markets of different symbols that open together share a cluster: what BTC did between 13:00 and 13:15, ETH did
too. The estimate is the mean per market window; its error comes from how the cluster totals scatter.

Shapes: W market windows, C clusters; functions on `sums` broadcast over leading axes (…, C), so a simulation
can judge thousands of samples at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.kit.errors import ToolkitError

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Clusters:
    """Totals by clock window, in time order.

    Attributes:
        sums: (C,) total of the values in each cluster.
        sizes: (C,) how many market windows it holds.
        start_ns: (C,) when the clock window opened.
    """

    sums: F64
    sizes: F64
    start_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def mean(self) -> float:
        """Mean per market window."""
        return float(self.sums.sum() / self.sizes.sum())


def gather(values: ArrayLike, open_ns: ArrayLike) -> Clusters:
    """Group one value per market window (W,) by the time its clock window opened (W,).

    Raises:
        ToolkitError: no value, or a value that is not finite.
    """
    v, when = np.asarray(values, dtype=np.float64), np.asarray(open_ns, dtype=np.int64)
    if not len(v):
        raise ToolkitError("no market window is left to judge. Record more, or widen the test range.")
    if not np.isfinite(v).all():
        raise ToolkitError(f"{int((~np.isfinite(v)).sum())} of {len(v)} windows hold a value that is not finite.")
    start, which = np.unique(when, return_inverse=True)
    sums = np.bincount(which, weights=v, minlength=len(start)).astype(np.float64)
    return Clusters(sums, np.bincount(which, minlength=len(start)).astype(np.float64), start)


def influence(sums: F64, sizes: F64) -> F64:
    """What each cluster adds to the mean's error, (…, C): total minus what the mean would have it be."""
    mean = sums.sum(-1, keepdims=True) / sizes.sum()
    return sums - mean * sizes


def standard_error(sums: F64, sizes: F64) -> F64:
    """Cluster-robust standard error of the mean per window, (…,); NaN with a single cluster.

    With one window per cluster this is the textbook s/√n.
    """
    c = sizes.shape[-1]
    if c < 2:
        return np.full(sums.shape[:-1], np.nan)
    return np.sqrt(c / (c - 1) * (influence(sums, sizes) ** 2).sum(-1)) / sizes.sum()


def as_equals(clusters: Clusters) -> F64:
    """One number per cluster, (C,), whose plain mean is the mean per window and whose scatter is its error."""
    scale = len(clusters) / clusters.sizes.sum()
    return clusters.mean + influence(clusters.sums, clusters.sizes) * scale
