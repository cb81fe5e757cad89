"""Multi-head attention of some queries over all tokens of a window, and one encoder layer around it.

The fused path is for training and decisions. `weigh` is the explicit path that also returns the weights; both
compute softmax(q·k / √d_head + bias) v. A hidden key's bias is −1e9, never −inf: a row of nothing but hidden
keys stays finite.

Letters: B batch, Q queries (all tokens, or the last alone), L tokens, D width, H heads.
"""

from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.fused import NORM_EPS, attend, attend_and_weigh, branch, feed_forward, linear
from mlx_rl.nn.layers import ACTIVATIONS, drop, split_key

HIDDEN = -1e9


def key_bias(is_real: mx.array) -> mx.array:
    """(B, L) bool, True where a token stands for a recorded state -> (B, L) added to every score."""
    return mx.where(is_real, 0.0, HIDDEN)


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
        self._n_heads, self._activation, self._dropout = n_heads, activation, dropout

    def __call__(self, tokens: mx.array, bias: mx.array, n_queries: int, key: mx.array | None = None) -> mx.array:
        """(B, L, D) tokens, (B, L) bias -> (B, Q, D): the last `n_queries` tokens after this layer."""
        q, kv, tokens = self._project(tokens, n_queries)
        return self._finish(tokens, attend(q, kv, bias, self._n_heads), key)

    def weigh(self, tokens: mx.array, bias: mx.array, n_queries: int) -> tuple[mx.array, mx.array]:
        """As `__call__` without dropout, and (B, H, L): how the last token spread its attention."""
        q, kv, tokens = self._project(tokens, n_queries)
        mixed, weights = attend_and_weigh(q, kv, bias, self._n_heads)
        return self._finish(tokens, mixed, None), weights[:, :, -1]

    def _project(self, tokens: mx.array, n_queries: int) -> tuple[mx.array, mx.array, mx.array]:
        """Queries (B, Q, D), keys and values (B, L, 2D), and the tokens (B, Q, D) that go on."""
        normed, tokens = branch(tokens, self.ln1.weight, self.ln1.bias)
        both = mx.concatenate([self.key.weight, self.value.weight])
        q = linear(normed[:, -n_queries:], self.query.weight)
        return q, linear(normed, both), tokens[:, -n_queries:]

    def _finish(self, tokens: mx.array, mixed: mx.array, key: mx.array | None) -> mx.array:
        """Everything after the attention, token by token."""
        after_attention, inside, after_ff = split_key(key, 3)
        h, x = branch(self._add(tokens, self.out, mixed, after_attention), self.ln2.weight, self.ln2.bias)
        if self._activation == "relu" and (key is None or self._dropout == 0.0):
            return feed_forward(h, self.ff1.weight, self.ff1.bias, self.ff2.weight, self.ff2.bias, x)
        h = ACTIVATIONS[self._activation](linear(h, self.ff1.weight, self.ff1.bias))
        return self._add(x, self.ff2, drop(h, self._dropout, inside), after_ff)

    def _add(self, x: mx.array, fc: nn.Linear, h: mx.array, key: mx.array | None) -> mx.array:
        """x + drop(fc(h))."""
        if key is None or self._dropout == 0.0:
            return linear(h, fc.weight, fc.bias, add=x)
        return x + drop(linear(h, fc.weight, fc.bias), self._dropout, key)
