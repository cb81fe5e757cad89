"""One decision, compiled: both models for a single window, without BLAS, threads or Python in between.

All weights lie in one float32 vector, in the order the kernel reads them, matrices as (in, out) so that the
inner loop runs along the outputs. Loops add in a fixed order and the only liberty given to the compiler is to
fuse a multiplication with the addition after it, plus the order inside a LayerNorm's sums; the same machine
code runs at every call, so the same input gives the same bits.

Shapes: L window length, F features, D token width, Z width of the encoding, A = 3 actions.
"""

import math
from collections.abc import Mapping

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from export.numpy_forward import HIDDEN_SCORE, LAYER_NORM_EPS, position_table
from mlx_rl.artifact.manifest import N_ACTIONS, BaseArchitecture, TransformerArchitecture
from observer.kit.errors import UsageError

F32 = NDArray[np.float32]

ACTIVATIONS = {"relu": 0, "gelu": 1, "tanh": 2}
RELU, GELU, TANH = 0, 1, 2
EPS = np.float32(LAYER_NORM_EPS)
HIDDEN = np.float32(HIDDEN_SCORE)
FUSED = {"contract"}
SUMS = {"contract", "reassoc", "nsz"}


class FastForward:
    """A model packed for the kernel; call it with (L, F), (L,), (F,), (A,) arrays."""

    def __init__(self, architecture: TransformerArchitecture | BaseArchitecture, weights: Mapping[str, F32]) -> None:
        a = architecture
        self.packed = _pack(a, weights)
        self.shapes = ((a.seq_len, a.n_features), (a.seq_len,), (a.n_features,), (N_ACTIONS,))
        code = ACTIVATIONS[a.activation]
        shared = (a.temporal_dim, a.head_dim, a.value_dim)
        if isinstance(a, TransformerArchitecture):
            self.sizes = np.array([code, *shared, a.d_model, a.n_heads, a.n_layers, a.d_ff], np.int64)
            self.kernel = decide_transformer
        else:
            self.sizes = np.array([code, *shared, a.hidden_dim], np.int64)
            self.kernel = decide_base

    def __call__(
        self, window: F32, is_real: NDArray[np.bool_], state: F32, is_allowed: NDArray[np.bool_]
    ) -> tuple[int, tuple[float, float, float], float, float]:
        """Return action, logits, value, forecast.

        Raises:
            UsageError: an array of another shape; the kernel itself checks no bounds.
        """
        if (window.shape, is_real.shape, state.shape, is_allowed.shape) != self.shapes:
            raise UsageError(
                f"one decision wants a window, is_real, state and mask of shapes {self.shapes}; got "
                f"{(window.shape, is_real.shape, state.shape, is_allowed.shape)}. Batches go to encode and heads."
            )
        return self.kernel(self.packed, self.sizes, window, is_real, state, is_allowed)


