"""Made-up weights and inputs for models: every tensor away from its start value, drawn from a seed.

LayerNorm scales are not 1, biases are not 0 and the forecast head is not silent, so a swapped, dropped or
transposed tensor shows in the outputs.
"""

import numpy as np

from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture, weight_shapes
from observer.kit.rng import stream

POSITION = (12, 13, 14)


def make_weights(architecture: TransformerArchitecture | BaseArchitecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw one float32 array per weight name; activations stay of order one through the network."""
    made: dict[str, np.ndarray] = {}
    for name, shape in weight_shapes(architecture).items():
        draw = stream(seed, "weights", name).normal(size=shape)
        if len(shape) == 2:
            made[name] = (draw / np.sqrt(shape[1])).astype(np.float32)
        else:
            centre = 1.0 if name.endswith("weight") else 0.0  # LayerNorm scales, and biases
            made[name] = (centre + 0.2 * draw).astype(np.float32)
    return made


def make_inputs(
    architecture: TransformerArchitecture | BaseArchitecture, n: int = 16, seed: int = 0
) -> dict[str, np.ndarray]:
    """Draw `n` windows (n, L, F) with every length of padding, and current states (n, F) with a position."""
    rng = stream(seed, "inputs")
    length, width = architecture.seq_len, architecture.n_features
    is_real = np.arange(length)[None, :] >= (rng.integers(0, length, size=n))[:, None]
    is_real[0], is_real[-1] = True, np.arange(length) == length - 1
    window = rng.uniform(-1, 1, size=(n, length, width)).astype(np.float32)
    window[:, :, POSITION] = 0.0
    window[~is_real] = 0.0
    state = window[:, -1].copy()
    held = rng.integers(0, 3, size=n)
    state[:, 12], state[:, 13] = held > 0, np.where(held == 0, 0, np.where(held == 1, 1, -1))
    state[:, 14] = np.where(held > 0, rng.uniform(-1, 1, size=n), 0)
    return {"window": window, "is_real": is_real, "state": state}
