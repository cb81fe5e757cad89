"""The one place where MLX is imported: the BLAS that MLX shall use on a Linux CPU must be loaded before it.

from mlx_rl.nn.backend import mx, nn
"""

import os
import sys
from typing import Any

from mlx_rl.nn.blas import SWITCH, Blas, install
from observer.kit.console import say

BLAS: Blas = install()
if sys.platform == "linux":
    # Two streams run side by side only where their operations are queued in turns: breadth first. MLX goes depth
    # first beyond this width, and a gradient is wider than its default of 20.
    os.environ.setdefault("MLX_BFS_MAX_WIDTH", "400")
    # On CUDA matrix products are rounded to 10 bits of mantissa unless told otherwise; a model shall decide the same
    # wherever it runs.
    os.environ.setdefault("MLX_ENABLE_TF32", "0")

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten, tree_unflatten  # noqa: E402

if not BLAS.is_fast and BLAS.source != "off" and mx.default_device() == mx.Device(mx.cpu):
    say(
        f"warning: MLX multiplies matrices with the reference BLAS, ten to forty times slower than it could "
        f"({BLAS.detail}). Install gcc and NumPy's PyPI wheel, or libopenblas0; `mlx-rl doctor` shows the speed. "
        f"{SWITCH}=0 silences this."
    )


def as_mx(values: Any) -> mx.array:
    """Copy a NumPy array into MLX, type and shape kept (float64 becomes float32)."""
    return mx.array(values)


__all__ = ["BLAS", "as_mx", "mx", "nn", "tree_flatten", "tree_unflatten"]
