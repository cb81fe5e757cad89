"""How markets ended: kept apart from everything a policy may see, and the only door to it.

Nothing here is part of a recording's dataset id, and `observer.store.reader` cannot open it. Settlement and
evaluation may; features, datasets, environments and live trading may not (import-linter checks that).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from observer.kit.errors import BadRecording
from observer.store.manifest import INDEX, load
from observer.store.schemas import OUTCOMES

Kind = Literal["official", "inferred", "synthetic"]
# Where a market has outcomes of several kinds, the first of these speaks.
KINDS: tuple[str, ...] = get_args(Kind)
PAYOFFS = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one Up share paid.

    Attributes:
        market_id: which market.
        payoff_up: USD per Up share: 1, 0, or 0.5 for a void market; Down pays the rest.
        kind: "official" as the venue settled, "inferred" by somebody from quotes, "synthetic" drawn by us.
        source: who says so.
    """

    market_id: str
    payoff_up: float
    kind: Kind
    source: str


def check_outcome(outcome: Outcome) -> None:
    """Refuse an outcome that cannot be; raises `BadRecording`."""
    if outcome.payoff_up not in PAYOFFS or outcome.kind not in KINDS:
        raise BadRecording(
            f"outcome of {outcome.market_id}: payoff_up {outcome.payoff_up!r} of kind {outcome.kind!r}; wanted "
            f"1, 0 or 0.5, and one of {', '.join(KINDS)}."
        )


def read_outcomes(root: Path | str) -> dict[str, Outcome]:
    """Read every outcome of the recording at `root`, by market id; a market may have none.

    Where a market has an official outcome and an inferred one, the official one is returned.

    Raises:
        BadRecording: the outcomes are damaged.
    """
    from observer.store.tables import read_merged

    base = Path(root) / OUTCOMES.name
    if not (base / INDEX).exists():
        return {}
    _, manifests = load(base)
    found: dict[str, Outcome] = {}
    for manifest in manifests:
        for row in read_merged(base, manifest):
            outcome = _from_row(row)
            known = found.get(outcome.market_id)
            if known is None or KINDS.index(outcome.kind) < KINDS.index(known.kind):
                found[outcome.market_id] = outcome
    return found


def outcomes_id(root: Path | str) -> str:
    """Hash over all outcomes of the recording at `root`, or "" where there are none."""
    base = Path(root) / OUTCOMES.name
    return load(base)[0].dataset_id if (base / INDEX).exists() else ""


def _from_row(row: dict[str, Any]) -> Outcome:
    return Outcome(row["market_id"], row["payoff_up"], row["kind"], row["source"])
