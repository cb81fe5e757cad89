"""The compiled kernels compute what MLX's own operations compute, outputs and gradients, at any shape."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_rl.nn import fused, native
from mlx_rl.nn.backend import mx

# Also where they are right and not in use, for want of AVX-512.
KERNELS, WHY_NOT = native.built() if sys.platform == "linux" else (None, f"not needed on {sys.platform}")
needs_kernels = pytest.mark.skipif(KERNELS is None, reason=f"no compiled kernels here: {WHY_NOT}")


@pytest.fixture(autouse=True)
def _in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "NATIVE", KERNELS)


def both_ways(function: Callable[..., mx.array], *inputs: mx.array) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Output and all gradients of sum(function · aim), with kernels and without."""
    found = []
    for module in (fused.NATIVE, None):
        before, fused.NATIVE = fused.NATIVE, module
        try:
            out = function(*inputs)
            aim = mx.random.normal(out.shape, key=mx.random.key(9))
            places = tuple(range(len(inputs)))
            gradients = mx.grad(lambda *x, a=aim: (function(*x) * a).sum(), argnums=places)(*inputs)
            found.append([np.array(a) for a in (out, *gradients)])
        finally:
            fused.NATIVE = before
    return found[0], found[1]


def agree(function: Callable[..., mx.array], *inputs: mx.array) -> None:
    ours, plain = both_ways(function, *inputs)
    for a, b in zip(ours, plain, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max(initial=0)))), float(np.abs(a - b).max())


def normal(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def test_where_they_can_be_compiled_the_kernels_are_there() -> None:
    """Else a kernel that does not compile, or fails its first call, would only skip the tests below."""
    if sys.platform != "linux" or shutil.which("g++") is None or find_spec("nanobind") is None:
        pytest.skip("the kernels are compiled on Linux, with g++ and nanobind")

    assert KERNELS is not None, WHY_NOT


def test_a_norm_that_a_gpu_gets_wrong_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = normal(5, 9), normal(9, seed=1), normal(9, seed=2)

    def found() -> list[np.ndarray]:
        loss = lambda x, w, b: mx.square(fused.norm(x, w, b)).sum()  # noqa: E731
        return [np.array(a) for a in (fused.norm(*inputs), *mx.grad(loss, argnums=(0, 1, 2))(*inputs))]

    monkeypatch.setattr(fused, "NATIVE", None)
    known = found()
    monkeypatch.setattr(fused, "is_cpu", lambda: False)
    monkeypatch.setattr(mx.fast, "layer_norm", None)

    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found(), known, strict=True))


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 200), k=st.integers(1, 130), n=st.integers(1, 130), relu=st.booleans(), with_bias=st.booleans()
)
def test_linear(rows: int, k: int, n: int, relu: bool, with_bias: bool) -> None:
    x, w, b = normal(rows, k), normal(n, k, seed=1), normal(n, seed=2)
    if with_bias:
        agree(lambda x, w, b: fused.linear(x, w, b, relu=relu), x, w, b)
    else:
        agree(lambda x, w: fused.linear(x, w, relu=relu), x, w)


@needs_kernels
@pytest.mark.parametrize(("rows", "n"), [(1, 1), (7, 64), (97, 18)])
def test_linear_adds_the_residual(rows: int, n: int) -> None:
    agree(
        lambda x, w, b, r: fused.linear(x, w, b, add=r),
        normal(rows, 33), normal(n, 33, seed=1), normal(n, seed=2), normal(rows, n, seed=3),
    )  # fmt: skip


@needs_kernels
def test_linear_takes_any_number_of_axes_and_any_strides() -> None:
    x = normal(4, 6, 10).swapaxes(0, 1)[:, 1:]

    agree(lambda x, w: fused.linear(x, w), x, normal(5, 10, seed=1))


@needs_kernels
def test_input_data_gets_no_gradient() -> None:
    x, w = normal(9, 5), normal(4, 5, seed=1)
    dx, dw = mx.grad(lambda x, w: fused.linear(x, w, is_data=True).sum(), argnums=(0, 1))(x, w)
    full = mx.grad(lambda w: fused.linear(x, w).sum())(w)

    assert np.all(np.array(dx) == 0)
    assert np.array_equal(dw, full)