def _pack(a: TransformerArchitecture | BaseArchitecture, w: Mapping[str, F32]) -> F32:
    """Lay the weights out as the kernels read them; the attention's scale goes into the query weights."""
    parts: list[F32] = []

    def block(name: str) -> None:
        for i in (1, 2):
            parts.extend((w[f"{name}.fc{i}.weight"].T, w[f"{name}.fc{i}.bias"]))
            parts.extend((w[f"{name}.ln{i}.weight"], w[f"{name}.ln{i}.bias"]))

    if isinstance(a, BaseArchitecture):
        block("encoder")
    else:
        parts.append(w["encoder.input.weight"].T)
        parts.append(position_table(a.seq_len, a.d_model) + w["encoder.input.bias"])
        scale = np.float32(1 / math.sqrt(a.d_model // a.n_heads))
        for i in range(a.n_layers):
            layer = f"encoder.layers.{i}"
            parts.extend((w[f"{layer}.ln1.weight"], w[f"{layer}.ln1.bias"]))
            parts.extend((w[f"{layer}.query.weight"].T * scale, w[f"{layer}.key.weight"].T))
            parts.append(w[f"{layer}.value.weight"].T)
            for part in ("out", "ln2", "ff1", "ff2"):
                parts.extend((w[f"{layer}.{part}.weight"].T, w[f"{layer}.{part}.bias"]))
        parts.extend((w["encoder.ln_final.weight"], w["encoder.ln_final.bias"]))
        parts.extend((w["encoder.output.weight"].T, w["encoder.output.bias"]))
    for head in ("policy", "value"):
        block(head)
        parts.extend((w[f"{head}.out.weight"].T, w[f"{head}.out.bias"]))
    parts.extend((w["forecast.out.weight"].T, w["forecast.out.bias"]))
    return np.concatenate([np.ascontiguousarray(part, np.float32).reshape(-1) for part in parts])


@numba.vectorize(["float32(float32)"], cache=True)
def gelu(x):
    """Exact GELU, x · Φ(x), by the error function in double precision."""
    return np.float32(0.5 * x * (1.0 + math.erf(x * 0.7071067811865476)))


@numba.njit(cache=True)
def _matrix(packed, at, rows, columns):
    return packed[at : at + rows * columns].reshape(rows, columns), at + rows * columns


@numba.njit(cache=True)
def _real_states(window, is_real):
    """A copy of the window, zeros where there is no state."""
    states = np.zeros(window.shape, np.float32)
    for t in range(window.shape[0]):
        if is_real[t]:
            for j in range(window.shape[1]):
                states[t, j] = window[t, j]
    return states


@numba.njit(cache=True, fastmath=FUSED)
def _affine(x, w, start, y):
    """y = start + x · w for (R, I) x, (I, O) w; `start` has one row for all, or a row for each."""
    n_rows, n_in = x.shape
    n_out = w.shape[1]
    own = start.shape[0] > 1
    for r in range(n_rows):
        first = start[r if own else 0]
        y0 = y[r]
        for j in range(n_out):
            y0[j] = first[j]
    quads, fours = n_rows - n_rows % 4, n_in - n_in % 4
    # Four rows by four inputs at a time: a weight is loaded once for four rows, an output once for four inputs.
    for r in range(0, quads, 4):
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        y0, y1, y2, y3 = y[r], y[r + 1], y[r + 2], y[r + 3]
        for i in range(0, fours, 4):
            w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
            a0, a1, a2, a3 = x0[i], x0[i + 1], x0[i + 2], x0[i + 3]
            b0, b1, b2, b3 = x1[i], x1[i + 1], x1[i + 2], x1[i + 3]
            c0, c1, c2, c3 = x2[i], x2[i + 1], x2[i + 2], x2[i + 3]
            d0, d1, d2, d3 = x3[i], x3[i + 1], x3[i + 2], x3[i + 3]
            for j in range(n_out):
                u0, u1, u2, u3 = w0[j], w1[j], w2[j], w3[j]
                y0[j] = y0[j] + a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3
                y1[j] = y1[j] + b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3
                y2[j] = y2[j] + c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3
                y3[j] = y3[j] + d0 * u0 + d1 * u1 + d2 * u2 + d3 * u3
    for r in range(quads, n_rows):
        x0, y0 = x[r], y[r]
        for i in range(0, fours, 4):
            w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
            a0, a1, a2, a3 = x0[i], x0[i + 1], x0[i + 2], x0[i + 3]
            for j in range(n_out):
                y0[j] = y0[j] + a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
    for r in range(n_rows):
        y0 = y[r]
        for i in range(fours, n_in):
            a0, w0 = x[r, i], w[i]
            for j in range(n_out):
                y0[j] += a0 * w0[j]


@numba.njit(cache=True, fastmath=SUMS)
def _layer_norm(x, gain, y):
    """LayerNorm of each row; `gain` holds the scales and, below them, the shifts. `y` may be `x`."""
    n_rows, n = x.shape
    for r in range(n_rows):
        row, out = x[r], y[r]
        total = np.float32(0)
        for j in range(n):
            total += row[j]
        mean = total / np.float32(n)
        total = np.float32(0)
        for j in range(n):
            total += (row[j] - mean) * (row[j] - mean)
        scale = np.float32(1) / np.sqrt(total / np.float32(n) + EPS)
        for j in range(n):
            out[j] = (row[j] - mean) * scale * gain[0, j] + gain[1, j]


@numba.njit(cache=True, fastmath=FUSED)
def _softmax(score, is_real):
    """Turn each row of scores into weights, in place; slots that are not real get none."""
    n_rows, length = score.shape
    for r in range(n_rows):
        row = score[r]
        top = HIDDEN
        for t in range(length):
            row[t] = row[t] if is_real[t] else HIDDEN
            top = max(top, row[t])
        total = np.float32(0)
        for t in range(length):
            row[t] = math.exp(row[t] - top)
            total += row[t]
        for t in range(length):
            row[t] /= total


@numba.njit(cache=True, fastmath=FUSED)
def _add(x, y):
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[r, j] += y[r, j]


@numba.njit(cache=True)
def _activate(x, code):
    for r in range(x.shape[0]):
        row = x[r]
        if code == RELU:
            for j in range(row.size):
                row[j] = np.float32(0) if row[j] < 0 else row[j]  # so that NaN stays NaN
        elif code == TANH:
            for j in range(row.size):
                row[j] = math.tanh(row[j])
        else:
            for j in range(row.size):
                row[j] = gelu(row[j])


@numba.njit(cache=True, fastmath=FUSED)
def _two_layers(packed, at, code, x, width, out):
    """Linear, LayerNorm, activation, twice: (1, in) -> (1, width) -> `out`."""
    n_out = out.shape[1]
    inner = np.empty((1, width), np.float32)
    w, at = _matrix(packed, at, x.shape[1], width)
    b, at = _matrix(packed, at, 1, width)
    gain, at = _matrix(packed, at, 2, width)
    _affine(x, w, b, inner)
    _layer_norm(inner, gain, inner)
    _activate(inner, code)
    w, at = _matrix(packed, at, width, n_out)
    b, at = _matrix(packed, at, 1, n_out)
    gain, at = _matrix(packed, at, 2, n_out)
    _affine(inner, w, b, out)
    _layer_norm(out, gain, out)
    _activate(out, code)
    return at


@numba.njit(cache=True, fastmath=FUSED)
def _head(packed, at, code, seen, width, out):
    inner = np.empty((1, width), np.float32)
    at = _two_layers(packed, at, code, seen, width, inner)
    w, at = _matrix(packed, at, width, out.shape[1])
    b, at = _matrix(packed, at, 1, out.shape[1])
    _affine(inner, w, b, out)
    return at


@numba.njit(cache=True, fastmath=FUSED)
def _choose(packed, at, sizes, state, encoded, is_allowed):
    """The three heads on one state and its encoding; the best allowed action, ties to the lower index."""
    n_state, n_code = state.size, encoded.size
    seen = np.empty((1, n_state + n_code), np.float32)
    seen[0, :n_state] = state
    seen[0, n_state:] = encoded[0]
    logits, value, forecast = (
        np.empty((1, N_ACTIONS), np.float32),
        np.empty((1, 1), np.float32),
        np.empty((1, 1), np.float32),
    )
    at = _head(packed, at, sizes[0], seen, sizes[2], logits)
    at = _head(packed, at, sizes[0], seen, sizes[3], value)
    w, at = _matrix(packed, at, seen.size, 1)
    b, at = _matrix(packed, at, 1, 1)
    _affine(seen, w, b, forecast)
    action, best = 0, -np.inf
    for i in range(N_ACTIONS):
        if is_allowed[i] and logits[0, i] > best:
            action, best = i, logits[0, i]
    return action, (logits[0, 0], logits[0, 1], logits[0, 2]), value[0, 0], forecast[0, 0]


# Inputs may be read-only and strided views; declared once, so that no call ever compiles a second variant.
_INPUTS = ((types.float32, 2), (types.bool_, 1), (types.float32, 1), (types.bool_, 1))
_READ = [types.Array(kind, n, "A", readonly=True) for kind, n in _INPUTS]
_SIGNATURE = types.Tuple((types.int64, types.UniTuple(types.float32, 3), types.float32, types.float32))(
    types.float32[::1], types.int64[::1], *_READ
)


@numba.njit(_SIGNATURE, cache=True, fastmath=FUSED)
def decide_transformer(packed, sizes, window, is_real, state, is_allowed):
    """Encode one window with the transformer, then the heads and the masked choice."""
    code, d, n_heads, n_layers, d_ff = sizes[0], sizes[4], sizes[5], sizes[6], sizes[7]
    length, width = window.shape
    d_head = d // n_heads
    x, normed = np.empty((length, d), np.float32), np.empty((length, d), np.float32)
    key, value = np.empty((length, d), np.float32), np.empty((length, d), np.float32)
    key_t = np.empty((d, length), np.float32)
    query, mixed = np.empty((length, d), np.float32), np.empty((length, d), np.float32)
    hidden, score = np.empty((length, d_ff), np.float32), np.empty((length, length), np.float32)
    query_h, value_h = np.empty((length, d_head), np.float32), np.empty((length, d_head), np.float32)
    mixed_h, no_bias = np.empty((length, d_head), np.float32), np.zeros((1, max(d, length)), np.float32)

    states = _real_states(window, is_real)
    w_in, at = _matrix(packed, 0, width, d)
    places, at = _matrix(packed, at, length, d)
    _affine(states, w_in, places, x)
    for layer in range(n_layers):
        first = length - 1 if layer == n_layers - 1 else 0  # the last layer works for the last token only
        gain, at = _matrix(packed, at, 2, d)
        w_q, at = _matrix(packed, at, d, d)
        w_k, at = _matrix(packed, at, d, d)
        w_v, at = _matrix(packed, at, d, d)
        w_out, at = _matrix(packed, at, d, d)
        b_out, at = _matrix(packed, at, 1, d)
        gain2, at = _matrix(packed, at, 2, d)
        w_1, at = _matrix(packed, at, d, d_ff)
        b_1, at = _matrix(packed, at, 1, d_ff)
        w_2, at = _matrix(packed, at, d_ff, d)
        b_2, at = _matrix(packed, at, 1, d)

        _layer_norm(x, gain, normed)
        _affine(normed[first:], w_q, no_bias[:, :d], query[first:])
        _affine(normed, w_k, no_bias[:, :d], key)
        _affine(normed, w_v, no_bias[:, :d], value)
        for t in range(length):
            for j in range(d):
                key_t[j, t] = key[t, j]
        for h in range(n_heads):
            at_h = h * d_head
            for r in range(length):
                for j in range(d_head):
                    query_h[r, j], value_h[r, j] = query[r, at_h + j], value[r, at_h + j]
            _affine(query_h[first:], key_t[at_h : at_h + d_head], no_bias[:, :length], score[first:])
            _softmax(score[first:], is_real)
            _affine(score[first:], value_h, no_bias[:, :d_head], mixed_h[first:])
            for r in range(first, length):
                for j in range(d_head):
                    mixed[r, at_h + j] = mixed_h[r, j]
        _affine(mixed[first:], w_out, b_out, normed[first:])
        _add(x[first:], normed[first:])
        _layer_norm(x[first:], gain2, normed[first:])
        _affine(normed[first:], w_1, b_1, hidden[first:])
        _activate(hidden[first:], code)
        _affine(hidden[first:], w_2, b_2, normed[first:])
        _add(x[first:], normed[first:])

    gain, at = _matrix(packed, at, 2, d)
    w_z, at = _matrix(packed, at, d, sizes[1])
    b_z, at = _matrix(packed, at, 1, sizes[1])
    encoded = np.empty((1, sizes[1]), np.float32)
    _layer_norm(x[length - 1 :], gain, normed[:1])
    _affine(normed[:1], w_z, b_z, encoded)
    return _choose(packed, at, sizes, state, encoded, is_allowed)


@numba.njit(_SIGNATURE, cache=True, fastmath=FUSED)
def decide_base(packed, sizes, window, is_real, state, is_allowed):
    """Encode one window with the two-layer network, then the heads and the masked choice."""
    states = _real_states(window, is_real).reshape(1, window.size)
    encoded = np.empty((1, sizes[1]), np.float32)
    at = _two_layers(packed, 0, sizes[0], states, sizes[4], encoded)
    return _choose(packed, at, sizes, state, encoded, is_allowed)
