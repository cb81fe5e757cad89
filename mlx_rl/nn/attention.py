"""Multi-head attention of some queries over all tokens of a window, and one encoder layer around it.

The fused path is for training and decisions. `weigh` is the explicit path that also returns the weights; both
compute softmax(q·k / √d_head + bias) v. A hidden key's bias is −1e9, never −inf: a row of nothing but hidden
keys stays finite.

Letters: B batch, Q queries (all tokens, or the last alone), L tokens, D width, H heads.
"""

import math

from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.layers import ACTIVATIONS, NORM_EPS, drop, split_key

HIDDEN = -1e9


def key_bias(is_real: mx.array) -> mx.array:
    """(B, L) bool, True where a token stands for a recorded state -> (B, 1, 1, L) added to every score."""
    return mx.where(is_real, 0.0, HIDDEN)[:, None, None, :]


class EncoderLayer(nn.Module):
    """Pre-LN encoder layer: x += out(attention(ln1(x))); x += ff2(bend(ff1(ln2(x))))."""

    def __init__(self, width: int, n_heads: int, d_ff: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width, eps=NORM_EPS), nn.LayerNorm(width, eps=NORM_EPS)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.ff1, self.ff2 = nn.Linear(width, d_ff), nn.Linear(d_ff, width)
        self._n_heads, self._scale = n_heads, 1.0 / math.sqrt(width // n_heads)
        self._bend, self._dropout = ACTIVATIONS[activation], dropout

    def __call__(self, tokens: mx.array, bias: mx.array, n_queries: int, key: mx.array | None = None) -> mx.array:
        """(B, L, D) tokens, (B, 1, 1, L) bias -> (B, Q, D): the last `n_queries` tokens after this layer."""
        q, k, v = self._project(tokens, n_queries)
        mixed = mx.fast.scaled_dot_product_attention(q, k, v, scale=self._scale, mask=bias)
        return self._finish(tokens, mixed, n_queries, key)

    def weigh(self, tokens: mx.array, bias: mx.array, n_queries: int) -> tuple[mx.array, mx.array]:
        """As `__call__` without dropout, and (B, H, L): how the last token spread its attention."""
        q, k, v = self._project(tokens, n_queries)
        weights = mx.softmax(self._scale * (q @ k.swapaxes(-1, -2)) + bias, axis=-1)
        return self._finish(tokens, weights @ v, n_queries, None), weights[:, :, -1]

    def _project(self, tokens: mx.array, n_queries: int) -> tuple[mx.array, mx.array, mx.array]:
        normed = self.ln1(tokens)
        return (
            self._heads(self.query(normed[:, -n_queries:])),
            self._heads(self.key(normed)),
            self._heads(self.value(normed)),
        )

    def _heads(self, x: mx.array) -> mx.array:
        b, n, d = x.shape
        return x.reshape(b, n, self._n_heads, d // self._n_heads).swapaxes(1, 2)

    def _finish(self, tokens: mx.array, mixed: mx.array, n_queries: int, key: mx.array | None) -> mx.array:
        after_attention, inside, after_ff = split_key(key, 3)
        b, _, _, d = (*mixed.shape[:2], 0, tokens.shape[-1])
        x = tokens[:, -n_queries:] + drop(
            self.out(mixed.swapaxes(1, 2).reshape(b, n_queries, d)), self._dropout, after_attention
        )
        h = drop(self._bend(self.ff1(self.ln2(x))), self._dropout, inside)
        return x + drop(self.ff2(h), self._dropout, after_ff)
