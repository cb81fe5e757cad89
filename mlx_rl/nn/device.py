"""Which device computes, and how many streams share a training step.

On the CPU everything outside the matrix product runs on one thread per stream, so a large step is cut in two
halves on two streams. On a GPU one stream and a compiled step are the whole story.
"""

import os
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

from mlx_rl.nn.backend import mx

F = TypeVar("F", bound=Callable[..., Any])


# The smallest batch at which half the arithmetic saves more than a second graph costs to launch (measured on two
# cores: docs/benchmarks.md).
TWO_STREAMS_FROM = {"transformer": 128, "base": 1024}


def is_cpu() -> bool:
    """True where MLX computes on the CPU by default."""
    return mx.default_device() == mx.Device(mx.cpu)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiled(function: F) -> F:
    """`mx.compile`, where the CPU has the C++ compiler that it needs at run time; else the function as it is."""
    if is_cpu() and shutil.which("g++") is None:
        return function
    made: Any = mx.compile(function)
    return made


def training_streams(kind: str, batch_size: int) -> int:
    """Choose how many streams share a training step, 1 or 2: the only place where this is decided.

    On a GPU one stream and a compiled step are the whole story. The choice depends on the settings and the kind of
    device, never on how many cores are free, so a run repeats on another machine of the same kind.
    """
    return 2 if is_cpu() and batch_size >= TWO_STREAMS_FROM[kind] else 1


def describe() -> str:
    """The device in words, e.g. `cpu (Intel Xeon, 2 cores)` or `gpu (Apple M4)`."""
    info = mx.device_info()
    name = str(info.get("device_name", "")).strip()
    words = [name] if name else []
    if is_cpu():
        words.append(f"{cores()} cores")
    return f"{mx.default_device().type.name} ({', '.join(words)})"
