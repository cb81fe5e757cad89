"""The forward passes agree with each other, with Torch's own layer, and with themselves."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.numpy_forward import NumpyPolicy
from export.runtimes import fast_runtime, policy_runtime, torch_runtime
from export.twins import TWINS
from mlx_rl.artifact.manifest import PRESETS
from mlx_rl.policy import choose
from observer.kit.errors import ToolkitError, UsageError
from tests.samples.model_folder import make_policy
from tests.samples.weights import make_inputs

BAR = 1e-5
EVERY = [(kind, size) for kind, sizes in PRESETS.items() for size in sizes]
ALL_ALLOWED = np.ones(3, np.bool_)


def twin_of(policy: NumpyPolicy) -> Any:
    """The Torch twin with the policy's weights."""
    torch = pytest.importorskip("torch")
    twin = TWINS[policy.architecture.kind](policy.architecture.model_dump())
    twin.load_state_dict({key: torch.from_numpy(value) for key, value in policy.weights.items()})
    return twin


def inputs_of(policy: NumpyPolicy, n: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = make_inputs(policy.architecture, n, seed)
    return made["window"], made["is_real"], made["state"]


@pytest.mark.torch
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_torch_numpy_and_the_kernel_agree(kind: str, size: str, activation: str) -> None:
    policy = make_policy(kind, size, activation=activation)
    inputs = inputs_of(policy, 6)

    ours = policy_runtime("numpy", policy).run(*inputs)
    torch_says = torch_runtime(twin_of(policy)).run(*inputs)
    kernel_says = fast_runtime(policy).run(*inputs)

    assert set(torch_says) == set(ours)
    assert set(kernel_says) == {"logits", "value", "forecast"}
    for key, value in (*torch_says.items(), *kernel_says.items()):
        assert value.shape == ours[key].shape
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, ours[key], atol=BAR, rtol=0)
    assert np.std(ours["logits"]) > 0.1  # the comparison is not one of zeros


@pytest.mark.torch
def test_a_head_width_that_is_no_multiple_of_four_is_exact_too() -> None:
    policy = make_policy(
        "transformer", "small", seq_len=7, d_model=18, n_heads=3, d_ff=23, temporal_dim=5, head_dim=13, value_dim=9
    )
    inputs = inputs_of(policy)

    ours = policy_runtime("numpy", policy).run(*inputs)
    for other in (torch_runtime(twin_of(policy)), fast_runtime(policy)):
        for key, value in other.run(*inputs).items():
            np.testing.assert_allclose(value, ours[key], atol=BAR, rtol=0)


@pytest.mark.torch
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_encoder_is_torchs_own_pre_norm_encoder(activation: str) -> None:
    """Against `nn.TransformerEncoderLayer`, which none of us wrote; its mask says True for what to ignore."""
    torch = pytest.importorskip("torch")
    policy = make_policy("transformer", "default", activation=activation)
    a, w = policy.architecture, {key: torch.from_numpy(value) for key, value in policy.weights.items()}
    window, is_real, _ = inputs_of(policy)
    with torch.inference_mode():
        x = torch.from_numpy(window) @ w["encoder.input.weight"].T + w["encoder.input.bias"]
        slot, column = torch.arange(20.0)[:, None], torch.arange(0, 64, 2)
        x[..., 0::2] += torch.sin(slot / 10_000 ** (column / 64))
        x[..., 1::2] += torch.cos(slot / 10_000 ** (column / 64))
        for i in range(a.n_layers):
            layer = torch.nn.TransformerEncoderLayer(
                64, 4, 256, dropout=0.0, activation=activation, norm_first=True, batch_first=True
            ).eval()
            ours = f"encoder.layers.{i}"
            packed = torch.cat([w[f"{ours}.{part}.weight"] for part in ("query", "key", "value")])
            theirs = {"self_attn.in_proj_weight": packed, "self_attn.in_proj_bias": torch.zeros(192)}
            for name, part in (
                ("self_attn.out_proj", "out"), ("linear1", "ff1"), ("linear2", "ff2"),
                ("norm1", "ln1"), ("norm2", "ln2"),
            ):  # fmt: skip
                theirs |= {f"{name}.{which}": w[f"{ours}.{part}.{which}"] for which in ("weight", "bias")}
            layer.load_state_dict(theirs)
            x = layer(x, src_key_padding_mask=torch.from_numpy(~is_real))
        x = torch.nn.functional.layer_norm(x[:, -1], (64,), w["encoder.ln_final.weight"], w["encoder.ln_final.bias"])
        expected = (x @ w["encoder.output.weight"].T + w["encoder.output.bias"]).numpy()

    np.testing.assert_allclose(policy.encode(window, is_real), expected, atol=BAR, rtol=0)


@pytest.mark.parametrize("kind", PRESETS)
def test_a_batch_is_its_samples(kind: str) -> None:
    policy = make_policy(kind, "small")
    window, is_real, state = inputs_of(policy, 300)  # more than one chunk

    whole = policy.encode(window, is_real)
    for i in (0, 1, 255, 256, 299):
        one = policy.encode(window[i : i + 1], is_real[i : i + 1])
        np.testing.assert_allclose(one[0], whole[i], atol=BAR, rtol=0)
    assert policy.encode(window[:0], is_real[:0]).shape == (0, policy.temporal_dim)
    assert policy.heads(state, whole)[0].shape == (300, 3)