@needs_kernels
@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 50), d=st.integers(8, 200), relu=st.booleans())
def test_norm(rows: int, d: int, relu: bool) -> None:
    agree(lambda x, w, s: fused.norm(x, w, s, relu=relu), normal(rows, d), normal(d, seed=1), normal(d, seed=2))


@needs_kernels
def test_a_norm_wider_than_the_kernel_holds_is_left_to_mlx() -> None:
    d = fused.WIDEST + 6

    agree(lambda x, w, s: fused.norm(x, w, s), normal(3, d), normal(d, seed=1), normal(d, seed=2))
    agree(lambda x, w, s: mx.concatenate(fused.branch(x, w, s), -1), normal(3, d), normal(d, seed=1), normal(d))


@needs_kernels
@pytest.mark.parametrize("n_queries", [1, 3, 4, 20])
@pytest.mark.parametrize(
    ("length", "n_heads", "d"), [(20, 4, 64), (10, 2, 32), (40, 8, 128), (16, 2, 16), (48, 1, 8), (60, 2, 32)]
)
def test_attention(length: int, n_heads: int, d: int, n_queries: int) -> None:
    n_queries = min(n_queries, length)
    is_real = np.arange(length)[None] >= np.arange(5)[:, None] * (length - 1) // 4
    bias = mx.array(np.where(is_real, 0.0, -1e9).astype(np.float32))
    q, kv = normal(5, n_queries, d), normal(5, length, 2 * d, seed=1)

    agree(lambda q, kv: fused.attend(q, kv, bias, n_heads), q, kv)
    explicit, weights = fused.attend_and_weigh(q, kv, bias, n_heads)
    assert np.allclose(fused.attend(q, kv, bias, n_heads), explicit, atol=1e-5)
    assert np.all(np.array(weights)[~np.broadcast_to(is_real[:, None, None], weights.shape)] == 0)


