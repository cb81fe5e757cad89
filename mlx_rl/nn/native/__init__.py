"""Fused CPU kernels for MLX: compiled once with g++ on a Linux CPU with AVX-512, and simply absent anywhere else.

MLX's own CPU operations go over memory once per operation and compute exponentials one by one. The kernels of
`kernels.h` do a norm, an activation or an attention in one pass; `bridge.cpp` makes them operations of the graph.
Whatever is missing (a compiler, nanobind, the MLX they were made for), the plain operations are used instead and
`WHY_NOT` says why; results agree to rounding.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import ExtensionFileLoader
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlx_rl.nn.cache import cached, cpu_flags

# Set to 0 to compute with MLX's own operations (to measure the difference, or to rule the kernels out).
SWITCH = "MLX_RL_NATIVE"
MODULE = "_mlx_rl_native"
HERE = Path(__file__).parent
SOURCES = ("vectors.h", "kernels.h", "linear.h", "bridge.cpp")


def load() -> tuple[Any, str]:
    """The compiled module where it makes things faster, or None and the reason. MLX must have been imported."""
    if os.environ.get(SWITCH) == "0":
        return None, f"{SWITCH}=0"
    if sys.platform != "linux":
        return None, f"not needed on {sys.platform}"
    if "avx512f" not in cpu_flags():
        return None, "this CPU lacks AVX-512, without which MLX's own operations are faster"
    return built()


def built() -> tuple[Any, str]:
    """The compiled module, fast here or not, or None and the reason."""
    try:
        module = _import(_compiled())
        _try(module)
    except (OSError, ImportError, RuntimeError, TypeError, subprocess.SubprocessError) as error:
        return None, str(error)
    return module, ""


def _compiled() -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        raise OSError("no C++ compiler to build the kernels with (apt-get install g++)")
    nanobind = importlib.util.find_spec("nanobind")
    if nanobind is None or nanobind.origin is None:
        raise OSError("nanobind is not installed (pip install -e '.[train]')")
    import mlx

    mlx_root, nano = Path(next(iter(mlx.__path__))), Path(nanobind.origin).parent
    includes = (nano / "include", nano / "ext/robin_map/include", mlx_root / "include", sysconfig.get_path("include"))
    command = [
        compiler, "-std=c++20", "-O3", "-march=native", "-fopenmp-simd", "-fvisibility=hidden", "-shared", "-fPIC",
        "-DNB_DOMAIN=mlx", *(f"-I{path}" for path in includes), str(HERE / "bridge.cpp"),
        str(nano / "src/nb_combined.cpp"), f"-L{mlx_root / 'lib'}", "-lmlx", f"-Wl,-rpath,{mlx_root / 'lib'}",
    ]  # fmt: skip
    sources = [(HERE / name).read_text() for name in SOURCES]
    stamp = "/".join([*sources, *command, version("mlx"), version("nanobind"), sys.version, *sorted(cpu_flags())])

    def build(path: Path) -> None:
        try:
            subprocess.run([*command, "-o", str(path)], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            first = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr[:200])
            raise OSError(f"g++ could not compile the kernels: {first}") from None

    return cached(f"{MODULE}.so", stamp, build)


def _import(path: Path) -> Any:
    loader = ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    if spec is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _try(module: Any) -> None:
    """One small call: a module made for another MLX fails here, not in the middle of training."""
    import mlx.core as mx

    with mx.stream(mx.cpu):  # a GPU may be the default
        x, weight, bias = mx.array([[-1.0, 1.0]]), mx.array([[1.0, 0.0], [1.0, 2.0]]), mx.ones(2)
        (y,) = module.run("linear_forward", [x, weight, bias, bias], [[1, 2]], [1, 2, 2, 1, 1, 0])
    if y.tolist() != [[0.0, 2.0]]:
        raise ImportError("the compiled kernels do not compute what they should")
