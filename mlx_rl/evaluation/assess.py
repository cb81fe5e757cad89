"""One model judged: against doing nothing, against every baseline, and against the market's own probability."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.behaviour import confusion, describe
from mlx_rl.evaluation.calibration import calibrate
from mlx_rl.evaluation.rollout import LEDGER, Play
from mlx_rl.evaluation.runs import ModelRun, Runs
from mlx_rl.evaluation.statistics.clusters import as_equals, gather
from mlx_rl.evaluation.statistics.estimate import Estimate, estimate
from mlx_rl.evaluation.statistics.sharpe import sharpe_per_window
from mlx_rl.evaluation.verdict import Verdict, invalid, judge, release
from observer.kit.rng import stream

MARGIN_USD_PER_SHARE = 0.01  # one cent: a loss per window and share that does not matter
LARGEST_MISSING_SHARE = 0.5  # with more windows left out than this, the rest says nothing about the whole
HOLD_ROW = "HOLD (do nothing)"
RANDOM_ROW = "random, same turnover"
ORACLE_ROW = "oracle (hindsight)"


def assess(
    runs: Runs, name: str, *, margin_usd_per_share: float = MARGIN_USD_PER_SHARE, seed: int = 0
) -> dict[str, Any]:
    """Judge the model `name` from what happened; plain data, as the door prints with --json."""
    run, exam = runs.models[name], runs.exam
    play = run.plays[runs.is_base]
    size, margin = exam.law.size_shares, margin_usd_per_share * exam.law.size_shares
    rng = stream(seed, "evaluation/resampling", name)
    net = estimate(play.net, exam.open_ns, rng, worst=size)
    verdict = why_invalid(runs, name, margin) or judge(net, margin)
    calibration, forecast = calibrate(
        runs.mids, play.forecast or [], runs.left, exam.payoffs, exam.open_ns, _window_s(runs), rng
    )
    oracle_net = runs.oracle.net if runs.oracle is not None else np.zeros(len(exam))
    clusters = gather(play.net, exam.open_ns)
    ratio, ratio_se = sharpe_per_window(as_equals(clusters))
    return {
        "model": name,
        "verdict": verdict.as_dict(),
        "deployment": release(verdict, forecast).as_dict(),
        "windows": windows_section(runs),
        "law": exam.law.model_dump(mode="json"),
        "warnings": warnings(runs, name),
        "net_usd_per_window": net.as_dict(),
        "sharpe_per_window": {"ratio": ratio, "se": ratio_se, "note": "per clock window, not annualised"},
        "against": baselines(runs, name, margin, net, rng),
        "waterfall": {which: waterfall(run.plays[which]) for which in run.plays},
        "break_even": break_even(play, size),
        "oracle": {
            "net_usd_per_window": float(oracle_net.mean()),
            "regret_usd_per_window": float((oracle_net - play.net).mean()),
            "share": float(play.net.sum() / oracle_net.sum()) if oracle_net.sum() > 0 else None,
        },
        "random_traders": random_traders(run, play),
        "calibration": calibration,
        "behaviour": describe(play, runs.left),
        "confusion": {"rows": "action taken", "columns": "best in hindsight", "counts": confusion(play, runs.best)},
        "attention_by_lag": run.attention,
    }


def why_invalid(runs: Runs, name: str, margin: float) -> Verdict | None:
    """Return INVALID with the reason where the figures may not be read, else None."""
    leak = runs.models[name].leak
    if leak is not None:
        return invalid(f"leak: {leak}", margin)
    if runs.invalid is not None:
        return invalid(runs.invalid, margin)
    missing = sum(len(ids) for ids in runs.exam.left_out.values())
    share = missing / (missing + len(runs.exam))
    if share > LARGEST_MISSING_SHARE:
        return invalid(f"coverage: {missing} of {missing + len(runs.exam)} windows had to be left out", margin)
    return None


def windows_section(runs: Runs) -> dict[str, Any]:
    """How many windows were judged, which were not, and how their outcomes are known."""
    exam = runs.exam
    return {
        "judged": len(exam),
        "clock_windows": len(set(exam.open_ns.tolist())),
        "left_out": {reason: len(ids) for reason, ids in exam.left_out.items()},
        "outcomes": exam.kinds,
        "first_open_ns": int(exam.open_ns.min()),
        "last_close_ns": max(m.close_ns for m in exam.markets),
        "series": dict(Counter(m.series for m in exam.markets)),
        "dataset_id": exam.dataset_id,
    }


def warnings(runs: Runs, name: str) -> list[str]:
    """Plain sentences that belong beside every figure."""
    out: list[str] = []
    inferred = runs.exam.kinds.get("inferred", 0)
    if inferred:
        out.append(
            f"{inferred} of {len(runs.exam)} outcomes are inferred from prices, not official; such outcomes have made "
            "edges appear that were not there."
        )
    for reason, ids in runs.exam.left_out.items():
        out.append(f"{len(ids)} windows were left out: {reason}.")
    if not runs.models[name].plays[runs.is_base].ledger["trades"].any():
        out.append(f"{name} never traded in these windows; it earned what doing nothing earns.")
    return out


def baselines(runs: Runs, name: str, margin: float, own: Estimate, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One row per trader to be beaten: what it earned, and the model's verdict against it, paired by window.

    Against doing nothing the difference is the model's own net, `own`. The rows are looks at one sample and are
    not corrected for their number: the verdict is the one against doing nothing.
    """
    run, exam = runs.models[name], runs.exam
    mine, size = run.plays[runs.is_base], exam.law.size_shares
    nothing = np.zeros(len(exam))

    def row(trader: str, net: NDArray[np.float64], trades: float, note: str = "") -> dict[str, Any]:
        found = own if net is nothing else estimate(mine.net - net, exam.open_ns, rng, worst=2 * size)
        return {
            "trader": trader,
            "net_usd_per_window": float(net.mean()),
            "trades_per_window": trades,
            "difference_usd": found.as_dict(),
            "verdict": str(judge(found, margin)),
            "note": note,
        }

    market_note = "as a trader the price never sees a reason to trade; as a forecaster see calibration"
    rows = [row(HOLD_ROW, nothing, 0.0), row("market price", nothing, 0.0, market_note)]
    for rule, play in runs.rules.items():
        note, is_blind = _excuse(runs, rule)
        if is_blind:
            rows.append({"trader": rule, "note": f"not applicable: {note}"})
        else:
            rows.append(row(rule, play.net, _trades(play), note))
    average = run.random_net.mean(axis=0)
    rows.append(row(RANDOM_ROW, average, _trades(mine), f"mean of {len(run.random_net)} random traders"))
    if runs.oracle is not None:
        rows.append(row(ORACLE_ROW, runs.oracle.net, _trades(runs.oracle), "nobody can do better"))
    return rows