@settings(max_examples=25, deadline=None)
@given(noise=st.floats(-1e6, 1e6, width=32), real=st.integers(1, 10), kind=st.sampled_from(["transformer", "base"]))
def test_noise_in_padding_reaches_no_decision(noise: float, real: int, kind: str) -> None:
    policy = _SMALL[kind]
    window, _, state = inputs_of(policy, 1)
    is_real = np.arange(policy.seq_len)[None] >= policy.seq_len - real
    noisy = np.where(is_real[..., None], window, np.float32(noise))

    assert np.array_equal(policy.encode(window, is_real), policy.encode(noisy, is_real))
    assert policy.decide(window[0], is_real[0], state[0], ALL_ALLOWED) == policy.decide(
        noisy[0], is_real[0], state[0], ALL_ALLOWED
    )


_SMALL = {kind: make_policy(kind, "small") for kind in PRESETS}


def test_attention_sums_to_one_over_what_is_real() -> None:
    policy = _SMALL["transformer"]
    window, is_real, _ = inputs_of(policy)
    assert policy.attention is not None

    attention = policy.attention(window, is_real)

    assert attention.shape == (16, policy.architecture.n_layers, policy.architecture.n_heads, policy.seq_len)
    np.testing.assert_allclose(attention.sum(axis=-1), 1.0, atol=1e-6)
    assert not attention[~np.broadcast_to(is_real[:, None, None], attention.shape)].any()
    assert _SMALL["base"].attention is None


@pytest.mark.parametrize("kind", PRESETS)
def test_a_decision_obeys_the_mask_and_is_the_batch_decision(kind: str) -> None:
    policy = make_policy(kind)
    window, is_real, state = inputs_of(policy, 64)
    logits = policy.heads(state, policy.encode(window, is_real))[0]

    for mask in ([True, True, True], [True, False, True], [True, True, False], [True, False, False]):
        allowed = np.array(mask)
        made = [policy.decide(window[i], is_real[i], state[i], allowed).action for i in range(64)]
        assert made == choose(logits, allowed).tolist()
    assert len(set(choose(logits, ALL_ALLOWED).tolist())) > 1


def test_nothing_allowed_is_hold_and_a_tie_goes_to_the_lower_index() -> None:
    policy = make_policy("base", "small")
    policy.weights["policy.out.weight"][:] = 0
    policy.weights["policy.out.bias"][:] = [0.5, 0.75, 0.75]
    window, is_real, state = (part[0] for part in inputs_of(policy, 1))

    assert policy.decide(window, is_real, state, np.zeros(3, np.bool_)).action == 0
    assert policy.decide(window, is_real, state, ALL_ALLOWED).action == 1
    assert policy.decide(window, is_real, state, np.array([True, False, True])).action == 2


@pytest.mark.parametrize("kind", PRESETS)
def test_the_same_state_gives_the_same_bits(kind: str) -> None:
    """Whatever the memory layout; and again from a second policy, which packs its weights anew."""
    policy = make_policy(kind)
    window, is_real, state = (part[0] for part in inputs_of(policy, 1))
    wide = np.zeros((2 * policy.seq_len + 1, policy.architecture.n_features + 3), np.float32)
    strided = wide[1::2, 2 : 2 + policy.architecture.n_features]
    strided[:] = window
    frozen = window.copy()
    frozen.flags.writeable = False

    first = policy.decide(window, is_real, state, ALL_ALLOWED)
    again = [policy.decide(other, is_real, state, ALL_ALLOWED) for other in (window, strided, frozen)]
    again.append(make_policy(kind).decide(window, is_real, state, ALL_ALLOWED))

    assert all(other == first for other in again)


@pytest.mark.parametrize("kind", PRESETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_a_number_is_refused(kind: str, bad: float) -> None:
    policy = make_policy(kind, "small")
    for where in ("window", "state"):
        inputs = {key: value[0].copy() for key, value in make_inputs(policy.architecture, 1).items()}
        inputs[where].reshape(-1)[-1] = bad
        with pytest.raises(ToolkitError, match="NaN or infinity"):
            policy.decide(inputs["window"], inputs["is_real"], inputs["state"], ALL_ALLOWED)


def test_a_window_of_another_length_is_refused() -> None:
    policy = make_policy("transformer", "small")
    window, is_real, state = (part[0] for part in inputs_of(policy, 1))

    with pytest.raises(UsageError, match="one decision wants a window"):
        policy.decide(window[1:], is_real[1:], state, ALL_ALLOWED)


def test_decisions_need_neither_torch_nor_mlx() -> None:
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "mlx", "pandas", "onnx", "onnxruntime"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from tests.samples.model_folder import make_policy
from tests.samples.weights import make_inputs
policy = make_policy("transformer", "small")
i = make_inputs(policy.architecture, 2)
logits = policy.heads(i["state"], policy.encode(i["window"], i["is_real"]))[0]
print(policy.decide(i["window"][0], i["is_real"][0], i["state"][0], np.ones(3, bool)).action, int(logits[0].argmax()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second
