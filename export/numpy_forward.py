"""The reference forward pass: both models in plain NumPy, float32, without Torch and without MLX.

`NumpyPolicy` is what trades, and what judges exported models. It has two ways to the same numbers:

* `encode` and `heads`, for batches, written to be read next to the trained model;
* `decide`, for one live decision, a compiled kernel (`export.fast_kernel`) that agrees with the batch way to
  1e-5 and gives the same bits for the same input on the same machine, so a journal can be replayed exactly.

Shapes: B batch, L window length, F features, D token width, H attention heads, Z width of the encoding.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema
from observer.kit.errors import ToolkitError

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Weights = Mapping[str, F32]

LAYER_NORM_EPS = 1e-5
HIDDEN_SCORE = -1e9  # finite, so that a row of nothing but padding stays a number
CHUNK = 256  # samples encoded at once: bounds memory, and the temporaries stay in cache


class Decision(NamedTuple):
    """One decision and everything the model said about it."""

    action: int  # HOLD, BUY or SELL
    logits: tuple[float, float, float]  # before the mask
    value: float  # USD per share of position size
    forecast: float  # correction to the market's log-odds of Up


class NumpyPolicy:
    """A trained policy on NumPy; see `mlx_rl.policy.Policy` for what the methods mean.

    Attributes:
        attention: (B, L, F), (B, L) -> how the newest state looks at the window, oldest slot first, as
            (B, layers, H, L); None for the base model, which attends to nothing.
    """

    def __init__(
        self,
        name: str,
        architecture: TransformerArchitecture | BaseArchitecture,
        weights: Weights,
        schema: FeatureSchema,
        scaler: Scaler,
    ) -> None:
        self.name, self.schema, self.scaler = name, schema, scaler
        self.architecture = architecture
        self.seq_len, self.temporal_dim = architecture.seq_len, architecture.temporal_dim
        self.weights = {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in weights.items()}
        is_base = isinstance(architecture, BaseArchitecture)
        self.attention: Callable[[F32, Mask], F32] | None = None if is_base else self._attention
        self._fast: Callable[..., tuple[int, tuple[float, float, float], float, float]] | None = None

    def encode(self, window: F32, is_real: Mask) -> F32:
        """(B, L, F) scaled states, oldest first, and (B, L) which are real -> (B, Z). The last state is real."""
        parts = [encode(self.architecture, self.weights, window[at], is_real[at])[0] for at in _chunks(len(window))]
        return np.concatenate(parts) if parts else np.empty((0, self.temporal_dim), np.float32)

    def heads(self, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
        """(B, F) scaled state with position entries, (B, Z) -> logits (B, A), value (B,), forecast (B,)."""
        return heads(self.architecture, self.weights, state, encoded)

    def _attention(self, window: F32, is_real: Mask) -> F32:
        parts = [encode(self.architecture, self.weights, window[at], is_real[at])[1] for at in _chunks(len(window))]
        return np.concatenate(parts)

    def decide(self, window: F32, is_real: Mask, state: F32, is_allowed: Mask) -> Decision:
        """Decide once, fast: (L, F) window, (L,) mask, (F,) state with position entries, (A,) allowed actions.

        Raises:
            ToolkitError: an input is NaN or infinite, so there is nothing to decide on.
        """
        if self._fast is None:
            from export.fast_kernel import FastForward

            self._fast = FastForward(self.architecture, self.weights)
        made = Decision(*self._fast(window, is_real, state, is_allowed))
        if not math.isfinite(sum(made.logits)):
            raise ToolkitError(f"{self.name}: the state holds NaN or infinity. Do not trade on it; check the feed.")
        return made


def encode(a: TransformerArchitecture | BaseArchitecture, w: Weights, window: F32, is_real: Mask) -> tuple[F32, F32]:
    """Encode (B, L, F) windows -> (B, Z), and the newest state's attention (B, layers, H, L)."""
    window = np.where(is_real[..., None], window, np.float32(0))
    if isinstance(a, BaseArchitecture):
        flat = window.reshape(len(window), -1)
        return _two_layers(a.activation, w, "encoder", flat), np.empty(0, np.float32)
    return _transformer(a, w, window, is_real)


