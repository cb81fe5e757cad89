"""Attention's laws: padding is silent, the explicit path is the fused one, positions are constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_rl.nn.attention import EncoderLayer, key_bias
from mlx_rl.nn.backend import mx, nn
from mlx_rl.nn.position import PositionalTable, sinusoid

B, L, D = 3, 6, 8


def layer(activation: str = "relu") -> EncoderLayer:
    mx.random.seed(0)
    return EncoderLayer(D, 2, 16, activation, 0.0)


def tokens(seed: int = 1) -> mx.array:
    return mx.random.normal((B, L, D), key=mx.random.key(seed))


def first_real(start: int) -> mx.array:
    return mx.broadcast_to(mx.arange(L)[None] >= start, (B, L))


@pytest.mark.parametrize("n_queries", [1, L])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_the_explicit_path_equals_the_fused_one(n_queries: int, activation: str) -> None:
    made, x, bias = layer(activation), tokens(), key_bias(first_real(2))
    fused = made(x, bias, n_queries)
    explicit, weights = made.weigh(x, bias, n_queries)

    assert np.allclose(fused, explicit, atol=1e-6)
    assert np.allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    assert np.all(np.array(weights)[..., :2] == 0)


def test_the_weights_shown_are_the_last_tokens() -> None:
    made, x, bias = layer(), tokens(), key_bias(first_real(1))

    assert np.allclose(made.weigh(x, bias, L)[1], made.weigh(x, bias, 1)[1], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(noise=st.floats(-1e4, 1e4, width=32), start=st.integers(0, L - 1))
def test_noise_in_padded_slots_never_reaches_the_last_token(noise: float, start: int) -> None:
    made, is_real = layer(), first_real(start)
    clean = mx.where(is_real[..., None], tokens(), 0.0)
    noisy = mx.where(is_real[..., None], tokens(), noise)

    assert np.array_equal(made(clean, key_bias(is_real), 1), made(noisy, key_bias(is_real), 1))


def test_a_window_of_nothing_but_padding_stays_finite() -> None:
    out = layer()(tokens(), key_bias(mx.zeros((B, L), dtype=mx.bool_)), 1)

    assert np.isfinite(np.array(out)).all()


def test_the_positional_table_is_no_parameter() -> None:
    assert dict(nn.utils.tree_flatten(PositionalTable(5, 4).parameters())) == {}


def test_positions_are_the_sines_of_the_formula() -> None:
    table = sinusoid(20, 64)

    # slot 3, pair 5: sin and cos of 3 / 10000^(10/64) = 3 / 4.2170 = 0.71141
    assert table[3, 10] == pytest.approx(np.sin(0.71141), abs=1e-5)
    assert table[3, 11] == pytest.approx(np.cos(0.71141), abs=1e-5)
    assert np.all(table[0, 0::2] == 0)
    assert np.all(table[0, 1::2] == 1)
