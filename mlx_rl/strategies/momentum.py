"""Momentum: a price that moved is expected to go on.

The move is the price now less the price `lookback_ticks` ticks ago, both of which must have been quoted; a
gap in the quotes is not bridged.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds, is_quiet, price_up, toward
from observer.records import HOLD, Market


class MomentumSettings(BaseModel):
    """How big a move, over how many ticks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.03, gt=0, lt=1, description="smallest move of Up's price that counts, USD per share"
    )
    lookback_ticks: int = Field(default=5, ge=1, description="ticks over which the move is measured")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class Momentum:
    """Follow a move of at least `threshold`."""

    name = "momentum"
    Settings = MomentumSettings

    def __init__(self, settings: MomentumSettings | None = None) -> None:
        self.settings = settings or MomentumSettings()
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window with an empty memory."""
        self.market = market
        self.prices: deque[float] = deque(maxlen=self.settings.lookback_ticks + 1)

    def direction(self, row: NDArray[np.float64]) -> int:
        """Remember this tick's price; +1 after a rise, -1 after a fall, else 0."""
        self.prices.append(price_up(row))
        if len(self.prices) <= self.settings.lookback_ticks:
            return 0
        # Rounded to a hundredth of the finest price step, so that 0.53 - 0.50 counts as 0.03.
        move = round(self.prices[-1] - self.prices[0], 6)
        return (move >= self.settings.threshold) - (move <= -self.settings.threshold)

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Go with the move; hold without a price and near the close."""
        direction = self.direction(row)
        self.note = "no price" if math.isnan(self.prices[-1]) else ""
        if is_quiet(self.market, recv_ns, self.settings.quiet_s):
            return HOLD
        return toward(direction, mask)
