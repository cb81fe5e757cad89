"""The weights a model starts from: the same numbers on every machine and in every framework. NumPy only.

A linear layer starts uniform in ±1/√n_in, weight and bias; norms start as the identity; the forecast starts at
zero. Each weight has a random stream of its own, so adding a layer changes no other.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture, weight_shapes
from observer.kit.rng import stream


def initial_weights(
    architecture: TransformerArchitecture | BaseArchitecture, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Weights by flat name, float32."""
    shapes = weight_shapes(architecture)
    return {name: _initial(name, shape, shapes, seed) for name, shape in shapes.items()}


def _initial(name: str, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]], seed: int) -> NDArray[np.float32]:
    layer, _, part = name.rpartition(".")
    if layer.rpartition(".")[2].startswith("ln"):
        return np.full(shape, 1.0 if part == "weight" else 0.0, np.float32)
    if layer == "forecast.out":
        return np.zeros(shape, np.float32)
    bound = shapes[f"{layer}.weight"][1] ** -0.5
    return stream(seed, "weights", name).uniform(-bound, bound, shape).astype(np.float32)
