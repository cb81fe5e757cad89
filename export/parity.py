"""Do all runtimes compute the same policy? Differences of every output, and of every decision.

The first runtime given is the one the others are held against. Every pair is compared for the largest
difference, so a drift that grows along a chain of runtimes cannot hide in it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.probes import Probes
from export.runtimes import OUTPUTS, Outputs, Runtime
from mlx_rl.policy import choose

BATCHES = (1, 2, 32, 300)
BAR = 1e-5  # largest absolute difference of any output, on the CPU
MARGIN = 1e-4  # two actions whose logits are closer than this may be told apart differently
COMPARED = (*OUTPUTS, "attention")
MASKS = np.array([mask for mask in product((True, False), repeat=3) if any(mask)])


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        max_abs: largest difference of any output between any two runtimes, or from the golden record.
        rows: one per runtime, yardstick and batch size, with the largest difference of each output.
        decisions: how many were compared, how many were close calls, and how many came out differently.
    """

    max_abs: float
    rows: list[dict[str, Any]]
    decisions: dict[str, int]

    @property
    def passed(self) -> bool:
        return self.max_abs <= BAR and self.decisions["flips_outside_margin"] == 0

    def complaint(self) -> str:
        """The worst thing found, for an error message."""
        if self.decisions["flips_outside_margin"]:
            return f"{self.decisions['flips_outside_margin']} decisions differ although no two actions were close"
        worst = max(self.rows, key=lambda row: max(row[name] or 0.0 for name in COMPARED))
        what = max(COMPARED, key=lambda name: worst[name] or 0.0)
        return (
            f"{worst['runtime']} differs from {worst['against']} by {worst[what]:.3g} in {what} "
            f"at batch {worst['batch']}; the bar is {BAR:g}"
        )


def compare(runtimes: Sequence[Runtime], probes: Probes, golden: Outputs) -> Parity:
    """Run every probe through every runtime at every batch size, and compare outputs and decisions."""
    rows: list[dict[str, Any]] = []
    worst = 0.0
    singles: dict[str, NDArray[np.float32]] = {}
    recorded = {key: golden[key] for key in COMPARED if key in golden}
    for batch in BATCHES:
        made = {r.name: _in_batches(r, probes, batch) for r in runtimes if batch == 1 or not r.batch_one_only}
        first = runtimes[0].name
        for name, outputs in made.items():
            if name != first:
                rows.append(_row(name, first, batch, outputs, made[first]))
            first_rows = {key: value[: len(golden["logits"])] for key, value in outputs.items()}
            rows.append(_row(name, "golden", batch, first_rows, recorded))
        for key in COMPARED:
            told = [outputs[key] for outputs in made.values() if key in outputs]
            worst = max(worst, _spread(told)) if told else worst
        if batch == 1:
            singles = {name: outputs["logits"] for name, outputs in made.items()}
    worst = max(worst, *(row[key] or 0.0 for row in rows for key in COMPARED))
    return Parity(worst, rows, _decisions(singles))


def latency(runtimes: Sequence[Runtime], probes: Probes, rounds: int = 200) -> dict[str, dict[str, float]]:
    """Microseconds of one decision (encode, heads, mask, choice) in each runtime, taking turns."""
    spent: dict[str, list[float]] = {r.name: [] for r in runtimes}
    mask = np.ones(3, np.bool_)
    for i in range(rounds + 20):
        at = slice(i % len(probes), i % len(probes) + 1)
        one = probes.window[at], probes.is_real[at], probes.state[at]
        for r in runtimes:
            start = time.perf_counter_ns()
            choose(r.logits(*one), mask)
            if i >= 20:  # the first ones warm up
                spent[r.name].append((time.perf_counter_ns() - start) / 1e3)
    return {
        name: {f"p{q}_us": round(float(np.percentile(took, q)), 1) for q in (50, 90, 99)}
        for name, took in spent.items()
    }


def _in_batches(runtime: Runtime, probes: Probes, batch: int) -> Outputs:
    """All probes in batches of exactly `batch`; the last one is filled up from the start."""
    n = len(probes)
    order = np.arange(-(-n // batch) * batch) % n
    parts = []
    for at in range(0, len(order), batch):
        rows = order[at : at + batch]
        parts.append(runtime.run(probes.window[rows], probes.is_real[rows], probes.state[rows]))
    return {key: np.concatenate([part[key] for part in parts])[:n] for key in parts[0]}


def _row(runtime: str, against: str, batch: int, ours: Outputs, theirs: Outputs) -> dict[str, Any]:
    gaps = {k: _spread([ours[k], theirs[k]]) if k in ours and k in theirs else None for k in COMPARED}
    return {"runtime": runtime, "against": against, "batch": batch, **gaps}


def _spread(arrays: list[NDArray[np.float32]]) -> float:
    """Largest difference between any two of the arrays at the same place; NaN anywhere counts as infinite."""
    if len({a.shape for a in arrays}) != 1:
        return float("inf")
    stacked = np.stack(arrays).astype(np.float64)
    if not np.isfinite(stacked).all():
        return float("inf")
    return float(np.max(np.ptp(stacked, axis=0), initial=0.0))


def _decisions(logits: dict[str, NDArray[np.float32]]) -> dict[str, int]:
    """Choose under every mask in every runtime, and count where any of them parts from the first."""
    shown = [np.where(MASKS[None], made[:, None, :], -np.inf) for made in logits.values()]  # (N, masks, A) each
    chosen = [choose(made[:, None, :], MASKS[None]) for made in logits.values()]
    two_best = np.sort(shown[0], axis=-1)[..., -2:]
    is_close = two_best[..., 1] - two_best[..., 0] <= MARGIN
    flips = np.any([other != chosen[0] for other in chosen[1:]], axis=0) if len(chosen) > 1 else np.zeros_like(is_close)
    return {
        "compared": int(is_close.size),
        "within_margin": int(is_close.sum()),
        "flips_within_margin": int((flips & is_close).sum()),
        "flips_outside_margin": int((flips & ~is_close).sum()),
    }
