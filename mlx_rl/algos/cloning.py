"""What bc and wbc share: the loss, given how much weight each action of each sample carries.

    imitation  −Σ_a w_a log π(a), mean over samples and positions; π over the allowed actions only
    value      (v − v*)², v* the exact value of the position in USD per share
    forecast   cross-entropy of P(Up) = sigmoid(market log-odds + forecast) against what a share of Up paid,
               over samples whose market price and outcome are known

The encoder runs once per sample and the heads once per position. Letters: B batch, P positions, A actions.
"""

from collections.abc import Mapping

from mlx_rl.models.network import Network
from mlx_rl.nn.backend import mx
from mlx_rl.nn.layers import split_key

METRICS = ("loss", "imitation", "value", "forecast", "accuracy")
FORBIDDEN = -1e9


def cloning_loss(
    network: Network,
    x: Mapping[str, mx.array],
    value_weight: float,
    forecast_weight: float,
    key: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Loss of one batch and its parts in the order of `METRICS`.

    Args:
        network: the model.
        x: `window` (B, L, F), `is_real` (B, L), `states` (B, P, F), `weight` (B, P, A), `is_allowed` (B, P, A),
            `best` (B, P), `value` (B, P), `odds` (B,) market log-odds of Up, `payoff` (B,), `known` (B,) 1 or 0.
        value_weight, forecast_weight: what these two parts count beside the imitation.
        key: dropout happens where a key is given.
    """
    in_encoder, in_heads = split_key(key, 2)
    encoded = network.encode(x["window"], x["is_real"], in_encoder)
    b, p = x["best"].shape
    encoded = mx.broadcast_to(encoded[:, None], (b, p, encoded.shape[-1]))
    logits, value, forecast = network.heads(x["states"], encoded, in_heads)
    logits = mx.where(x["is_allowed"], logits, FORBIDDEN)
    log_pi = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    imitation = -(x["weight"] * log_pi).sum(axis=-1).mean()
    error = mx.square(value - x["value"]).mean()
    surprise = _surprise(x["odds"][:, None] + forecast, x["payoff"][:, None])
    off = (x["known"][:, None] * surprise).mean()
    hits = (mx.argmax(logits, axis=-1) == x["best"]).mean()
    loss = imitation + value_weight * error + forecast_weight * off
    return loss, mx.stack([loss, imitation, error, off, hits])


def _surprise(odds: mx.array, truth: mx.array) -> mx.array:
    """Cross-entropy of sigmoid(odds) against truth in [0, 1], finite for any odds."""
    return mx.maximum(odds, 0.0) - odds * truth + mx.log1p(mx.exp(-mx.abs(odds)))
