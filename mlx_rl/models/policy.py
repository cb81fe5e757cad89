"""A trained network as a `Policy`: NumPy in, NumPy out, MLX in between.

Letters: B batch, L window length, F features, Z width of the encoding, H heads.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema
from mlx_rl.models.network import Network
from mlx_rl.nn.backend import as_mx, mx

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

AT_ONCE = 1024  # windows encoded in one evaluation; bounds memory


class MlxPolicy:
    """See `mlx_rl.policy.Policy` for what the methods mean.

    Attributes:
        attention: (B, L, F), (B, L) -> (B, layers, H, L) the newest state's attention, oldest slot first; None for
            a model that attends to nothing.
    """

    def __init__(self, name: str, network: Network, schema: FeatureSchema, scaler: Scaler) -> None:
        self.name, self.schema, self.scaler, self.network = name, schema, scaler, network
        self.architecture = network.architecture
        self.seq_len, self.temporal_dim = self.architecture.seq_len, self.architecture.temporal_dim
        attends = self.architecture.kind == "transformer"
        self.attention: Callable[[F32, Mask], F32] | None = self._attention if attends else None

    def encode(self, window: F32, is_real: Mask) -> F32:
        """(B, L, F) scaled states, oldest first, and (B, L) which are real -> (B, Z)."""
        parts = [np.empty((0, self.temporal_dim), np.float32)]
        for i in range(0, len(window), AT_ONCE):
            at = slice(i, i + AT_ONCE)
            parts.append(np.array(self.network.encode(as_mx(window[at]), as_mx(is_real[at]))))
        return np.concatenate(parts)

    def heads(self, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
        """(B, F) scaled state with position entries, (B, Z) -> logits (B, A), value (B,), forecast (B,)."""
        said = self.network.heads(as_mx(state), as_mx(encoded))
        mx.eval(*said)
        logits, value, forecast = (np.array(part) for part in said)
        return logits, value, forecast

    def _attention(self, window: F32, is_real: Mask) -> F32:
        parts = []
        for i in range(0, len(window), AT_ONCE):
            at = slice(i, i + AT_ONCE)
            parts.append(np.array(self.network.encoder.weigh(as_mx(window[at]), as_mx(is_real[at]))[1]))
        return np.concatenate(parts)
