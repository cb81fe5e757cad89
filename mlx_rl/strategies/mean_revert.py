"""Mean reversion: a price far from one half is expected to come back.

Below `buy_below` it wants Up, above `sell_above` it wants Down. An Up position is thus sold once the price has
crossed to the other side, and never at a loss alone.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds, is_quiet, price_up, toward
from observer.records import HOLD, Market


class MeanRevertSettings(BaseModel):
    """The two prices of Up at which it acts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    buy_below: float = Field(default=0.40, gt=0, lt=1, description="wants Up below this price of Up, USD per share")
    sell_above: float = Field(default=0.60, gt=0, lt=1, description="wants Down above this price of Up, USD per share")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class MeanRevert:
    """Buy cheap, sell dear, by the market's own price."""

    name = "mean_revert"
    Settings = MeanRevertSettings

    def __init__(self, settings: MeanRevertSettings | None = None) -> None:
        self.settings = settings or MeanRevertSettings()
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window; there is nothing to forget."""
        self.market = market

    def direction(self, row: NDArray[np.float64]) -> int:
        """+1 where Up looks cheap, -1 where it looks dear, else 0 (also without a price)."""
        price = price_up(row)
        return (price < self.settings.buy_below) - (price > self.settings.sell_above)

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Go toward the far side; hold without a price and near the close."""
        self.note = "no price" if math.isnan(price_up(row)) else ""
        if is_quiet(self.market, recv_ns, self.settings.quiet_s):
            return HOLD
        return toward(self.direction(row), mask)
