"""A fast matrix product for MLX on a Linux CPU.

The `mlx[cpu]` wheel links the reference BLAS, which reaches a few per cent of a core. MLX finds `cblas_sgemm`
through the dynamic linker, so a library that offers the same name and is loaded globally *before* MLX takes its
place. NumPy's wheel already carries OpenBLAS, under other names and with 64-bit integers; a shim of ten lines,
compiled once into the cache folder, bridges the two. Nothing here runs on Darwin, where MLX uses Accelerate.

OpenBLAS is loaded as a copy of our own with one thread, so NumPy's threads stay as they were, two MLX streams
can multiply side by side, and a sum is always added in the same order.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlx_rl.nn.cache import cached, cpu_flags

# Set to 0 to keep the BLAS that came with MLX (to measure the difference, or to rule this out).
SWITCH = "MLX_RL_FAST_BLAS"

SHIM = """
#include <stdint.h>
typedef int64_t wide;
typedef void (*sgemm_t)(int, int, int, wide, wide, wide, float, const float *, wide, const float *, wide, float,
                        float *, wide);
typedef void (*dgemm_t)(int, int, int, wide, wide, wide, double, const double *, wide, const double *, wide, double,
                        double *, wide);
static sgemm_t sgemm;
static dgemm_t dgemm;
void mlx_rl_bind(void *s, void *d) { sgemm = (sgemm_t)s; dgemm = (dgemm_t)d; }
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc) {
  sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                 const double *b, int ldb, double beta, double *c, int ldc) {
  dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
"""

SYSTEM_NAMES = ("libopenblas.so.0", "libopenblas.so")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
AVX512_KERNEL = "SKYLAKEX"
NARROW_KERNELS = ("haswell", "zen", "sandybridge", "nehalem", "prescott", "excavator")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


@dataclass(frozen=True)
class Blas:
    """Which BLAS MLX multiplies with.

    Attributes:
        source: "accelerate", "numpy", "system", "reference" or "off".
        detail: the kernel in use, or why there is none.
    """

    source: str
    detail: str

    @property
    def is_fast(self) -> bool:
        return self.source in ("accelerate", "numpy", "system")


def install() -> Blas:
    """Load the fastest BLAS found so that an MLX imported later uses it."""
    if sys.platform == "darwin":
        return Blas("accelerate", "part of macOS")
    if sys.platform != "linux":
        return Blas("reference", f"no faster BLAS is known for {sys.platform}")
    if os.environ.get(SWITCH) == "0":
        return Blas("off", f"{SWITCH}=0")
    if "mlx.core" in sys.modules:
        return Blas("reference", "mlx was imported first; import mlx_rl.nn.backend before mlx")
    keep_freed_memory()
    reasons: list[str] = []
    for attempt in (_from_numpy, _from_system):
        try:
            return attempt()
        except (OSError, AttributeError, subprocess.SubprocessError) as error:
            reasons.append(str(error))
    return Blas("reference", "; ".join(reasons))


def keep_freed_memory() -> None:
    """Tell glibc's malloc to keep what MLX frees: mapping it anew costs a page fault every 4 KiB, each step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _from_numpy() -> Blas:
    original = _numpy_openblas()
    shim = _compiled_shim()
    library = _load(_copy_of(original, ""), None)
    name = _kernel(library)
    if name.lower() in NARROW_KERNELS and cpu_flags() >= AVX512 and "OPENBLAS_CORETYPE" not in os.environ:
        # OpenBLAS does not know this CPU; trust the clock, not the name.
        wide = _load(_copy_of(original, "wide-"), AVX512_KERNEL)
        if gflops(wide) > 1.1 * gflops(library):
            library, name = wide, _kernel(wide)
    bridge = ctypes.CDLL(str(shim), ctypes.RTLD_GLOBAL)
    bridge.mlx_rl_bind(_address(library.scipy_cblas_sgemm64_), _address(library.scipy_cblas_dgemm64_))
    return Blas("numpy", f"OpenBLAS of the NumPy wheel, {name} kernels, 1 thread")


def _copy_of(original: Path, prefix: str) -> Path:
    stamp = f"{original}/{original.stat().st_mtime_ns}"
    return cached(prefix + original.name, stamp, lambda path: shutil.copyfile(original, path))


def _from_system() -> Blas:
    for name in SYSTEM_NAMES:
        try:
            with _environment("1", None):
                library = ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        library.openblas_set_num_threads(1)
        return Blas("system", f"{name}, 1 thread")
    raise OSError(f"no {SYSTEM_NAMES[0]} on this system (apt-get install libopenblas0)")


def _numpy_openblas() -> Path:
    import numpy

    folder = Path(numpy.__file__).parent.parent / "numpy.libs"
    found = sorted(folder.glob("libscipy_openblas64_*.so"))
    if not found:
        raise OSError("this NumPy carries no OpenBLAS (install NumPy's wheel from PyPI)")
    return found[0]


def _compiled_shim() -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

    def build(path: Path) -> None:
        if compiler is None:
            raise OSError("no C compiler to build the BLAS shim with (apt-get install gcc)")
        command = [compiler, "-O2", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
        subprocess.run(command, input=SHIM.encode(), check=True, capture_output=True)

    return cached("shim.so", SHIM, build)


def _load(path: Path, kernel: str | None) -> ctypes.CDLL:
    import numpy.linalg  # noqa: F401  (loads the Fortran runtime that the copy depends on)

    with _environment("1", kernel):
        return ctypes.CDLL(str(path))


@contextmanager
def _environment(threads: str, kernel: str | None) -> Iterator[None]:
    """Set what OpenBLAS reads while it is loaded, then put the environment back."""
    wanted = {"OPENBLAS_NUM_THREADS": threads} | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _kernel(library: ctypes.CDLL) -> str:
    query = library.scipy_openblas_get_corename64_
    query.restype = ctypes.c_char_p
    return query().decode()


def _address(function) -> ctypes.c_void_p:
    return ctypes.cast(function, ctypes.c_void_p)


def gflops(library: ctypes.CDLL, n: int = 384) -> float:
    """Single-precision speed of a loaded OpenBLAS copy on one n × n product, best of five, GFLOP/s."""
    wide, number, pointer = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    product = library.scipy_cblas_sgemm64_
    product.argtypes = [ctypes.c_int] * 3 + [wide] * 3 + [number, pointer, wide, pointer, wide, number, pointer, wide]
    a, b, c = ((number * (n * n))(*([1.0] * (n * n))) for _ in range(3))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        product(101, 111, 111, n, n, n, 1.0, a, n, b, n, 0.0, c, n)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9