def heads(a: TransformerArchitecture | BaseArchitecture, w: Weights, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
    """Current states (B, F) and encodings (B, Z) -> logits (B, A), value (B,), forecast (B,)."""
    seen = np.concatenate([state, encoded], axis=-1)
    logits = _affine(w, "policy.out", _two_layers(a.activation, w, "policy", seen))
    value = _affine(w, "value.out", _two_layers(a.activation, w, "value", seen))[:, 0]
    return logits, value, _affine(w, "forecast.out", seen)[:, 0]


def position_table(seq_len: int, d_model: int) -> F32:
    """Sinusoids (L, D) that tell a slot's place: sine in even columns, cosine in odd ones, oldest slot first."""
    rate = 10_000.0 ** (-np.arange(0, d_model, 2) / d_model)
    angle = np.arange(seq_len)[:, None] * rate[None, :]
    table = np.empty((seq_len, d_model))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return table.astype(np.float32)


def _transformer(a: TransformerArchitecture, w: Weights, window: F32, is_real: Mask) -> tuple[F32, F32]:
    """Pre-LN encoder; the last layer asks for the last state only, since nothing else is read."""
    x = _affine(w, "encoder.input", window) + position_table(a.seq_len, a.d_model)
    seen: list[F32] = []
    for i in range(a.n_layers):
        layer = f"encoder.layers.{i}"
        asked = slice(-1, None) if i == a.n_layers - 1 else slice(None)
        normed = _layer_norm(w, f"{layer}.ln1", x)
        mixed, attention = _attend(a.n_heads, w, layer, normed[:, asked], normed, is_real)
        seen.append(attention[:, :, -1])
        x = x[:, asked] + _affine(w, f"{layer}.out", mixed)
        hidden = _activate(a.activation, _affine(w, f"{layer}.ff1", _layer_norm(w, f"{layer}.ln2", x)))
        x = x + _affine(w, f"{layer}.ff2", hidden)
    return _affine(w, "encoder.output", _layer_norm(w, "encoder.ln_final", x[:, -1])), np.stack(seen, axis=1)


def _attend(n_heads: int, w: Weights, layer: str, asking: F32, told: F32, is_real: Mask) -> tuple[F32, F32]:
    """Attention of `asking` (B, Q, D) over `told` (B, L, D) -> mixed values (B, Q, D), weights (B, H, Q, L)."""

    def split(part: str, tokens: F32) -> F32:
        made = tokens @ w[f"{layer}.{part}.weight"].T
        return made.reshape(*made.shape[:2], n_heads, -1).swapaxes(1, 2)

    query, key, value = split("query", asking), split("key", told), split("value", told)
    scores = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(query.shape[-1]))
    scores = np.where(is_real[:, None, None, :], scores, np.float32(HIDDEN_SCORE))
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attention = raised / raised.sum(axis=-1, keepdims=True)
    return (attention @ value).swapaxes(1, 2).reshape(asking.shape), attention


def _two_layers(activation: str, w: Weights, part: str, x: F32) -> F32:
    """The block that the base encoder and both heads share: linear, LayerNorm, activation, twice."""
    for i in (1, 2):
        x = _activate(activation, _layer_norm(w, f"{part}.ln{i}", _affine(w, f"{part}.fc{i}", x)))
    return x


def _affine(w: Weights, part: str, x: F32) -> F32:
    return x @ w[f"{part}.weight"].T + w[f"{part}.bias"]


def _layer_norm(w: Weights, part: str, x: F32) -> F32:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(LAYER_NORM_EPS)) * w[f"{part}.weight"] + w[f"{part}.bias"]


def _activate(activation: str, x: F32) -> F32:
    if activation == "relu":
        return np.maximum(x, np.float32(0))
    if activation == "tanh":
        return np.tanh(x)
    from export.fast_kernel import gelu  # NumPy has no error function

    return np.asarray(gelu(x))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(at, at + CHUNK) for at in range(0, n, CHUNK))
