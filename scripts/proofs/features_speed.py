"""States are computed at 8 million ticks a second on one core, and in 5 microseconds when ticks come one by one.

CPU time of one thread, best of several short rounds, so that a busy machine does not decide. `state18` is what is
held against the bar; `edge`, pandas and Polars are in the detail, each having agreed with the kernel to 1e-6.

The control computes the batch by pushing tick after tick through Python, as a live loop does: correct, too slow.
"""

import time

from mlx_rl.features.kernel import FeatureKernel
from mlx_rl.features.schema import schema_for
from scripts.bench_features import TOLERANCE, batch_speeds, made_up_tape, tick_costs, worst_disagreement
from scripts.proofs import Measurement

BATCH_BAR, TICK_BAR_US = 8.0, 5.0


def measure(ticks: int = 400_000, rounds: int = 7) -> Measurement:
    """Time the batch and the single tick, rivals in turns."""
    batch, single = batch_speeds(ticks, rounds), tick_costs(3)
    off = worst_disagreement(schema_for("state18"), made_up_tape(50_000))
    fast = batch["kernel, state18 (18 entries)"]["best"]
    tick_us = single["kernel, state18, push"]["best"]
    holds = fast >= BATCH_BAR and tick_us <= TICK_BAR_US and max(off.values()) <= TOLERANCE
    return Measurement(
        fast, BATCH_BAR, "M ticks/s, one core", holds,
        {"tick_us": tick_us, "tick_bar_us": TICK_BAR_US, "batch": batch, "single": single, "worst_disagreement": off},
    )  # fmt: skip


def control(ticks: int = 50_000) -> Measurement:
    """Compute a batch one tick at a time through Python."""
    tape, best = made_up_tape(ticks), 0.0
    clock = tape.recv_ns.tolist()
    for _ in range(3):
        kernel = FeatureKernel(schema_for("state18"))
        kernel.start(tape.market)
        start = time.process_time()
        for recv_ns, row in zip(clock, tape.rows, strict=True):
            kernel.push(recv_ns, row)
        best = max(best, ticks / (time.process_time() - start) / 1e6)
    return Measurement(best, BATCH_BAR, "M ticks/s, one core", best >= BATCH_BAR)
