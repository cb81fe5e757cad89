"""Norm, activation and attention, each as one operation with its own gradient.

On a Linux CPU with compiled kernels they run in one pass over memory; elsewhere they are MLX's own operations.
Both ways agree to rounding (a test holds outputs and gradients to 1e-5).

Letters: R rows, D width, B batch, Q queries, L tokens, H heads.
"""

import math
from collections.abc import Callable
from typing import Any

from mlx_rl.nn import native
from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.device import is_cpu

NATIVE, WHY_NOT = native.load()
NORM_EPS = 1e-5  # also in kernels.h
WIDEST = 1024  # also in kernels.h
HEAD_WIDTHS = (8, 16, 32)  # compiled in bridge.cpp, with windows of up to 48 tokens
LONGEST = 48
_NOTHING = mx.zeros(1)  # stands in the place of a part that is left out; it is not read


def is_native(x: mx.array) -> bool:
    """Whether the compiled kernels serve this array's type on the default device."""
    return NATIVE is not None and is_cpu() and x.dtype == mx.float32


def norm(x: mx.array, weight: mx.array, shift: mx.array, *, relu: bool = False) -> mx.array:
    """Layer norm over the last axis, (…, D) -> (…, D); then ReLU where asked for."""
    if not is_native(x) or x.shape[-1] > WIDEST:
        y = _plain_norm(x, weight, shift)
        return nn.relu(y) if relu else y
    return _NORM[relu, False](x, weight, shift)[0]


def _plain_norm(x: mx.array, weight: mx.array, shift: mx.array) -> mx.array:
    """By MLX's own operation, except where its gradient was found wrong (0.32.4 on CUDA: widths such as 9)."""
    if is_cpu() or x.shape[-1] % 8 == 0:
        return mx.fast.layer_norm(x, weight, shift, NORM_EPS)
    off = x - x.mean(-1, keepdims=True)
    return off * mx.rsqrt(mx.square(off).mean(-1, keepdims=True) + NORM_EPS) * weight + shift


def branch(x: mx.array, weight: mx.array, shift: mx.array) -> tuple[mx.array, mx.array]:
    """A residual branch begins: the layer norm of x, and x itself; their gradients are added in one pass."""
    if not is_native(x) or x.shape[-1] > WIDEST:
        return norm(x, weight, shift), x
    normed, _, same = _NORM[False, True](x, weight, shift)
    return normed, same


def linear(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    add: mx.array | None = None,
    relu: bool = False,
    is_data: bool = False,
) -> mx.array:
    """x weightᵀ + bias + add, (…, K) -> (…, N); then ReLU where asked for, which excludes `add`.

    Args:
        weight: (N, K). bias: (N,). add: (…, N).
        is_data: x is input data, so its gradient is not asked for.
    """
    if not is_native(x):
        y = x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)
        y = y if add is None else add + y
        return nn.relu(y) if relu else y
    how = (relu, is_data, bias is not None, add is not None)
    return _LINEAR[how](x, weight, _NOTHING if bias is None else bias, _NOTHING if add is None else add)


def feed_forward(
    x: mx.array, up: mx.array, up_bias: mx.array, down: mx.array, down_bias: mx.array, add: mx.array
) -> mx.array:
    """relu(x upᵀ + up_bias) downᵀ + down_bias + add, (…, D) -> (…, D); up is (H, D), down (D, H)."""
    d = x.shape[-1]
    if not is_native(x) or d % 16 or up.shape[0] % 16:
        return linear(linear(x, up, up_bias, relu=True), down, down_bias, add=add)
    made: Any = _feed_whole(x, up, up_bias, down, down_bias, add)
    return made


def attend(q: mx.array, kv: mx.array, bias: mx.array, n_heads: int) -> mx.array:
    """Scaled dot-product attention of all heads: (B, Q, D), (B, L, 2D), (B, L) added to scores -> (B, Q, D).

    The first half of `kv` are the keys, the second the values.
    """
    width, length = q.shape[-1] // n_heads, kv.shape[1]
    if is_native(q) and width in HEAD_WIDTHS and length <= LONGEST:
        return _ATTEND[n_heads](q, kv, bias)[0]
    scale, mask = 1.0 / math.sqrt(width), bias[:, None, None, :]
    qh, kh, vh = (_heads(x, n_heads) for x in (q, *mx.split(kv, 2, axis=-1)))
    mixed = mx.fast.scaled_dot_product_attention(qh, kh, vh, scale=scale, mask=mask)
    return mixed.swapaxes(1, 2).reshape(q.shape)


