"""A whole model: one of the encoders, and the heads every model shares.

Letters: B batch, P positions (any number of leading axes), L window, F features, Z encoding, A = 3 actions.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.models import ENCODERS
from mlx_rl.models.heads import make_heads
from mlx_rl.models.initial import initial_weights
from mlx_rl.nn.backend import as_mx, mx, nn, tree_flatten, tree_unflatten
from mlx_rl.nn.layers import split_key


class Network(nn.Module):
    """Encoder and heads under the flat weight names of `mlx_rl.artifact.manifest.weight_shapes`."""

    def __init__(self, architecture: TransformerArchitecture | BaseArchitecture) -> None:
        super().__init__()
        self.encoder = ENCODERS[architecture.kind](architecture)
        self.policy, self.value, self.forecast = make_heads(architecture)
        self._architecture = architecture

    @property
    def architecture(self) -> TransformerArchitecture | BaseArchitecture:
        return self._architecture

    def encode(self, window: mx.array, is_real: mx.array, key: mx.array | None = None) -> mx.array:
        """(B, L, F) scaled states, position entries zero; (B, L) which are real -> (B, Z)."""
        return self.encoder(window, is_real, key)

    def heads(
        self, state: mx.array, encoded: mx.array, key: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """(…, F) scaled state with position entries, (…, Z) -> logits (…, A), value (…,), forecast (…,)."""
        u = mx.concatenate([state, encoded], axis=-1)
        for_policy, for_value = split_key(key, 2)
        return self.policy(u, for_policy), self.value(u, for_value)[..., 0], self.forecast(u)

    def flat(self) -> dict[str, mx.array]:
        """Weights by flat name."""
        return dict(tree_flatten(self.parameters()))

    def set_flat(self, weights: Mapping[str, mx.array]) -> None:
        """Put weights in by flat name; every name must be there."""
        self.update(tree_unflatten(list(weights.items())))

    def numpy(self) -> dict[str, NDArray[np.float32]]:
        """Weights by flat name, as NumPy arrays."""
        return {name: np.array(value) for name, value in self.flat().items()}


def build(architecture: TransformerArchitecture | BaseArchitecture, seed: int = 0) -> Network:
    """A new model with the first weights of `seed`."""
    network = Network(architecture)
    network.set_flat({name: as_mx(value) for name, value in initial_weights(architecture, seed).items()})
    return network
