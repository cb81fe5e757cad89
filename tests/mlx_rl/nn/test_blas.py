"""The matrix product that MLX uses is a fast one, and a right one."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mlx_rl.nn import blas
from mlx_rl.nn.backend import mx

linux = pytest.mark.skipif(sys.platform != "linux", reason="the BLAS shim is for Linux CPUs; macOS has Accelerate")


def test_products_are_right_for_every_layout() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(33, 17)).astype(np.float32), rng.normal(size=(17, 29)).astype(np.float32)

    assert np.allclose(mx.array(a) @ mx.array(b), a @ b, atol=1e-5)
    assert np.allclose(mx.array(a).T @ mx.array(a), a.T @ a, atol=1e-4)
    assert np.allclose(mx.addmm(mx.ones(29), mx.array(a), mx.array(b), 2.0, 0.5), 1.0 * 0.5 + 2.0 * (a @ b), atol=1e-4)
    assert np.allclose(mx.array(b) @ mx.array(b).T, b @ b.T, atol=1e-4)


def test_darwin_keeps_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(blas, "_from_numpy", lambda: pytest.fail("nothing may be loaded on macOS"))

    assert blas.install().source == "accelerate"


@linux
def test_importing_mlx_first_is_noticed() -> None:
    found = blas.install()  # mlx is imported by now

    assert found.source == "reference"
    assert "mlx was imported first" in found.detail


@linux
def test_without_any_blas_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> blas.Blas:
        raise OSError("no C compiler to build the BLAS shim with (apt-get install gcc)")

    monkeypatch.delitem(sys.modules, "mlx.core")
    monkeypatch.setattr(blas, "_from_numpy", nothing)
    monkeypatch.setattr(blas, "SYSTEM_NAMES", ("libnosuchblas.so",))
    found = blas.install()

    assert not found.is_fast
    assert "apt-get install gcc" in found.detail
    assert "libnosuchblas" in found.detail


@linux
def test_the_switch_turns_it_off() -> None:
    script = "from mlx_rl.nn.backend import BLAS; print(BLAS.source)"
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, blas.SWITCH: "0"}, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "off"


@linux
def test_the_environment_is_put_back_after_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "HASWELL")
    with blas._environment("1", "SKYLAKEX"):
        inside = (os.environ["OPENBLAS_NUM_THREADS"], os.environ["OPENBLAS_CORETYPE"])

    assert inside == ("1", "SKYLAKEX")
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert os.environ["OPENBLAS_CORETYPE"] == "HASWELL"


@linux
def test_wide_kernels_are_taken_only_when_they_measure_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"SKYLAKEX": 100.0, None: 95.0}
    loaded: list[str | None] = []

    class Library:
        def __init__(self, kernel: str | None) -> None:
            self.kernel = kernel
            self.scipy_cblas_sgemm64_ = self.scipy_cblas_dgemm64_ = None

    def load(path: object, kernel: str | None) -> Library:
        loaded.append(kernel)
        return Library(kernel)

    class Bridge:
        @staticmethod
        def mlx_rl_bind(s: object, d: object) -> None: ...

    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas, "_load", load)
    monkeypatch.setattr(blas, "_kernel", lambda lib: lib.kernel or "Haswell")
    monkeypatch.setattr(blas, "cpu_flags", lambda: blas.AVX512)
    monkeypatch.setattr(blas, "gflops", lambda lib: speeds[lib.kernel])
    monkeypatch.setattr(blas, "_address", lambda f: None)
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda *a, **k: Bridge())

    assert "Haswell" in blas._from_numpy().detail  # 100 against 95 is noise
    speeds["SKYLAKEX"] = 200.0
    assert "SKYLAKEX" in blas._from_numpy().detail
    assert loaded == [None, "SKYLAKEX", None, "SKYLAKEX"]
