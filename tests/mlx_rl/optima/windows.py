"""Made windows with their fills and payoffs, ready to be played."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.optima.play import play
from observer.records import Tape
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.common import SyntheticSettings

SIZE = 50.0


@dataclass(frozen=True)
class Windows:
    """Windows of one synthetic market."""

    tapes: list[Tape]
    fills: list[Fills]
    payoffs: list[float]

    def net(self, actions: list[NDArray[np.integer]]) -> NDArray[np.float64]:
        """(W,) net USD of the tables `actions`."""
        return play(actions, self.fills, self.payoffs)


def make_windows(kind: str, settings: SyntheticSettings) -> Windows:
    """All windows of `settings`, priced by the default law."""
    made = list(SYNTHETIC[kind].generate(settings))
    fills = [price_fills(tape, LawSettings(size_shares=SIZE)) for tape, _ in made]
    return Windows([tape for tape, _ in made], fills, [payoff for _, payoff in made])


def z(values: NDArray[np.float64], expected: float = 0.0) -> float:
    """How many standard errors the mean of `values` lies above `expected`; 0 where all equal it."""
    error = values.std(ddof=1) / len(values) ** 0.5
    return 0.0 if (values == expected).all() else float((values.mean() - expected) / error)
