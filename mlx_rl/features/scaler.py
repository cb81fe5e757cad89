"""Standardising: subtract a mean and divide by a scale, both learnt from training samples only.

The scaler travels in the artifact; live applies the numbers that training fitted. Position columns pass
through unchanged, because they are filled in after scaling. Shapes: N states, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.schema import POSITION_COLUMNS
from observer.kit.errors import SchemaMismatch, UsageError

_CHUNK = 65_536  # rows at a time, so that fitting never copies the whole array to float64
_SMALLEST_SD = 1e-6  # a column that moves less than this is constant up to float32 rounding


@dataclass(frozen=True, eq=False)
class Scaler:
    """Column means and scales, (F,) float32 each; scale is never zero."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, x: NDArray[np.float32], is_train: NDArray[np.bool_]) -> "Scaler":
        """Fit mean and standard deviation of (N, F) states where `is_train` (N,) is True; others are not read.

        A column without variance gets scale 1, and so do the position columns (with mean 0).

        Raises:
            UsageError: no training sample, shapes that do not match, or a training state that is not finite.
        """
        if x.ndim != 2 or is_train.shape != x.shape[:1]:
            raise UsageError(f"a scaler wants (N, F) states and (N,) flags; got {x.shape} and {is_train.shape}.")
        rows = np.flatnonzero(is_train)
        if len(rows) == 0:
            raise UsageError("a scaler was to be fitted on no training sample. Widen the training fold.")
        zero = np.zeros(x.shape[1], np.float64)
        mean = _sum(x, rows, zero, 1) / len(rows)
        if not np.isfinite(mean).all():
            bad = np.flatnonzero(~np.isfinite(mean)).tolist()
            raise UsageError(f"training states hold NaN or infinity in columns {bad}. Check the recording.")
        sd = np.sqrt(_sum(x, rows, mean, 2) / len(rows))
        scale = np.where(sd > _SMALLEST_SD, sd, 1.0)
        for column in POSITION_COLUMNS:
            if column < x.shape[1]:
                mean[column], scale[column] = 0.0, 1.0
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    @classmethod
    def identity(cls, n_features: int) -> "Scaler":
        """A scaler that changes nothing."""
        return cls(np.zeros(n_features, np.float32), np.ones(n_features, np.float32))

    def apply(self, x: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Scale (..., F) states in float32; `out` may be `x` itself to work in place."""
        if x.shape[-1] != len(self.mean):
            raise SchemaMismatch(
                f"the scaler was fitted on {len(self.mean)} features, this state has {x.shape[-1]}. "
                "Use the schema and scaler of one artifact together."
            )
        out = np.subtract(x, self.mean, out=out, dtype=np.float32)
        return np.divide(out, self.scale, out=out)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; float32 survives the trip through JSON exactly."""
        return {"mean": [float(v) for v in self.mean], "scale": [float(v) for v in self.scale]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Scaler":
        """Read what `to_dict` wrote.

        Raises:
            SchemaMismatch: a list is missing, lengths differ, or a number is not finite or a scale not positive.
        """
        try:
            mean, scale = (np.asarray(record[key], dtype=np.float32) for key in ("mean", "scale"))
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaMismatch(f"not a scaler: wanted number lists mean and scale ({error!r}).") from None
        if mean.ndim != 1 or mean.shape != scale.shape:
            raise SchemaMismatch(f"a scaler's mean {mean.shape} and scale {scale.shape} must be lists of one length.")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise SchemaMismatch("a scaler holds a mean that is not finite or a scale that is not positive.")
        return cls(mean, scale)


def _sum(
    x: NDArray[np.float32], rows: NDArray[np.int64], center: NDArray[np.float64], power: int
) -> NDArray[np.float64]:
    """Sum of (x - center)^power over the chosen rows, (F,) float64, a chunk at a time."""
    total = np.zeros(x.shape[1])
    for start in range(0, len(rows), _CHUNK):
        part = x[rows[start : start + _CHUNK]].astype(np.float64) - center
        total += (part if power == 1 else part * part).sum(axis=0)
    return total
