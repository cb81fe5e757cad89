"""The door of the doctor: what this machine computes with, how fast, and what to fix."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.console import table

ABOUT = "Show device, versions, memory and speed, and what to fix. Nothing is trained, recorded or sent."
PACKAGES = ("mlx", "numpy", "numba", "pyarrow", "safetensors", "torch", "onnxruntime")
SLOW_GFLOPS = 30.0  # per core; a BLAS below this is the reference one


class DoctorCommand(BaseModel):
    """What to time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["transformer", "base"] = Field(default="transformer", description="model to time")
    preset: Literal["small", "default", "large"] = Field(default="default", description="its size")
    batch_size: int = Field(default=256, ge=1, description="samples in one training step")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(DoctorCommand, examine, argv, prog="mlx-rl doctor", about=ABOUT, show=show)


def examine(command: DoctorCommand) -> dict[str, Any]:
    """Measure this machine; takes a few seconds per device."""
    import platform
    import sys

    from mlx_rl.nn.backend import BLAS, mx
    from mlx_rl.nn.device import cores, describe
    from mlx_rl.nn.fused import NATIVE, WHY_NOT

    devices = [mx.cpu] + ([mx.gpu] if mx.is_available(mx.gpu) else [])
    before = mx.default_device()
    timings: dict[str, dict[str, float]] = {}
    try:
        for device in devices:
            mx.set_default_device(device)
            timings[device.name] = time_device(command)
    finally:
        mx.set_default_device(before)
    result: dict[str, Any] = {
        "device": describe(),
        "system": f"{platform.system()} {platform.machine()}, Python {sys.version.split()[0]}",
        "cores": cores(),
        "memory_gb": memory_gb(),
        "versions": versions(),
        "blas": {"source": BLAS.source, "detail": BLAS.detail},
        "kernels": {"compiled": NATIVE is not None, "why_not": WHY_NOT},
        "model": f"{command.model} {command.preset}",
        "batch_size": command.batch_size,
        "timings": timings,
        "fastest_to_train": min(timings, key=lambda name: timings[name]["train_step_ms"]),
        "fastest_to_decide": min(timings, key=lambda name: timings[name]["decide_ms"]),
    }
    return {**result, "advice": advice(result)}


def time_device(command: DoctorCommand) -> dict[str, float]:
    """Matrix product, one training step and one decision on the default device."""
    from mlx_rl.artifact.manifest import preset
    from mlx_rl.models.network import build
    from mlx_rl.nn.backend import as_mx, mx
    from mlx_rl.nn.device import training_streams
    from mlx_rl.training.inputs import made_up_inputs
    from mlx_rl.training.settings import TrainSettings
    from mlx_rl.training.step import Stepper

    n = 512
    a = mx.random.normal((n, n))
    product_s = best_of(lambda: mx.eval(a @ a))
    architecture = preset(command.model, command.preset)
    network = build(architecture)
    stepper = Stepper(network, TrainSettings(), training_streams(architecture.kind, command.batch_size))
    x = made_up_inputs(command.batch_size, architecture.seq_len, architecture.n_features)
    state = stepper.layout.start(network.flat())
    step_s = best_of(lambda: stepper(state, x, 1e-3, 1))
    network.set_flat(stepper.layout.split(state.weights))
    window, is_real = as_mx(x["window"][:1]), mx.ones((1, architecture.seq_len), dtype=mx.bool_)

    def decide() -> None:
        mx.eval(network.heads(window[:, -1], network.encode(window, is_real)))

    return {
        "gflops": 2 * n**3 / product_s / 1e9,
        "train_step_ms": 1e3 * step_s,
        "samples_per_s": command.batch_size / step_s,
        "decide_ms": 1e3 * best_of(decide),
    }


def best_of(job: Callable[[], object], budget_s: float = 1.5) -> float:
    """Seconds of the fastest of as many runs as fit the budget, after one to warm up."""
    import time

    job()
    best, end = float("inf"), time.perf_counter() + budget_s
    while time.perf_counter() < end:
        start = time.perf_counter()
        job()
        best = min(best, time.perf_counter() - start)
    return best


def memory_gb() -> dict[str, float]:
    """Memory of the machine, and the most that MLX may use of a GPU's."""
    import os

    from mlx_rl.nn.backend import mx

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    gpu = mx.device_info().get("memory_size") if mx.is_available(mx.gpu) else None
    return {"machine": total} | ({"gpu": float(gpu) / 1e9} if gpu is not None else {})


def versions() -> dict[str, str]:
    """Installed versions of the libraries that compute."""
    from importlib.metadata import PackageNotFoundError, version

    def found(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    return {package: found(package) for package in PACKAGES}


def advice(result: dict[str, Any]) -> list[str]:
    """What to change, most important first; empty where all is well."""
    said: list[str] = []
    cpu = result["timings"]["cpu"]
    if result["blas"]["source"] in ("reference", "off") or cpu["gflops"] < SLOW_GFLOPS:
        said.append(
            f"MLX multiplies at {cpu['gflops']:.0f} GFLOP/s on the CPU ({result['blas']['detail']}). Install gcc and "
            "NumPy's PyPI wheel, or the package libopenblas0, for six to eight times faster training."
        )
    kernels = result["kernels"]
    if not kernels["compiled"] and list(result["timings"]) == ["cpu"]:
        said.append(f"Training uses no fused kernels ({kernels['why_not']}); with them it is about twice as fast.")
    if len(result["timings"]) > 1 and result["fastest_to_decide"] == "cpu":
        said.append("One decision is faster on the CPU than on the GPU; live decisions run on the CPU anyway.")
    if result["cores"] < 2:
        said.append("Only one core may be used; two give a transformer's training nearly twice the speed.")
    return said


def show(result: dict[str, Any]) -> str:
    """Facts, timings and advice as short tables."""
    memory = ", ".join(f"{name} {size:.0f} GB" for name, size in result["memory_gb"].items())
    facts = [
        ["device", result["device"]],
        ["system", result["system"]],
        ["memory", memory],
        ["matrix product", f"{result['blas']['source']}: {result['blas']['detail']}"],
        ["fused kernels", "compiled" if result["kernels"]["compiled"] else f"none: {result['kernels']['why_not']}"],
        ["versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())],
    ]
    timings = [
        [name, t["gflops"], t["train_step_ms"], round(t["samples_per_s"]), t["decide_ms"]]
        for name, t in result["timings"].items()
    ]
    header = ["device", "GFLOP/s", f"train step, {result['batch_size']} samples, ms", "samples/s", "one decision, ms"]
    train, decide = result["fastest_to_train"], result["fastest_to_decide"]
    fastest = f"Fastest for {result['model']}: {train} to train, {decide} to decide."
    parts = [table(facts, ["what", "found"]), table(timings, header), fastest, *result["advice"]]
    return "\n\n".join(parts)
