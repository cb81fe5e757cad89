"""Self-attention over the last L states; the encoding is the newest state's token.

Only that token leaves the encoder, so the last layer computes its query, its norms and its feed-forward part
alone, over the keys and values of all tokens: the same numbers as the full layer for about 60 % of the work.

Letters: B batch, L window length, F features, D width, H heads, Z width of the encoding.
"""

from mlx_rl.artifact.manifest import TransformerArchitecture
from mlx_rl.nn.attention import EncoderLayer, key_bias
from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.fused import NORM_EPS, linear, norm
from mlx_rl.nn.layers import split_key
from mlx_rl.nn.position import PositionalTable


class TransformerTemporalEncoder(nn.Module):
    """(B, L, F) scaled states and which of them are real -> (B, Z)."""

    def __init__(self, a: TransformerArchitecture) -> None:
        super().__init__()
        self.input = nn.Linear(a.n_features, a.d_model)
        self.layers = [EncoderLayer(a.d_model, a.n_heads, a.d_ff, a.activation, a.dropout) for _ in range(a.n_layers)]
        self.ln_final = nn.LayerNorm(a.d_model, eps=NORM_EPS)
        self.output = nn.Linear(a.d_model, a.temporal_dim)
        self._positions = PositionalTable(a.seq_len, a.d_model)
        self._seq_len = a.seq_len

    def __call__(self, window: mx.array, is_real: mx.array, key: mx.array | None = None) -> mx.array:
        """Encode; dropout happens where a key is given."""
        return self._run(window, is_real, key, n_last=1)[:, -1]

    def every_token(self, window: mx.array, is_real: mx.array) -> mx.array:
        """The yardstick of the last-token work: all L tokens through all layers, (B, L, Z)."""
        return self._run(window, is_real, None, n_last=self._seq_len)

    def weigh(self, window: mx.array, is_real: mx.array) -> tuple[mx.array, mx.array]:
        """Encode by the explicit path: (B, Z), and (B, layers, H, L) the newest token's attention, oldest first."""
        tokens, bias = self._enter(window), key_bias(is_real)
        weights: list[mx.array] = []
        for i, layer in enumerate(self.layers):
            tokens, spread = layer.weigh(tokens, bias, self._queries(i, 1))
            weights.append(spread)
        return self._leave(tokens[:, -1]), mx.stack(weights, axis=1)

    def _run(self, window: mx.array, is_real: mx.array, key: mx.array | None, n_last: int) -> mx.array:
        tokens, bias = self._enter(window), key_bias(is_real)
        for i, (layer, part) in enumerate(zip(self.layers, split_key(key, len(self.layers)), strict=True)):
            tokens = layer(tokens, bias, self._queries(i, n_last), part)
        return self._leave(tokens)

    def _enter(self, window: mx.array) -> mx.array:
        """(B, L, F) -> (B, L, D): project, and add what each slot adds."""
        return self._positions(linear(window, self.input.weight, self.input.bias, is_data=True))

    def _leave(self, tokens: mx.array) -> mx.array:
        normed = norm(tokens, self.ln_final.weight, self.ln_final.bias)
        return linear(normed, self.output.weight, self.output.bias)

    def _queries(self, i: int, n_last: int) -> int:
        return n_last if i == len(self.layers) - 1 else self._seq_len