def attend_and_weigh(q: mx.array, kv: mx.array, bias: mx.array, n_heads: int) -> tuple[mx.array, mx.array]:
    """As `attend`, in plain operations, and the weights (B, H, Q, L): the explicit path."""
    width = q.shape[-1] // n_heads
    qh, kh, vh = (_heads(x, n_heads) for x in (q, *mx.split(kv, 2, axis=-1)))
    weights = mx.softmax((qh @ kh.swapaxes(-1, -2)) / math.sqrt(width) + bias[:, None, None, :], axis=-1)
    return (weights @ vh).swapaxes(1, 2).reshape(q.shape), weights


def _heads(x: mx.array, n_heads: int) -> mx.array:
    """(B, N, D) -> (B, H, N, D / H)."""
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


def _rows(x: mx.array) -> tuple[int, int]:
    """(…, D) as (R, D)."""
    return x.size // x.shape[-1], x.shape[-1]


def _make_norm(how: tuple[bool, bool]) -> Any:
    relu, branches = how

    @mx.custom_function
    def forward(x: mx.array, weight: mx.array, shift: mx.array) -> list[mx.array]:
        rows, d = _rows(x)
        made = NATIVE.run("norm_forward", [x, weight, shift], [list(x.shape), [rows, 2]], [rows, d, int(relu)])
        return [*made, x] if branches else made

    @forward.vjp
    def backward(primals, cotangents, outputs):
        (x, weight, _), (y, stats) = primals, outputs[:2]
        rows, d = _rows(x)
        given = [x, weight, y, stats, cotangents[0], cotangents[2] if branches else cotangents[0]]
        size = [rows, d, int(relu), int(branches)]
        return tuple(NATIVE.run("norm_backward", given, [list(x.shape), [d], [d]], size))

    return forward


def _make_linear(how: tuple[bool, bool, bool, bool]) -> Any:
    relu, is_data, with_bias, with_add = how

    @mx.custom_function
    def forward(x: mx.array, weight: mx.array, bias: mx.array, add: mx.array) -> mx.array:
        (rows, k), n = _rows(x), len(weight)
        size = [rows, k, n, int(relu), int(with_bias), int(with_add)]
        return NATIVE.run("linear_forward", [x, weight, bias, add], [[*x.shape[:-1], n]], size)[0]

    @forward.vjp
    def backward(primals, cotangent, output):
        x, weight, bias, add = primals
        (rows, k), n = _rows(x), len(weight)
        shapes = [[1] if is_data else list(x.shape), [n, k], [n]]
        size = [rows, k, n, int(relu), int(not is_data)]
        dx, dw, db = NATIVE.run("linear_backward", [x, weight, output, cotangent], shapes, size)
        dx = mx.zeros_like(x) if is_data else dx
        return dx, dw, db if with_bias else mx.zeros_like(bias), cotangent if with_add else mx.zeros_like(add)

    return forward


@mx.custom_function
def _feed_whole(x, up, up_bias, down, down_bias, add):
    size = [*_rows(x), len(up)]
    return NATIVE.run("feed_forward", [x, up, up_bias, down, down_bias, add], [list(x.shape)], size)[0]


@_feed_whole.vjp
def _feed_backward(primals, cotangent, output):
    x, up, up_bias, down, down_bias, _ = primals
    shapes = [list(a.shape) for a in (x, up, up_bias, down, down_bias)]
    made = NATIVE.run("feed_backward", [x, up, up_bias, down, cotangent], shapes, [*_rows(x), len(up)])
    return (*made, cotangent)


def _make_attend(n_heads: int) -> Any:
    def sizes(q: mx.array, kv: mx.array) -> tuple[str, list[int]]:
        (n, queries, d), length = q.shape, kv.shape[1]
        return f"{d // n_heads}_{(length + 15) // 16}", [n, queries, length, d, n_heads]

    @mx.custom_function
    def forward(q: mx.array, kv: mx.array, bias: mx.array) -> list[mx.array]:
        variant, size = sizes(q, kv)
        n, queries, _, _, h = size
        return NATIVE.run(f"attend_forward_{variant}", [q, kv, bias], [list(q.shape), [n, h, queries, 2]], size)

    @forward.vjp
    def backward(primals, cotangents, outputs):
        q, kv, bias = primals
        variant, size = sizes(q, kv)
        given = [q, kv, bias, outputs[1], cotangents[0]]
        dq, dkv = NATIVE.run(f"attend_backward_{variant}", given, [list(q.shape), list(kv.shape)], size)
        return dq, dkv, mx.zeros_like(bias)  # the bias says which tokens are real; nothing is learnt from it

    return forward


class _Variants(dict[Any, Callable[..., Any]]):
    """Variant -> its operation, made by `make(variant)` when first asked for."""

    def __init__(self, make: Callable[[Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, variant: Any) -> Callable[..., Any]:
        self[variant] = self._make(variant)
        return self[variant]


_LINEAR, _NORM, _ATTEND = _Variants(_make_linear), _Variants(_make_norm), _Variants(_make_attend)
