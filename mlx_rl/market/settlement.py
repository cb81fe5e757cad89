"""How windows ended: the only module of the market that opens the outcomes.

A held share pays 1, 0 or 0.5 USD by the official outcome and no exit fee. An outcome that somebody inferred or
made up says so in its kind, and reports repeat it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from observer.kit.errors import BadRecording
from observer.store.outcomes import outcomes_id, read_outcomes


@dataclass(frozen=True, slots=True)
class Payoffs:
    """USD per Up share by market id; Down pays the rest.

    Attributes:
        payoff_up: market id -> 1, 0 or 0.5.
        kind: market id -> "official", "inferred" or "synthetic".
        outcomes_id: hash over all of them. The recording's own id does not cover how windows ended, labels do.
    """

    payoff_up: dict[str, float]
    kind: dict[str, str]
    outcomes_id: str = ""

    def __getitem__(self, market_id: str) -> float:
        """Return the payoff of one market; raises `BadRecording` where the recording holds no outcome."""
        if market_id not in self.payoff_up:
            raise BadRecording(
                f"market {market_id} has no recorded outcome, so it cannot settle. Leave the window out, or import "
                "its outcome."
            )
        return self.payoff_up[market_id]

    def __contains__(self, market_id: object) -> bool:
        return market_id in self.payoff_up

    def __iter__(self) -> Iterator[str]:
        return iter(self.payoff_up)

    def __len__(self) -> int:
        return len(self.payoff_up)


def read_payoffs(root: Path) -> Payoffs:
    """Read the outcomes of the recording at `root`."""
    outcomes = read_outcomes(root)
    return Payoffs(
        {market_id: outcome.payoff_up for market_id, outcome in outcomes.items()},
        {market_id: outcome.kind for market_id, outcome in outcomes.items()},
        outcomes_id(root),
    )
