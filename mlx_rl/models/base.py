"""The simple encoder: the last five states side by side through a two-layer network.

It cannot see further back, and it weighs every state by its place alone. It is the model that a larger one has
to beat. Letters: B batch, L window length, F features, Z width of the encoding.
"""

from mlx_rl.artifact.manifest import BaseArchitecture
from mlx_rl.nn.backend import mx
from mlx_rl.nn.layers import TwoLayers


class BaseEncoder(TwoLayers):
    """(B, L, F) scaled states, padded ones zero -> (B, Z)."""

    def __init__(self, a: BaseArchitecture) -> None:
        super().__init__(a.seq_len * a.n_features, a.hidden_dim, a.temporal_dim, a.activation, a.dropout)

    def __call__(self, window: mx.array, is_real: mx.array, key: mx.array | None = None) -> mx.array:
        """Encode; states that are not real count as zeros, whatever the window holds there."""
        states = mx.where(is_real[..., None], window, 0.0)
        return self.bend_twice(states.reshape(window.shape[0], -1), key, is_data=True)
