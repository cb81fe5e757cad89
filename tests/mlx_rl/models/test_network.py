"""Models compute what their architecture says, and the shortcuts change nothing."""

import numpy as np
import pytest

from mlx_rl.artifact.manifest import TransformerArchitecture, preset, weight_shapes
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import schema_for
from mlx_rl.models import policy as policies
from mlx_rl.models.initial import initial_weights
from mlx_rl.models.network import Network, build
from mlx_rl.models.policy import MlxPolicy
from mlx_rl.nn.attention import key_bias
from mlx_rl.nn.backend import mx, nn

SMALL = TransformerArchitecture(n_features=18, seq_len=7, d_model=16, n_heads=2, n_layers=2, d_ff=32, temporal_dim=8)


def window(a: TransformerArchitecture, n: int = 5) -> tuple[mx.array, mx.array]:
    x = mx.random.normal((n, a.seq_len, a.n_features), key=mx.random.key(3))
    is_real = mx.arange(a.seq_len)[None] >= mx.arange(n)[:, None]
    return x, is_real


@pytest.mark.parametrize("name", ["small", "default", "large"])
@pytest.mark.parametrize("kind", ["base", "transformer"])
def test_weights_have_the_manifests_names_and_shapes(kind: str, name: str) -> None:
    a = preset(kind, name)

    assert {key: tuple(value.shape) for key, value in Network(a).flat().items()} == weight_shapes(a)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_last_token_work_equals_the_whole_computation_in_outputs_and_gradients(n_layers: int) -> None:
    a = SMALL.model_copy(update={"n_layers": n_layers})
    network = build(a, seed=1)
    x, is_real = window(a)
    aim = mx.random.normal((5, a.temporal_dim), key=mx.random.key(4))

    def short(weights: dict, states: mx.array) -> mx.array:
        network.update(weights)
        return (network.encode(states, is_real) * aim).sum()

    def whole(weights: dict, states: mx.array) -> mx.array:
        network.update(weights)
        return (network.encoder.every_token(states, is_real)[:, -1] * aim).sum()

    weights = network.parameters()
    a_out, (a_w, a_x) = mx.value_and_grad(short, argnums=(0, 1))(weights, x)
    b_out, (b_w, b_x) = mx.value_and_grad(whole, argnums=(0, 1))(weights, x)
    assert np.allclose(a_out, b_out, atol=1e-5)
    assert np.allclose(a_x, b_x, atol=1e-5)
    for (name, mine), (_, full) in zip(nn.utils.tree_flatten(a_w), nn.utils.tree_flatten(b_w), strict=True):
        assert np.allclose(mine, full, atol=1e-5), name


def test_asking_for_attention_does_not_change_the_encoding() -> None:
    network = build(SMALL, seed=1)
    x, is_real = window(SMALL)
    encoded, weights = network.encoder.weigh(x, is_real)

    assert np.allclose(encoded, network.encode(x, is_real), atol=1e-6)
    assert weights.shape == (5, 2, 2, 7)  # (B, layers, heads, L)
    assert np.all(np.array(weights)[~np.array(mx.broadcast_to(is_real[:, None, None], weights.shape))] == 0)


def test_padding_says_nothing_to_either_model() -> None:
    for a in (SMALL, preset("base", "small")):
        network = build(a, seed=2)
        x = mx.random.normal((4, a.seq_len, a.n_features), key=mx.random.key(5))
        is_real = mx.broadcast_to(mx.arange(a.seq_len)[None] >= 2, (4, a.seq_len))

        assert np.array_equal(network.encode(x, is_real), network.encode(mx.where(is_real[..., None], x, 9.0), is_real))


def test_dropout_acts_where_a_key_is_given_and_nowhere_else() -> None:
    network = build(SMALL.model_copy(update={"dropout": 0.3}), seed=1)
    plain = build(SMALL, seed=1)
    x, is_real = window(SMALL)
    key = mx.random.key(0)

    assert np.array_equal(network.encode(x, is_real), plain.encode(x, is_real))
    assert not np.array_equal(network.encode(x, is_real, key), plain.encode(x, is_real))
    assert np.array_equal(network.encode(x, is_real, key), network.encode(x, is_real, key))


def test_an_untrained_model_agrees_with_the_market() -> None:
    network = build(SMALL, seed=1)
    x, is_real = window(SMALL)
    _, _, forecast = network.heads(x[:, -1], network.encode(x, is_real))

    assert np.all(np.array(forecast) == 0)


def test_first_weights_depend_on_the_seed_alone() -> None:
    same, other = initial_weights(SMALL, 0), initial_weights(SMALL, 1)

    assert all(np.array_equal(value, initial_weights(SMALL, 0)[name]) for name, value in same.items())
    assert not np.array_equal(same["encoder.input.weight"], other["encoder.input.weight"])


def test_first_weights_are_uniform_within_one_over_the_root_of_the_inputs() -> None:
    made = initial_weights(preset("transformer"), 0)
    up = made["encoder.layers.0.ff1.weight"]  # 64 inputs: within 1/8

    assert 0.124 < np.abs(up).max() <= 0.125
    assert np.std(up) == pytest.approx(0.125 / np.sqrt(3), rel=0.02)  # of a uniform law
    assert np.abs(made["encoder.layers.0.ff1.bias"]).max() <= 0.125
    assert np.all(made["encoder.layers.0.ln1.weight"] == 1)
    assert np.all(made["encoder.layers.0.ln1.bias"] == 0)


def test_attention_is_shown_layer_by_layer() -> None:
    network = build(SMALL, seed=1)
    x, is_real = window(SMALL)
    _, shown = network.encoder.weigh(x, is_real)
    first = network.encoder.layers[0].weigh(network.encoder._enter(x), key_bias(is_real), SMALL.seq_len)[1]

    assert shown.shape == (5, 2, 2, 7)  # windows, layers, heads, slots
    assert np.allclose(shown[:, 0], first, atol=1e-6)
    assert not np.allclose(shown[:, 1], first, atol=1e-3)


def test_many_windows_are_encoded_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "AT_ONCE", 4)
    policy = MlxPolicy("m", build(SMALL, seed=1), schema_for("state18"), Scaler.identity(18))
    x, is_real = (np.array(part) for part in window(SMALL, 11))
    alone = np.concatenate([policy.encode(x[i : i + 1], is_real[i : i + 1]) for i in range(11)])

    assert np.allclose(policy.encode(x, is_real), alone, atol=1e-6)
    assert policy.attention is not None
    assert policy.attention(x, is_real).shape == (11, 2, 2, 7)
    assert policy.encode(x[:0], is_real[:0]).shape == (0, 8)
