"""One live decision takes at most 0.15 ms with the transformer and 0.03 ms with the base model, without Torch.

A decision is everything from the tick to the action: features, scaling, window, encoder, heads, mask and choice, on
one core. The figure is the 99th percentile of 300 decisions in the middle one of the turns, one after the other; the
quietest and the worst turn are in the detail, and so is the median after a pause of 10 ms, when the caches are cold. A
busy machine delays any process, so it is refused. Each model has a process of its own, and that process must not have
loaded Torch or MLX.

The control decides with Torch's eager twin: the same arm, the same ticks, slower, and with Torch loaded.
"""

from typing import Any

import numpy as np

from scripts.bench_inference import Worker, percentiles
from scripts.idle import require_idle
from scripts.proofs import Measurement

BARS_MS = {"transformer": 0.15, "base": 0.03}
UNIT = "ms, p99 of one transformer decision"


def measure(turns: int = 15) -> Measurement:
    """Time the trading arm with both models."""
    require_idle()
    return _measure("live", turns)


def control(turns: int = 5) -> Measurement:
    """Time the same arm with Torch in the kernel's place; judged by time alone, it must miss the bars."""
    return _measure("live, torch eager", turns, may_load=True)


def _measure(name: str, turns: int, *, may_load: bool = False) -> Measurement:
    detail: dict[str, Any] = {}
    for model, bar_ms in BARS_MS.items():
        worker = Worker(name, model)
        took = percentiles([worker.turn() for _ in range(turns)])
        rested = float(np.median(worker.turn("slow turn")))
        detail[model] = {**took, "p50_after_10_ms_pause_us": rested, "bar_ms": bar_ms, "loaded": worker.close()}
    holds = all(one["p99_us"] / 1e3 <= one["bar_ms"] and (may_load or not one["loaded"]) for one in detail.values())
    return Measurement(detail["transformer"]["p99_us"] / 1e3, BARS_MS["transformer"], UNIT, holds, detail)
