"""Is the policy's probability better than the price it could have read off the screen?

Both are scored at the same decisions against the same outcome. The difference is averaged within each market
window and clustered by clock window (a Diebold-Mariano test whose observations are clock windows), overall and by
how much of the window was left: skill in the last minute is worth nothing, everybody has it.

Scores are log-loss in nats and Brier; positive differences mean that the policy is better than the market.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.statistics.estimate import estimate
from mlx_rl.evaluation.statistics.probability import CLIP, brier, by_window, log_loss, reliability
from mlx_rl.evaluation.verdict import Verdict, judge
from mlx_rl.policy import probability_up

MARGIN_NATS = 0.005  # a log-loss worse than the market's by less than this does not matter
# Share of the window left, from the open to the close; for 15 minutes: 15-10, 10-5, 5-2, 2-1, and the last minute.
STRATA = (1.0, 2 / 3, 1 / 3, 2 / 15, 1 / 15, 0.0)


def calibrate(
    mids: list[NDArray[np.float32]],
    forecasts: list[NDArray[np.float32]],
    left_s: list[NDArray[np.float32]],
    payoffs: NDArray[np.float64],
    open_ns: NDArray[np.int64],
    length_s: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], Verdict | None]:
    """Score the policy's probabilities against the market's price.

    Args:
        mids, forecasts, left_s: per window (T,): market price, correction of its log-odds, seconds to the close.
        payoffs, open_ns: (W,).
        length_s: seconds of a window.

    Returns:
        The section of the report, and the verdict on log-loss (None where no decision had a price).
    """
    window = np.repeat(np.arange(len(mids)), [len(m) for m in mids])
    market = np.concatenate(mids).astype(np.float64)
    ours = probability_up(market, np.concatenate(forecasts))
    left = np.concatenate(left_s).astype(np.float64) / length_s
    has_price = np.isfinite(market)
    if not has_price.any():
        return {"decisions": 0, "note": "no decision had a market price, so nothing can be calibrated"}, None
    cluster = np.unique(open_ns, return_inverse=True)[1]
    rows: list[dict[str, Any]] = []
    overall: Verdict | None = None
    for name, is_in in [("all", has_price), *_strata(left, has_price, length_s)]:
        if not is_in.any():
            continue
        row, verdict = _score(name, market[is_in], ours[is_in], window[is_in], payoffs, open_ns, rng)
        rows.append(row)
        overall = verdict if name == "all" else overall
    w = window[has_price]
    return {
        "decisions": int(has_price.sum()),
        "margin_nats": MARGIN_NATS,
        "by_time_left": rows,
        "reliability": {
            "policy": reliability(ours[has_price], payoffs, w, cluster, rng).as_dict(),
            "market": reliability(market[has_price], payoffs, w, cluster, rng).as_dict(),
        },
        "verdict": overall.as_dict() if overall else None,
    }, overall


def _strata(
    left: NDArray[np.float64], has_price: NDArray[np.bool_], length_s: float
) -> list[tuple[str, NDArray[np.bool_]]]:
    out: list[tuple[str, NDArray[np.bool_]]] = []
    for high, low in pairwise(STRATA):
        lower = left >= 0 if low == 0 else left > low
        upper = np.ones(len(left), dtype=np.bool_) if high == 1.0 else left <= high
        out.append((f"{_span(high * length_s)} to {_span(low * length_s)}", has_price & lower & upper))
    return out


def _span(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def _score(
    name: str, market: NDArray[np.float64], ours: NDArray[np.float64], window: NDArray[np.int64],
    payoffs: NDArray[np.float64], open_ns: NDArray[np.int64], rng: np.random.Generator,
) -> tuple[dict[str, Any], Verdict]:  # fmt: skip
    paid, n = payoffs[window], len(payoffs)
    losses = {
        "log_loss": by_window(log_loss(ours, paid), window, n),
        "log_loss_market": by_window(log_loss(market, paid), window, n),
        "brier": by_window(brier(ours, paid), window, n),
        "brier_market": by_window(brier(market, paid), window, n),
    }
    there = np.isfinite(losses["log_loss"])
    # A log-loss moves by no more than the log-odds do, so the largest correction bounds what a window can bring.
    moved = by_window(np.abs(_log_odds(ours) - _log_odds(market)), window, n)
    gain = estimate(
        (losses["log_loss_market"] - losses["log_loss"])[there], open_ns[there], rng, worst=float(np.nanmax(moved))
    )
    verdict = judge(gain, MARGIN_NATS, unit="nats")
    means = {key: float(value[there].mean()) for key, value in losses.items()}
    row = {"when": name, "windows": int(there.sum()), **means, "gain_nats": gain.as_dict(), "verdict": str(verdict)}
    return row, verdict


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    q = np.clip(p, CLIP, 1 - CLIP)
    return np.log(q) - np.log1p(-q)
