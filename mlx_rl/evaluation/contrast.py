"""Two models on the same windows: which one earns more, where they differ, and which one to use."""

from typing import Any

import numpy as np

from mlx_rl.evaluation.assess import MARGIN_USD_PER_SHARE, paired, why_invalid
from mlx_rl.evaluation.runs import Runs
from mlx_rl.evaluation.verdict import judge, recommend
from observer.kit.rng import stream


def contrast(
    runs: Runs, ours: str, theirs: str, *, margin_usd_per_share: float = MARGIN_USD_PER_SHARE, seed: int = 0
) -> dict[str, Any]:
    """Compare `ours` with `theirs`, paired by window; plain data.

    Positive differences mean that `ours` earns more. Only windows in which the two ever held different positions
    can differ in money, so their number says how much the comparison rests on.
    """
    margin = margin_usd_per_share * runs.exam.law.size_shares
    found, difference = paired(runs, ours, theirs, stream(seed, "evaluation/resampling", ours, theirs))
    verdict = why_invalid(runs, ours, margin) or why_invalid(runs, theirs, margin) or judge(found, margin)
    a, b = (runs.models[name].plays[runs.is_base] for name in (ours, theirs))
    differing = np.array([not np.array_equal(p, q) for p, q in zip(a.positions, b.positions, strict=True)])
    same = sum(int((p == q).sum()) for p, q in zip(a.actions, b.actions, strict=True))
    ticks = sum(len(p) for p in a.actions)
    varies = a.net.std() > 0 and b.net.std() > 0
    simpler = min((theirs, ours), key=lambda name: runs.models[name].candidate.parameters)
    return {
        "ours": ours,
        "theirs": theirs,
        "verdict": verdict.as_dict(),
        "recommended": recommend(verdict, ours, theirs, simpler),
        "simpler": simpler,
        "margin_usd": margin,
        "difference_usd_per_window": found.as_dict(),
        "net_usd_per_window": {ours: float(a.net.mean()), theirs: float(b.net.mean())},
        "correlation": float(np.corrcoef(a.net, b.net)[0, 1]) if varies else None,
        "action_disagreement_share": 1 - same / ticks if ticks else None,
        "windows_differing": int(differing.sum()),
        "windows": len(difference),
        "difference_usd_where_differing": float(difference[differing].mean()) if differing.any() else None,
    }