def _excuse(runs: Runs, rule: str) -> tuple[str, bool]:
    """Why a rule held for want of something, and whether it did so on every tick."""
    wants = runs.wants.get(rule, Counter())
    ticks = sum(len(m) for m in runs.mids)
    if not wants:
        return "", False
    reason, count = wants.most_common(1)[0]
    return f"{reason} on {count / ticks:.0%} of the ticks", sum(wants.values()) >= ticks


def waterfall(play: Play) -> dict[str, float]:
    """From gross to net, USD per window, and the trades they took."""
    return {key: float(np.mean(play.ledger[key])) for key in LEDGER if key != "held_to_settlement"}


def break_even(play: Play, size_shares: float) -> dict[str, float | None]:
    """How dear trading may become before nothing is left, the decisions unchanged.

    Returns:
        fee_multiple: today's fees times this leave net at zero; None where no fee was paid.
        cost_usd_per_share: what each share traded could cost in fees; None where nothing was traded.
    """
    before_fees = float(play.net.sum() + np.sum(play.ledger["fees"]))
    fees, trades = float(np.sum(play.ledger["fees"])), float(np.sum(play.ledger["trades"]))
    return {
        "fee_multiple": before_fees / fees if fees > 0 else None,
        "cost_usd_per_share": before_fees / (trades * size_shares) if trades else None,
    }


def random_traders(run: ModelRun, play: Play) -> dict[str, Any]:
    """Where the model stands among traders with its turnover and holding times but random timing and sides."""
    totals, mine = run.random_net.sum(axis=1), float(play.net.sum())
    as_good = int((totals >= mine).sum())
    return {
        "traders": len(totals),
        "net_usd_per_window": float(run.random_net.mean()),
        "as_good_or_better": as_good,
        "p_value": (1 + as_good) / (1 + len(totals)),
    }


def paired(runs: Runs, ours: str, theirs: str, rng: np.random.Generator) -> tuple[Estimate, NDArray[np.float64]]:
    """The difference in net per window of two models on the same windows, ours minus theirs."""
    exam = runs.exam
    difference = runs.models[ours].plays[runs.is_base].net - runs.models[theirs].plays[runs.is_base].net
    return estimate(difference, exam.open_ns, rng, worst=2 * exam.law.size_shares), difference


def _trades(play: Play) -> float:
    return float(np.mean(play.ledger["trades"]))


def _window_s(runs: Runs) -> float:
    return max((m.close_ns - m.open_ns) / 1e9 for m in runs.exam.markets)