@needs_kernels
def test_scores_of_any_size_give_weights_that_sum_to_one() -> None:
    kv = mx.concatenate([normal(2, 20, 64, seed=1) * 100.0, mx.ones((2, 20, 64))], axis=-1)
    mixed = fused.attend(normal(2, 20, 64) * 100.0, kv, mx.zeros((2, 20)), 4)

    assert np.allclose(mixed, 1.0, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize(
    ("rows", "d", "hidden"), [(1, 16, 16), (97, 32, 128), (200, 64, 256), (300, 48, 80), (9, 10, 40)]
)
def test_feed_forward(rows: int, d: int, hidden: int) -> None:
    agree(
        fused.feed_forward, normal(rows, d), normal(hidden, d, seed=1), normal(hidden, seed=2),
        normal(d, hidden, seed=3), normal(d, seed=4), normal(rows, d, seed=5),
    )  # fmt: skip


# A case's function, and the shapes of its inputs.
NAN_CASES: dict[str, tuple[Callable[..., mx.array], list[tuple[int, ...]]]] = {
    "linear": (lambda x, w, b, r: fused.linear(x, w, b, add=r), [(7, 33), (18, 33), (18,), (7, 18)]),
    "linear relu": (lambda x, w, b: fused.linear(x, w, b, relu=True), [(7, 33), (18, 33), (18,)]),
    "norm": (lambda x, w, s: fused.norm(x, w, s), [(7, 40), (40,), (40,)]),
    "norm relu": (lambda x, w, s: fused.norm(x, w, s, relu=True), [(7, 40), (40,), (40,)]),
    "branch": (lambda x, w, s: mx.concatenate(fused.branch(x, w, s), axis=-1), [(7, 40), (40,), (40,)]),
    "feed forward": (fused.feed_forward, [(9, 16), (32, 16), (32,), (16, 32), (16,), (9, 16)]),
    "attention": (lambda q, kv: fused.attend(q, kv, mx.zeros((2, 20)), 2), [(2, 6, 32), (2, 20, 64)]),
}


@needs_kernels
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("case", NAN_CASES)
@given(draw=st.data())
def test_nan_goes_where_mlx_lets_it_go(case: str, draw: st.DataObject) -> None:
    """A kernel that turned NaN into a number would have a model trade on it, and training go on."""
    function, shapes = NAN_CASES[case]
    inputs = [np.array(normal(*shape, seed=i)) for i, shape in enumerate(shapes)]
    bad = inputs[draw.draw(st.integers(0, len(inputs) - 1), label="input")]
    bad.flat[draw.draw(st.integers(0, bad.size - 1), label="place")] = np.nan
    ours, plain = both_ways(function, *(mx.array(a) for a in inputs))

    assert np.isnan(plain[0]).any()
    for a, b in zip(ours, plain, strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        numbers = b[~np.isnan(b)]
        assert np.allclose(a[~np.isnan(b)], numbers, atol=1e-5 * max(1.0, float(np.abs(numbers).max(initial=0))))


@needs_kernels
def test_a_branch_adds_both_gradients() -> None:
    agree(
        lambda x, w, s: mx.concatenate(fused.branch(x, w, s), axis=-1), normal(50, 64), normal(64, seed=1), normal(64)
    )


@needs_kernels
def test_kernels_work_inside_a_compiled_function_and_on_another_stream() -> None:
    x, w = normal(30, 16), normal(8, 16, seed=1)
    function = mx.compile(lambda x, w: fused.linear(x, w, relu=True))
    with mx.stream(mx.new_stream(mx.cpu)):
        elsewhere = fused.linear(x, w, relu=True)

    assert np.allclose(function(x, w), mx.maximum(x @ w.T, 0), atol=1e-5)
    assert np.array_equal(elsewhere, fused.linear(x, w, relu=True))


@needs_kernels
def test_the_same_input_gives_the_same_bits() -> None:
    x, w = normal(500, 64), normal(96, 64, seed=1)
    grad = mx.grad(lambda w: mx.square(fused.linear(x, w, relu=True)).sum())

    assert np.array_equal(grad(w), grad(w))


def test_without_a_compiler_the_plain_operations_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    if sys.platform == "linux":
        assert native.built() == (None, "no C++ compiler to build the kernels with (apt-get install g++)")
    monkeypatch.setattr(fused, "NATIVE", None)

    assert fused.linear(normal(3, 4), normal(2, 4, seed=1), relu=True).shape == (3, 2)


def test_the_switch_turns_the_kernels_off() -> None:
    script = "from mlx_rl.nn.fused import NATIVE, WHY_NOT; print(NATIVE, WHY_NOT)"
    run = subprocess.run(
        [sys.executable, "-c", script], env={**native.os.environ, native.SWITCH: "0"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert run.stdout.strip() == f"None {native.SWITCH}=0"


def test_a_change_of_any_source_compiles_the_kernels_anew() -> None:
    assert set(native.SOURCES) == {path.name for path in native.HERE.iterdir() if path.suffix in (".h", ".cpp")}


def test_kernels_that_compute_nonsense_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        @staticmethod
        def run(name: str, *more: object) -> list[mx.array]:
            return [mx.zeros((1, 2))]

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(native, "_compiled", lambda: native.HERE)
    monkeypatch.setattr(native, "_import", lambda path: Wrong)

    assert native.built() == (None, "the compiled kernels do not compute what they should")


@pytest.mark.parametrize(("flags", "is_used"), [({"avx2"}, False), ({"avx2", "avx512f"}, True)])
def test_kernels_are_used_only_where_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], is_used: bool
) -> None:
    monkeypatch.delenv(native.SWITCH, raising=False)
    monkeypatch.setattr(native.sys, "platform", "linux")
    monkeypatch.setattr(native, "cpu_flags", lambda: flags)
    monkeypatch.setattr(native, "built", lambda: ("kernels", ""))

    module, why_not = native.load()

    assert module == ("kernels" if is_used else None)
    assert ("AVX-512" in why_not) is not is_used
