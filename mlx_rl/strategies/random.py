"""Trade at random: at each tick, with a small chance, one of the allowed trades.

It knows nothing, so what it loses is what trading at that pace costs. Each window has its own stream of
numbers, two per tick whatever the account does, so a window's draws do not depend on the windows before it.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds, is_quiet, price_up, toward
from observer.kit.rng import stream
from observer.records import HOLD, Market


class RandomSettings(BaseModel):
    """How often it trades, and from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(default=0, ge=0, description="seed of the draws")
    trade_chance: float = Field(default=0.01, ge=0, le=1, description="chance of wanting a trade, per tick")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class Random:
    """Wants Up or Down with equal chance, `trade_chance` of the ticks."""

    name = "random"
    Settings = RandomSettings

    def __init__(self, settings: RandomSettings) -> None:
        self.settings = settings
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window with its own stream."""
        self.market = market
        self.draws = stream(self.settings.seed, "strategies/random", market.market_id)

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Draw; hold without a price and near the close."""
        chance, coin = self.draws.random(2)
        self.note = "no price" if math.isnan(price_up(row)) else ""
        if self.note or is_quiet(self.market, recv_ns, self.settings.quiet_s) or chance >= self.settings.trade_chance:
            return HOLD
        return toward(1 if coin < 0.5 else -1, mask)
