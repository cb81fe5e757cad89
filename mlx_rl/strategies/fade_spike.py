"""Fade the spike: a fast move into an extreme price is expected to be overdone.

Velocity is the price now less the price `lookback_ticks` ticks ago, both of which must have been quoted. A fast
rise that ends above `dear_above` wants Down, a fast fall that ends below `cheap_below` wants Up.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds, is_quiet, price_up, toward
from observer.records import HOLD, Market


class FadeSpikeSettings(BaseModel):
    """What counts as a spike, and how extreme it must end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    velocity: float = Field(
        default=0.05, gt=0, lt=1, description="smallest move of Up's price that is a spike, USD per share"
    )
    lookback_ticks: int = Field(default=3, ge=1, description="ticks over which the spike is measured")
    dear_above: float = Field(
        default=0.65, gt=0, lt=1, description="a rise is faded above this price of Up, USD per share"
    )
    cheap_below: float = Field(
        default=0.35, gt=0, lt=1, description="a fall is faded below this price of Up, USD per share"
    )
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class FadeSpike:
    """Lean against a fast move into an extreme."""

    name = "fade_spike"
    Settings = FadeSpikeSettings

    def __init__(self, settings: FadeSpikeSettings | None = None) -> None:
        self.settings = settings or FadeSpikeSettings()
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window with an empty memory."""
        self.market = market
        self.prices: deque[float] = deque(maxlen=self.settings.lookback_ticks + 1)

    def direction(self, row: NDArray[np.float64]) -> int:
        """Remember this tick's price; -1 after a spike up, +1 after a spike down, else 0."""
        self.prices.append(price_up(row))
        if len(self.prices) <= self.settings.lookback_ticks:
            return 0
        # Rounded to a hundredth of the finest price step, so that 0.70 - 0.65 counts as 0.05.
        move, price = round(self.prices[-1] - self.prices[0], 6), self.prices[-1]
        is_overdone_up = move >= self.settings.velocity and price > self.settings.dear_above
        is_overdone_down = move <= -self.settings.velocity and price < self.settings.cheap_below
        return is_overdone_down - is_overdone_up

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Lean against the spike; hold without a price and near the close."""
        direction = self.direction(row)
        self.note = "no price" if math.isnan(self.prices[-1]) else ""
        if is_quiet(self.market, recv_ns, self.settings.quiet_s):
            return HOLD
        return toward(direction, mask)
