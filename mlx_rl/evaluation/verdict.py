"""The words a comparison may end with, and the rule that picks one.

BETTER        the whole interval of the difference, 95 % or more, lies above zero.
WORSE         it lies below zero.
NOT WORSE     the difference is above −margin with 95 % confidence or more; a tie in practice.
INCONCLUSIVE  none of these; says how many clock windows would settle it.
INVALID       the figures may not be read at all; says why.

DEPLOY needs more than BETTER than doing nothing: its probabilities must also be no worse than the market's price.
Fewer than `MIN_CLUSTERS` clock windows never give another word than INCONCLUSIVE.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlx_rl.evaluation.statistics.estimate import Estimate
from mlx_rl.evaluation.statistics.power import windows_needed

Word = Literal["BETTER", "NOT WORSE", "WORSE", "INCONCLUSIVE", "INVALID"]
Release = Literal["DEPLOY", "DO-NOT-DEPLOY"]

MIN_CLUSTERS = 10


@dataclass(frozen=True)
class Verdict:
    """A word, the reason in one sentence, and what it would take to know more.

    Attributes:
        word: one of the five words.
        reason: one plain sentence.
        windows_needed: clock windows wanted for a verdict, 80 % of the time. What is inconclusive is mostly noise, so
            this plans on an effect one standard error smaller than the observed one, and on the margin where that
            is larger or fewer than `MIN_CLUSTERS` were seen; None where settled or nothing can be planned on.
        needed_for_effect: clock windows to tell the observed mean from zero, 80 % of the time; None where it is zero.
        needed_for_margin: clock windows to show a truly equal policy not worse by the margin, 80 % of the time.
        margin: USD per market window below which a loss does not matter.
    """

    word: Word
    reason: str
    windows_needed: int | None
    needed_for_effect: int | None
    needed_for_margin: int | None
    margin: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if self.word == "INCONCLUSIVE":
            wanted = f"{self.windows_needed:,}" if self.windows_needed else "more than can be told from these"
            return f"INCONCLUSIVE (windows needed: {wanted})"
        return f"INVALID ({self.reason})" if self.word == "INVALID" else self.word


def judge(found: Estimate, margin: float, *, unit: str = "USD") -> Verdict:
    """Pick the word for an estimated difference (ours minus theirs) per market window.

    Args:
        found: the difference.
        margin: non-inferiority margin in the same unit per market window, > 0.
        unit: for the sentence.
    """
    for_effect = windows_needed(abs(found.mean), found.deviation, found.worst)
    for_margin = windows_needed(margin, found.deviation, found.worst, alpha=0.05)
    span = f"{found.mean:+.4g} {unit} per window, 95 % or more between {found.low:+.4g} and {found.high:+.4g}"
    if found.n_clusters < MIN_CLUSTERS:
        word: Word = "INCONCLUSIVE"
        reason = f"{span}; {found.n_clusters} clock windows are too few for any verdict ({MIN_CLUSTERS} at least)."
    elif found.low > 0:
        word, reason = "BETTER", f"{span}: the whole interval is above zero."
    elif found.high < 0:
        word, reason = "WORSE", f"{span}: the whole interval is below zero."
    elif found.low_one_sided > -margin:
        word, reason = "NOT WORSE", f"{span}; a loss above the margin of {margin:.4g} {unit} is ruled out."
    else:
        word, reason = (
            "INCONCLUSIVE",
            f"{span}: the interval holds zero and reaches past the margin of {margin:.4g} {unit}.",
        )
    planned = abs(found.mean) - found.se if found.n_clusters >= MIN_CLUSTERS else 0.0
    wanted = windows_needed(planned, found.deviation, found.worst) if planned > margin else for_margin
    needed = max(wanted, found.n_clusters + 1, MIN_CLUSTERS) if wanted and word == "INCONCLUSIVE" else None
    return Verdict(word, reason, needed, for_effect, for_margin, margin)


def invalid(reason: str, margin: float = math.nan) -> Verdict:
    """The verdict on figures that may not be read."""
    return Verdict("INVALID", reason, None, None, None, margin)


@dataclass(frozen=True)
class Deployment:
    """Whether the evidence allows the policy near real money, and what stands in the way."""

    word: Release
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def release(net: Verdict, forecast: Verdict | None) -> Deployment:
    """Decide DEPLOY from the net profit against doing nothing and the forecast against the market's price.

    Args:
        net: verdict on USD per window after all costs against doing nothing.
        forecast: verdict on the probability score against the market's; None where the policy states none.
    """
    against: list[str] = []
    if net.word != "BETTER":
        against.append(f"after costs it is not shown to earn more than doing nothing: {net}.")
    if forecast is None:
        against.append("it states no probability, so its calibration cannot be held against the market's.")
    elif forecast.word not in ("BETTER", "NOT WORSE"):
        against.append(f"its probabilities are not shown to be as good as the market's price: {forecast}.")
    return Deployment("DO-NOT-DEPLOY", tuple(against)) if against else Deployment("DEPLOY", ())


def recommend(verdict: Verdict, ours: str, theirs: str, simpler: str) -> str:
    """Name the model to use after a comparison of `ours` against `theirs`; without a winner, the simpler one."""
    return {"BETTER": ours, "WORSE": theirs}.get(verdict.word, simpler)
