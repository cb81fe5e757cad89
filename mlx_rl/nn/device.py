"""Which device computes, and how many streams share a training step.

On the CPU everything outside the matrix product runs on one thread per stream, so a large step is cut in two
halves on two streams. On a GPU one stream and a compiled step are the whole story.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mlx_rl.nn.backend import mx

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Plan:
    """How a training step runs.

    Attributes:
        streams: 1, or 2 where two halves of a batch are computed side by side.
        is_compiled: whether the graph of a gradient is traced once and reused.
    """

    streams: int
    is_compiled: bool


ONE_COMPILED = Plan(streams=1, is_compiled=True)
TWO_STREAMS = Plan(streams=2, is_compiled=False)

# Below this the cost of launching two graphs exceeds what the second core gives back.
TWO_STREAM_BATCH = 256


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


def training_plan(kind: str, batch_size: int) -> Plan:
    """Choose how a training step runs: the only place where this is decided.

    A compiled step saves launches, which is most of a small step and all of a GPU's; two streams save time where
    arithmetic is most of it. The choice depends on the settings and the kind of device, never on how many cores
    are free, so a run repeats on another machine of the same kind.
    """
    if is_cpu() and kind == "transformer" and batch_size >= TWO_STREAM_BATCH:
        return TWO_STREAMS
    return ONE_COMPILED


def describe() -> str:
    """The device in words, e.g. `cpu (Intel Xeon, 2 cores)` or `gpu (Apple M4)`."""
    info = mx.device_info()
    name = str(info.get("device_name", "")).strip()
    words = [name] if name else []
    if is_cpu():
        words.append(f"{cores()} cores")
    return f"{mx.default_device().type.name} ({', '.join(words)})"
